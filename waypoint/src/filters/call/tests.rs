use super::*;

#[test]
fn a_timeout_has_at_most_eight_digits() {
    let of = |seconds| grpc_timeout(Duration::from_secs(seconds));
    assert_eq!(grpc_timeout(Duration::from_millis(250)), "250m");
    assert_eq!(of(600), "600000m");
    assert_eq!(of(99_999), "99999000m");
    assert_eq!(of(100_000), "100000S");
    assert_eq!(of(u64::MAX), "99999999S");
}
