use super::*;

#[test]
fn an_endpoint_that_is_not_ready_is_not_waited_for_long() {
    let unready = Via::UnreadyWaypoint {
        waypoint: "shop/wp".into(),
    };
    let usual = DialOptions::default();
    assert!(usual.connect_timeout > UNREADY_CONNECT_TIMEOUT);
    assert_eq!(
        dial_options(usual.clone(), &unready).connect_timeout,
        UNREADY_CONNECT_TIMEOUT
    );
    let ready = Via::Waypoint { fail_open: false };
    assert_eq!(
        dial_options(usual.clone(), &ready).connect_timeout,
        usual.connect_timeout
    );
    // Never longer than what is set.
    let short = DialOptions {
        connect_timeout: Duration::from_millis(100),
        ..usual
    };
    assert_eq!(
        dial_options(short, &unready).connect_timeout,
        Duration::from_millis(100)
    );
}
