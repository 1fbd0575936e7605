use super::*;
use crate::testing::identity;

const ROOTS: RootsId = RootsId(1);
const HOUR: Duration = Duration::from_hours(1);

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn valid(before: Duration, life: Duration) -> Validity {
    let not_before = wall() - before;
    Validity {
        not_before,
        not_after: not_before + life,
    }
}

fn fetched(schedule: &mut Schedule, account: &str, life: Duration, now: Instant) -> bool {
    schedule.fetched(
        &identity(account),
        valid(Duration::ZERO, life),
        ROOTS,
        now,
        wall(),
        0.5,
    )
}

fn fetch(account: &str) -> Next {
    Next::Fetch(identity(account))
}

#[tokio::test(start_paused = true)]
async fn renewed_at_half_of_its_life_until_forgotten() {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    schedule.keep(&identity("a"), false, now);
    assert_eq!(schedule.next(now), fetch("a"));
    assert_eq!(schedule.next(now), Next::Idle);
    assert!(fetched(&mut schedule, "a", 24 * HOUR, now));
    assert_eq!(schedule.next(now), Next::WaitUntil(now + 12 * HOUR));
    assert_eq!(schedule.next(now + 12 * HOUR), fetch("a"));
    schedule.forget(&identity("a"));
    assert!(!fetched(&mut schedule, "a", 24 * HOUR, now));
    assert_eq!(schedule.next(now + 100 * HOUR), Next::Idle);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_life_counts_from_its_beginning_by_the_wall_clock() {
    let of = |before, life| until_renewal(valid(before, life), wall());
    assert_eq!(
        of(Duration::from_mins(2), 24 * HOUR),
        12 * HOUR - Duration::from_mins(2)
    );
    // Half is over already, as our clock has it: neither at once again and again, nor too late.
    assert_eq!(of(20 * HOUR, 24 * HOUR), Duration::from_secs(30));
    assert_eq!(
        of(Duration::from_secs(54), Duration::from_mins(1)),
        Duration::from_secs(3)
    );
    assert_eq!(of(25 * HOUR, 24 * HOUR), FIRST_BACKOFF);
    // It begins in the future.
    let ahead = Validity {
        not_before: wall() + HOUR,
        not_after: wall() + 3 * HOUR,
    };
    assert_eq!(until_renewal(ahead, wall()), 2 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn eight_at_once_the_more_urgent_first() {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    for n in 0..20 {
        schedule.keep(
            &identity(&format!("warm{n:02}")),
            false,
            now + Duration::from_millis(n),
        );
    }
    let later = now + Duration::from_secs(1);
    schedule.want(&identity("urgent"), false, later);
    schedule.want(&identity("warm19"), false, later);
    let mut begun = Vec::new();
    while let Next::Fetch(identity) = schedule.next(later) {
        begun.push(identity.service_account().to_string());
    }
    assert_eq!(begun.len(), 8);
    begun[..2].sort();
    assert_eq!(
        begun,
        [
            "urgent", "warm19", "warm00", "warm01", "warm02", "warm03", "warm04", "warm05"
        ]
    );
    assert!(fetched(&mut schedule, "urgent", HOUR, later));
    assert_eq!(schedule.next(later), fetch("warm06"));
    assert_eq!(schedule.next(later), Next::Idle);
}

#[tokio::test(start_paused = true)]
async fn backoff_doubles_to_its_bound_and_ends_with_success() {
    let mut now = Instant::now();
    let mut schedule = Schedule::default();
    let a = identity("a");
    schedule.keep(&a, false, now);
    let mut delays = Vec::new();
    for _ in 0..11 {
        assert_eq!(schedule.next(now), fetch("a"));
        schedule.failed(&a, false, now, 0.5);
        let next = schedule.next_attempt(&a).unwrap();
        delays.push((next - now).as_millis());
        now = next;
    }
    assert_eq!(delays[..5], [500, 1_000, 2_000, 4_000, 8_000]);
    assert_eq!(delays[9..], [150_000, 150_000]);
    assert_eq!(schedule.next(now), fetch("a"));
    assert!(fetched(&mut schedule, "a", HOUR, now));
    now += HOUR / 2;
    assert_eq!(schedule.next(now), fetch("a"));
    // A valid one is held: there is less hurry. Spread to either side.
    schedule.failed(&a, true, now, 0.0);
    assert_eq!(schedule.next_attempt(&a), Some(now + Duration::from_millis(800)));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_connection_brings_an_attempt_forward_but_not_too_often() {
    let mut now = Instant::now();
    let mut schedule = Schedule::default();
    let a = identity("a");
    schedule.keep(&a, false, now);
    for _ in 0..9 {
        assert_eq!(schedule.next(now), fetch("a"));
        schedule.failed(&a, false, now, 0.5);
        now = schedule.next_attempt(&a).unwrap();
    }
    let last = now - Duration::from_secs(128);
    now = last + Duration::from_secs(1);
    schedule.want(&a, false, now);
    assert_eq!(schedule.next_attempt(&a), Some(last + MIN_SPACING));
    now = last + Duration::from_secs(60);
    schedule.want(&a, false, now);
    assert_eq!(schedule.next(now), fetch("a"));
}

#[tokio::test(start_paused = true)]
async fn what_one_connection_wanted_is_not_renewed() {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    let a = identity("a");
    schedule.want(&a, false, now);
    assert_eq!(schedule.next(now), fetch("a"));
    assert!(fetched(&mut schedule, "a", HOUR, now));
    assert_eq!(schedule.next(now + HOUR / 2), Next::Drop(a.clone()));
    assert_eq!(schedule.next(now + HOUR / 2), Next::Idle);
    // It is if somebody asks for it to be kept meanwhile.
    schedule.want(&a, false, now);
    assert_eq!(schedule.next(now), fetch("a"));
    assert!(fetched(&mut schedule, "a", HOUR, now));
    schedule.keep(&a, true, now);
    assert_eq!(schedule.next(now + HOUR / 2), fetch("a"));
}

#[tokio::test(start_paused = true)]
async fn new_roots_renew_the_others_soon_spread_and_not_again_and_again() {
    let now = Instant::now();
    let mut schedule = Schedule::default();
    for n in 0..8 {
        schedule.keep(&identity(&n.to_string()), false, now);
        assert_eq!(schedule.next(now), fetch(&n.to_string()));
    }
    for n in 0..8 {
        assert!(fetched(&mut schedule, &n.to_string(), 24 * HOUR, now));
    }
    assert_eq!(schedule.next(now), Next::WaitUntil(now + 12 * HOUR));
    let id = identity("0");
    let validity = valid(Duration::ZERO, 24 * HOUR);
    assert!(schedule.fetched(&id, validity, RootsId(2), now, wall(), 0.0));
    let due = |schedule: &Schedule, n: usize| schedule.next_attempt(&identity(&n.to_string())).unwrap() - now;
    let mut others: Vec<_> = (1..8).map(|n| due(&schedule, n)).collect();
    others.sort_unstable();
    assert!(others.iter().all(|d| *d < ROLLOVER_SPREAD), "{others:?}");
    assert!(
        others.windows(2).all(|w| w[1] - w[0] > Duration::from_secs(3)),
        "{others:?}"
    );
    assert_eq!(due(&schedule, 0), 12 * HOUR);
    // An authority that disagrees: the next round is ten minutes later, not at once.
    let id = identity("1");
    assert!(schedule.fetched(&id, validity, ROOTS, now, wall(), 0.0));
    assert!(due(&schedule, 0) >= ROLLOVER_SPACING);
}
