use super::*;

fn at(seconds: u64, start: Instant) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn what_is_refused_is_told_once_and_asked_for_ever_more_seldom() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    assert_eq!(pace.not_before("a"), None);
    assert!(pace.refused("a", start));
    assert_eq!(pace.not_before("a"), Some(at(5, start)));
    assert!(!pace.refused("a", at(5, start)), "it was told");
    assert_eq!(pace.not_before("a"), Some(at(15, start)));
    for _ in 0..20 {
        pace.refused("a", at(15, start));
    }
    assert_eq!(pace.not_before("a"), Some(at(615, start)), "not for ever");
    assert_eq!(pace.not_before("b"), None, "nobody else waits for it");
    assert!(!pace.written("a", at(615, start)));
    assert_eq!(pace.not_before("a"), None);
    assert!(pace.refused("a", at(616, start)), "that is new");
}

#[test]
fn whoever_changes_it_now_and_then_sees_it_put_back_at_once() {
    let (mut pace, start) = (Pace::default(), Instant::now());
    for time in 0..10 {
        let now = at(time * 1801, start);
        assert_eq!(pace.not_before("a").filter(|at| *at > now), None);
        assert!(!pace.written("a", now));
    }
}

#[test]
fn whoever_writes_it_again_and_again_is_told_of_once_and_answered_ever_more_seldom() {
    let (mut pace, mut now) = (Pace::default(), Instant::now());
    let (begun, mut writes, mut told) = (now, 0, 0);
    while now < begun + Duration::from_secs(24 * 3600) {
        // Each write is undone at once.
        now = pace.not_before("a").map_or(now, |at| at.max(now));
        told += u32::from(pace.written("a", now));
        writes += 1;
    }
    assert_eq!(told, 1);
    assert!(writes < 160, "{writes} writes in a day");
    pace.forget("a");
    assert_eq!(pace.not_before("a"), None);
}

#[test]
fn only_an_api_server_that_is_away_holds_everything_up() {
    let text = String::new;
    for (error, trouble) in [
        (KubeError::Unreachable(text()), Trouble::Everywhere),
        (KubeError::Unauthorized(text()), Trouble::Everywhere),
        (KubeError::Busy(text()), Trouble::Perhaps),
        (KubeError::Forbidden(text()), Trouble::Here),
        (KubeError::Refused(text()), Trouble::Here),
        (KubeError::Conflict(text()), Trouble::Here),
    ] {
        assert_eq!(Trouble::of(&error), trouble, "{error}");
    }
}
