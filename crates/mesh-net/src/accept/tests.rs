use super::*;

#[test]
fn a_lost_connection_is_no_reason_to_stop() {
    let mut policy = AcceptPolicy::default();
    for code in [libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EHOSTUNREACH] {
        assert_eq!(policy.failed(&os(code), Instant::now()), AcceptAction::Continue);
    }
}

#[test]
fn a_broken_listener_is() {
    let mut policy = AcceptPolicy::default();
    for code in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
        assert_eq!(policy.failed(&os(code), Instant::now()), AcceptAction::Stop);
    }
}

#[test]
fn running_out_of_descriptors_pauses_longer_and_longer() {
    let mut policy = AcceptPolicy::default();
    let now = Instant::now();
    let pauses: Vec<_> = (0..10)
        .map(|_| pause_of(policy.failed(&os(libc::EMFILE), now)).0)
        .collect();
    assert_eq!(pauses[..3], [5, 10, 20].map(Duration::from_millis));
    assert_eq!(pauses[9], LONGEST);
    policy.accepted();
    assert_eq!(pause_of(policy.failed(&os(libc::EMFILE), now)).0, SHORTEST);
}

#[test]
fn it_is_loud_but_no_flood() {
    let mut policy = AcceptPolicy::default();
    let start = Instant::now();
    let mut say = |after: u64| {
        let (_, say, unsaid) = pause_of(policy.failed(&os(libc::ENFILE), start + Duration::from_secs(after)));
        (say, unsaid)
    };
    assert_eq!(say(0), (true, 0));
    assert_eq!(say(1), (false, 0));
    assert_eq!(say(9), (false, 1));
    assert_eq!(say(10), (true, 2));
    assert_eq!(say(11), (false, 0));
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn pause_of(action: AcceptAction) -> (Duration, bool, u64) {
    match action {
        AcceptAction::Pause { pause, say, unsaid } => (pause, say, unsaid),
        other => panic!("{other:?}"),
    }
}
