use super::*;

#[test]
fn flags_read_as_in_envoys_logs() {
    let mut flags = ResponseFlags::default();
    assert_eq!(flags.to_string(), "-");
    flags.add(ResponseFlag::UpstreamRetryLimitExceeded);
    flags.add(ResponseFlag::UpstreamConnectionFailure);
    assert_eq!(flags.to_string(), "UF,URX");
    assert!(flags.has(ResponseFlag::UpstreamConnectionFailure));
    assert!(!flags.has(ResponseFlag::NoRouteFound));
}

#[test]
fn every_flag_has_a_bit_of_its_own() {
    let mut flags = ResponseFlags::default();
    ResponseFlag::ALL.into_iter().for_each(|flag| flags.add(flag));
    assert_eq!(flags.iter().count(), ResponseFlag::ALL.len());
}
