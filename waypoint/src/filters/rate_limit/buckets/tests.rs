use super::*;

fn rate(requests: u32, seconds: u64, burst: u32) -> Rate {
    Rate::new(requests, Duration::from_secs(seconds), burst)
}

fn at(buckets: &Buckets, millis: u64) -> Instant {
    buckets.shared.began + Duration::from_millis(millis)
}

#[test]
fn a_bucket_has_its_burst_and_then_its_rate() {
    let buckets = Buckets::default();
    let bucket = buckets.bucket(&1, &"a");
    let rate = rate(10, 1, 3);
    let take = |millis| buckets.take(bucket, rate, at(&buckets, millis));
    assert_eq!([0; 4].map(|now| take(now).remaining), [2, 1, 0, 0]);
    let denied = take(0);
    assert!(!denied.allowed);
    assert_eq!(
        (denied.next, denied.full),
        (Duration::from_millis(100), Duration::from_millis(300))
    );
    assert!(!take(99).allowed);
    assert!(take(100).allowed && !take(100).allowed);
    // Over ten seconds, no more than its rate and what was left.
    let passed = (0..10_000).filter(|now| take(200 + now).allowed).count();
    assert!((100..=101).contains(&passed), "{passed}");
    // Left alone, it is full again, and no fuller.
    assert_eq!(
        [take(60_000), take(60_000), take(60_000)].map(|t| t.allowed),
        [true; 3]
    );
    assert!(!take(60_000).allowed);
}

#[test]
fn without_a_burst_an_intervals_requests_may_come_at_once() {
    let buckets = Buckets::default();
    let bucket = buckets.bucket(&1, &());
    let take = || buckets.take(bucket, rate(5, 60, 0), at(&buckets, 0)).allowed;
    assert_eq!((0..7).filter(|_| take()).count(), 5);
    let none = buckets.take(buckets.bucket(&2, &()), rate(0, 1, 0), at(&buckets, 0));
    assert!(!none.allowed);
}

#[test]
fn each_value_and_each_limit_has_a_bucket_of_its_own() {
    let buckets = Buckets::default();
    let rate = rate(1, 60, 1);
    let take = |limit: u32, value: &str| {
        let bucket = buckets.bucket(&limit, &value);
        buckets.take(bucket, rate, at(&buckets, 0)).allowed
    };
    assert!(take(1, "a") && take(1, "b") && take(2, "a"));
    assert!(!take(1, "a") && !take(1, "b") && !take(2, "a"));
}

#[test]
fn what_was_taken_in_vain_comes_back() {
    let buckets = Buckets::default();
    let (bucket, rate) = (buckets.bucket(&1, &()), rate(1, 60, 1));
    assert!(buckets.take(bucket, rate, at(&buckets, 0)).allowed);
    buckets.give_back(bucket, rate);
    assert!(buckets.take(bucket, rate, at(&buckets, 0)).allowed);
    assert!(!buckets.take(bucket, rate, at(&buckets, 0)).allowed);
}

#[test]
fn strangers_cannot_make_it_grow_nor_get_past_it() {
    let buckets = Buckets::new(SHARDS * 4);
    let rate = rate(10, 60, 10);
    let mut passed = 0;
    for n in 0..100_000_u32 {
        let bucket = buckets.bucket(&1, &n);
        passed += usize::from(buckets.take(bucket, rate, at(&buckets, 0)).allowed);
    }
    assert!(buckets.len() <= SHARDS * 4 + 1, "{}", buckets.len());
    // Those that found room, and ten of all others together.
    assert!(passed <= SHARDS * 4 + 10, "{passed}");
    // What is full again makes room.
    let bucket = buckets.bucket(&1, &u32::MAX);
    assert!(buckets.take(bucket, rate, at(&buckets, 120_000)).allowed);
}

#[test]
fn all_threads_together_get_no_more_than_one() {
    let buckets = Buckets::default();
    let (bucket, rate) = (buckets.bucket(&1, &()), rate(1000, 3600, 1000));
    let now = at(&buckets, 0);
    let take = || {
        (0..1000)
            .filter(|_| buckets.take(bucket, rate, now).allowed)
            .count()
    };
    let passed: usize = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(take));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(passed, 1000);
}
