use std::collections::HashMap;
use std::sync::Arc;

use super::{Asked, Counters, Position, Taken};
use crate::journal::{Reader, header};
use crate::key::Key;
use crate::limit::Limit;
use crate::window::{Moment, Unit, Window};

const NOON: Moment = Moment(1_795_262_400);
const SEED: u64 = 5;

fn limit(name: &str, requests: u32, unit: Unit) -> Arc<Limit> {
    Arc::new(Limit {
        name: name.to_owned(),
        entries: Vec::new(),
        requests,
        unit,
    })
}

fn asked(user: &str, limit: &Arc<Limit>) -> Asked {
    let key = Key::new("shop", [("limit", limit.name.as_str()), ("user", user)]);
    Asked::new("shop", key, limit.clone())
}

fn over(taken: &Taken) -> bool {
    taken.statuses.iter().any(|status| status.over)
}

fn recovered(log: &[u8], now: Moment) -> Counters {
    let mut counters = Counters::new(1000, SEED);
    let records = Reader::new(log).unwrap();
    records.for_each(|record| counters.recover(record, now));
    counters
}

#[test]
fn so_many_pass_in_a_window_and_as_many_in_the_next() {
    for unit in Unit::ALL {
        let mut counters = Counters::new(10, SEED);
        let asked = [asked("bob", &limit("l", 3, unit))];
        let window = unit.window(NOON);
        let last = Moment(window.end().0 - 1);
        for (left, now) in [(2, NOON), (1, last), (0, last)] {
            let taken = counters.take(&asked, 1, now);
            assert!(!over(&taken));
            let status = &taken.statuses[0];
            assert_eq!((status.remaining, status.reset), (left, window.left(now)));
            assert_eq!(status.near, left == 0, "{unit}");
        }
        assert!(over(&counters.take(&asked, 1, last)), "{unit}");
        let next = counters.take(&asked, 1, window.end());
        assert!(!over(&next), "{unit}");
        assert_eq!(next.statuses[0].remaining, 2);
    }
}

#[test]
fn several_hits_pass_together_or_not_at_all() {
    let mut counters = Counters::new(10, SEED);
    let asked = [asked("bob", &limit("l", 10, Unit::Day))];
    assert!(!over(&counters.take(&asked, 7, NOON)));
    let refused = counters.take(&asked, 4, NOON);
    assert!(over(&refused));
    assert_eq!(refused.statuses[0].remaining, 3, "nothing was taken");
    assert!(!over(&counters.take(&asked, 3, NOON)));
    assert!(over(&counters.take(&asked, 0, NOON)), "0 is 1");
    assert!(over(&counters.take(&asked, u32::MAX, NOON)));
}

#[test]
fn who_is_over_one_limit_takes_nothing_of_others() {
    let mut counters = Counters::new(10, SEED);
    let (small, large) = (limit("small", 1, Unit::Day), limit("large", 10, Unit::Day));
    let both = [asked("bob", &large), asked("bob", &small)];
    assert!(!over(&counters.take(&both, 1, NOON)));
    let refused = counters.take(&both, 1, NOON);
    let overs: Vec<_> = refused.statuses.iter().map(|s| (s.over, s.remaining)).collect();
    assert_eq!(overs, [(false, 9), (true, 0)]);
    // The same one twice counts twice.
    let twice = [asked("eve", &large), asked("eve", &large)];
    for _ in 0..5 {
        assert!(!over(&counters.take(&twice, 1, NOON)));
    }
    assert!(over(&counters.take(&twice, 1, NOON)));
    let looked = counters.look(&[asked("bob", &large), asked("new", &large)], NOON);
    assert_eq!(looked.iter().map(|s| s.remaining).collect::<Vec<_>>(), [9, 10]);
    assert_eq!(counters.len(), 3);
}

#[test]
fn a_limit_that_changes_keeps_what_was_counted() {
    let mut counters = Counters::new(10, SEED);
    let take = |counters: &mut Counters, requests, unit| {
        let taken = counters.take(&[asked("bob", &limit("l", requests, unit))], 1, NOON);
        (over(&taken), taken.statuses[0].remaining)
    };
    assert_eq!(take(&mut counters, 2, Unit::Day), (false, 1));
    assert_eq!(take(&mut counters, 5, Unit::Day), (false, 3));
    assert_eq!(take(&mut counters, 1, Unit::Day), (true, 0));
    assert_eq!(take(&mut counters, 3, Unit::Day), (false, 0));
    // Other windows are counted anew.
    assert_eq!(take(&mut counters, 3, Unit::Week), (false, 2));
    assert_eq!(take(&mut counters, 0, Unit::Week), (true, 0));
}

#[test]
fn without_room_what_is_new_is_counted_together() {
    let mut counters = Counters::new(2, SEED);
    let limit = limit("l", 3, Unit::Hour);
    let take = |counters: &mut Counters, user: &str, now| {
        let taken = counters.take(&[asked(user, &limit)], 1, now);
        (over(&taken), taken.statuses[0].together)
    };
    assert_eq!(take(&mut counters, "a", NOON), (false, false));
    assert_eq!(take(&mut counters, "b", NOON), (false, false));
    for user in ["c", "d", "e"] {
        assert_eq!(take(&mut counters, user, NOON), (false, true));
    }
    assert_eq!(take(&mut counters, "f", NOON), (true, true));
    assert_eq!(
        take(&mut counters, "a", NOON),
        (false, false),
        "who has a place keeps it"
    );
    let later = Moment(NOON.0 + 3600);
    assert_eq!(
        take(&mut counters, "f", later),
        (false, false),
        "what is over makes room"
    );
    assert_eq!(counters.len(), 1);
}

#[test]
fn what_is_over_is_forgotten() {
    let mut counters = Counters::new(1_000_000, SEED);
    let minute = limit("l", 3, Unit::Minute);
    for n in 0..1000 {
        counters.take(&[asked(&n.to_string(), &minute)], 1, NOON);
    }
    assert_eq!(counters.len(), 1000);
    let later = Moment(NOON.0 + 60);
    for _ in 0..100 {
        counters.take(&[asked("x", &minute)], 1, later);
    }
    assert_eq!(counters.len(), 1);
    assert_eq!(counters.list("", 10, later)[0].used, 3);
    assert!(counters.list("nobody", 10, later).is_empty());
}

#[test]
fn a_second_is_not_worth_a_record() {
    let mut counters = Counters::new(10, SEED);
    let taken = counters.take(&[asked("bob", &limit("l", 3, Unit::Second))], 1, NOON);
    assert_eq!(taken.position, Position(0));
    assert!(!counters.has_records());
}

#[test]
fn blocks_are_reserved_at_once_and_waited_for_once() {
    let mut counters = Counters::new(10, SEED);
    let asked = [asked("bob", &limit("l", 1000, Unit::Day))];
    let first = counters.take(&asked, 1, NOON).position;
    for _ in 1..10 {
        assert_eq!(counters.take(&asked, 1, NOON).position, first);
    }
    assert!(counters.take(&asked, 1, NOON).position > first);
    assert_eq!(counters.list("", 1, NOON)[0].reserved, 20);
    counters.settle();
    let (records, position) = counters.take_records();
    assert_eq!(position, Position(records.len() as u64));
    let mut log = header(SEED).to_vec();
    log.extend(records);
    let left = recovered(&log, NOON).look(&asked, NOON)[0].remaining;
    assert_eq!(left, 989, "an orderly end costs nothing");
}

#[test]
fn a_snapshot_is_as_good_as_the_records_before_it() {
    let mut counters = Counters::new(10_000, SEED);
    let (day, minute) = (limit("d", 1000, Unit::Day), limit("m", 5, Unit::Minute));
    for n in 0..500 {
        let user = (n % 37).to_string();
        counters.take(&[asked(&user, &day), asked(&user, &minute)], 1, NOON);
    }
    let mut log = header(SEED).to_vec();
    counters.snapshot(&counters.keys(), NOON, &mut log);
    let recovered = recovered(&log, NOON);
    assert_eq!(recovered.len(), counters.len());
    for count in recovered.list("", usize::MAX, NOON) {
        assert_eq!(count.used, counters.counters[&count.key].reserved);
    }
}

/// Requests that passed, as soon as the log was durable up to a position.
struct Passed {
    key: Key,
    window: Window,
    hits: u64,
    position: Position,
}

/// What happened to a shard until it crashed, and its log.
struct Life {
    log: Vec<u8>,
    passed: Vec<Passed>,
    asked: HashMap<Key, Asked>,
    end: Moment,
}

fn live(seed: u64) -> Life {
    let limits = [
        limit("exact", 40, Unit::Minute),
        limit("blocks", 700, Unit::Minute),
        limit("more", 1500, Unit::Hour),
    ];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counters = Counters::new(1000, SEED);
    let mut life = Life {
        log: header(SEED).to_vec(),
        passed: Vec::new(),
        asked: HashMap::new(),
        end: NOON,
    };
    for _ in 0..150 {
        let limit = &limits[random.usize(0..limits.len())];
        let asked = asked(&random.u8(0..3).to_string(), limit);
        let hits = random.u32(1..=5);
        let taken = counters.take(std::slice::from_ref(&asked), hits, life.end);
        if !over(&taken) {
            life.passed.push(Passed {
                key: asked.key.clone(),
                window: counters.counters[&asked.key].window,
                hits: hits.into(),
                position: taken.position,
            });
        }
        life.asked.insert(asked.key.clone(), asked);
        match random.u8(0..40) {
            0 => life.end.0 += random.u64(1..40),
            // A clock that is set back a little.
            1 => life.end.0 -= random.u64(0..3),
            2 => counters.settle(),
            3 => life.log.extend(counters.take_records().0),
            _ => {}
        }
    }
    life.log.extend(counters.take_records().0);
    life
}

/// Wherever a crash tears the log: what passed before it and what passes after it is never more than the limit, and at
/// most a block less.
#[test]
fn a_crash_at_any_byte_gives_nothing_twice_and_costs_at_most_a_block() {
    for seed in 0..4 {
        let life = live(seed);
        let begin = header(SEED).len();
        for end in begin..=life.log.len() {
            let mut after = recovered(&life.log[..end], life.end);
            let durable = Position((end - begin) as u64);
            for (key, asked) in &life.asked {
                let extra = after.look(std::slice::from_ref(asked), life.end)[0].remaining;
                let all = u32::try_from(extra).unwrap();
                assert!(all == 0 || !over(&after.take(std::slice::from_ref(asked), all, life.end)));
                assert!(over(&after.take(std::slice::from_ref(asked), 1, life.end)));
                let window = after.counters[key].window;
                let passed = life.passed.iter();
                let passed = passed.filter(|p| p.key == *key && p.window == window && p.position <= durable);
                let total = passed.map(|p| p.hits).sum::<u64>() + extra;
                let requests = u64::from(asked.limit.requests);
                let least = requests - (asked.limit.block() - 1);
                assert!(
                    (least..=requests).contains(&total),
                    "{total} of {requests} at {end}"
                );
            }
        }
    }
}
