use super::*;

#[test]
fn streams_that_were_opened_together_end_one_after_the_other_before_they_are_too_old() {
    let ends: Vec<_> = [0.0, 0.5, 1.0].map(|r| Lifetime::new(None, r)).into();
    assert_eq!(
        ends.iter().map(|l| l.after.as_secs()).collect::<Vec<_>>(),
        [30 * 60, 27 * 60, 24 * 60]
    );
    assert!(ends.iter().all(|l| l.end == StreamEnd::Aged));
}

#[test]
fn a_stream_ends_shortly_after_its_credentials_and_never_before() {
    let rest = Duration::from_secs(60);
    for (random, after) in [(0.0, 60.0), (0.5, 62.5), (1.0, 65.0), (7.0, 65.0), (-1.0, 60.0)] {
        let lifetime = Lifetime::new(Some(rest), random);
        assert_eq!(lifetime.after, Duration::from_secs_f64(after));
        assert_eq!(lifetime.end, StreamEnd::CredentialsEnded);
    }
}

#[test]
fn credentials_that_outlive_the_age_limit_do_not_matter() {
    assert_eq!(
        Lifetime::new(Some(Duration::from_secs(43_200)), 0.5),
        Lifetime::new(None, 0.5)
    );
    assert_eq!(Lifetime::new(Some(Duration::MAX), 1.0).end, StreamEnd::Aged);
}
