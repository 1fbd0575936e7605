use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{Expiry, Whose, ask_after};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn nobody_asks_before_half_of_a_life_and_then_every_few_minutes() {
    let start = SystemTime::UNIX_EPOCH + 1000 * HOUR;
    let ask = |age| ask_after(start, start + 24 * HOUR, start + age);
    assert_eq!(ask(Duration::ZERO), 12 * HOUR);
    assert_eq!(ask(11 * HOUR), HOUR);
    for late in [12, 13, 23, 30] {
        assert_eq!(ask(late * HOUR), Duration::from_secs(300));
    }
    let brief = ask_after(
        start,
        start + Duration::from_secs(20),
        start + Duration::from_secs(15),
    );
    assert_eq!(brief, Duration::from_secs(1));
    // Nonsense is no hot loop.
    assert_eq!(ask_after(start, start - HOUR, start), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_earlier_certificate_counts() {
    let now = Instant::now();
    let ours = Expiry::new(Whose::Ours, 2 * HOUR, now);
    let peers = Expiry::new(Whose::Peers, HOUR, now);
    let never = Expiry::new(Whose::Ours, Duration::MAX, now);
    for earlier in [ours.or(peers), peers.or(ours), never.or(peers), peers.or(never)] {
        assert_eq!(earlier.passed(now + HOUR - Duration::from_secs(1)), None);
        assert_eq!(earlier.passed(now + HOUR), Some(Whose::Peers));
        assert_eq!(earlier.before(now + 3 * HOUR), now + HOUR);
        assert_eq!(earlier.before(now), now);
    }
    assert_eq!(never.passed(now + 10_000 * HOUR), None);
    assert_eq!(never.before(now), now);
}
