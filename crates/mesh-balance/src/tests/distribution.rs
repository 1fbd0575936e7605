//! How often each is picked, against what it should be: Pearson's test, with dice that fall the same each time. The bounds
//! are what one in a thousand honest dice would exceed.

use mesh_model::l7::traffic::{Distribution, HashKey, HashRing, LocalityRules, Warmup};

use super::*;
use crate::Preference;
use crate::health::Changed;

const PICKS: usize = 100_000;

/// How far picks are from their shares: the sum of squared distances, each by what was expected.
fn distance(counts: &[u32], shares: &[f64]) -> f64 {
    let (picks, sum): (u32, f64) = (counts.iter().sum(), shares.iter().sum());
    let expected = shares.iter().map(|share| f64::from(picks) * share / sum);
    let each = counts.iter().zip(expected);
    each.map(|(count, expected)| (f64::from(*count) - expected).powi(2) / expected)
        .sum()
}

fn counts(world: &mut World, picks: usize) -> Vec<u32> {
    let mut counts = vec![0; world.hosts.len()];
    (0..picks).for_each(|_| counts[world.pick().expect("somebody is well")] += 1);
    counts
}

#[test]
fn chance_is_fair() {
    for balancer in [Balancer::Random, Balancer::LeastRequest, Balancer::PeakEwma] {
        let mut world = World::new(balanced(balancer.clone()), &[1; 10].map(weighing));
        let found = distance(&counts(&mut world, PICKS), &[1.0; 10]);
        assert!(found < 27.9, "{balancer:?}: {found}");
    }
    let mut world = World::new(balanced(Balancer::Random), &[1, 2, 3, 4, 5].map(weighing));
    let found = distance(&counts(&mut world, PICKS), &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(found < 18.5, "{found}");
}

#[test]
fn turns_are_fairer_than_chance() {
    let mut world = World::new(balanced(Balancer::RoundRobin), &[1; 10].map(weighing));
    assert!(distance(&counts(&mut world, PICKS), &[1.0; 10]) < 1e-9);
    let mut world = World::new(balanced(Balancer::RoundRobin), &[1, 2, 3, 4, 5].map(weighing));
    let found = distance(&counts(&mut world, PICKS), &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(found < 0.1, "{found}");
}

#[test]
fn the_less_busy_of_two_keeps_everybody_almost_equally_busy() {
    // Requests that take a random time each: the busiest has few more than the mean, where chance alone would give many.
    let mut world = World::new(balanced(Balancer::LeastRequest), &[1; 20].map(weighing));
    let mut under_way = std::collections::VecDeque::new();
    let mut most = 0;
    for _ in 0..PICKS {
        let at = world.pick().unwrap();
        world.hosts[at].begin();
        let place = world.rng.usize(..=under_way.len());
        under_way.insert(place, at);
        if under_way.len() > 200 {
            let ended: usize = under_way.pop_front().unwrap();
            world.hosts[ended].end();
            most = most.max(world.hosts.iter().map(|host| host.active()).max().unwrap());
        }
    }
    assert!(most <= 10 + 6, "{most} under way at one, 10 on average");
}

#[test]
fn keys_are_spread_as_weights_say() {
    for (ring, bound) in [(HashRing::Maglev(65_537), 40.0), (HashRing::Ring(1 << 20), 80.0)] {
        let key = HashKey::SourceIp;
        let settings = balanced(Balancer::ConsistentHash { key, ring });
        let mut world = World::new(settings, &[1, 1, 2, 2, 4].map(weighing));
        let found = distance(&counts(&mut world, PICKS), &[1.0, 1.0, 2.0, 2.0, 4.0]);
        assert!(found < bound, "{ring:?}: {found}");
    }
}

#[test]
fn places_get_the_shares_that_are_written() {
    let to = vec![("east/*".into(), 80), ("west/a/*".into(), 20)];
    let rules = LocalityRules::Distribute(vec![Distribution {
        from: "east/*".into(),
        to,
    }]);
    let settings = Settings {
        preference: Preference::Rules(rules),
        ..balanced(Balancer::Random)
    };
    let endpoints = ["east/a", "east/b", "west/a", "west/a", "west/a"].map(within);
    let mut world = World::seen_from(settings, &endpoints, &somewhere("east/a"));
    let found = distance(&counts(&mut world, PICKS), &[40.0, 40.0, 6.67, 6.67, 6.66]);
    assert!(found < 18.5, "{found}");
}

#[test]
fn a_place_that_is_not_well_enough_spills_as_much_as_it_lacks() {
    for ill in 0..=10_u32 {
        let settings = Settings {
            preference: Preference::Rules(LocalityRules::Nearest),
            ..balanced(Balancer::LeastRequest)
        };
        let endpoints = [["east"; 10], ["west"; 10]].concat();
        let endpoints: Vec<_> = endpoints.into_iter().map(within).collect();
        let mut world = World::seen_from(settings, &endpoints, &somewhere("east"));
        for host in &world.hosts[..ill as usize] {
            world.group.checked(host, Changed::Ill);
        }
        let counts = counts(&mut world, 20_000);
        let near = f64::from(counts[..10].iter().sum::<u32>()) / 20_000.0;
        // 1.4 times what is well, at most all.
        let wanted = (f64::from(10 - ill) * 0.14).min(1.0);
        assert!(
            (near - wanted).abs() < 0.01,
            "{ill} of 10 ill: {near}, {wanted} wanted"
        );
        assert!(counts[..ill as usize].iter().all(|count| *count == 0));
    }
}

#[test]
fn below_the_threshold_everybody_is_used() {
    for (ill, percent, everybody) in [
        (5, 50, false),
        (6, 50, true),
        (9, 0, false),
        (9, 11, true),
        (9, 10, false),
    ] {
        let settings = Settings {
            panic_percent: percent,
            ..balanced(Balancer::Random)
        };
        let mut world = World::new(settings, &[1; 10].map(weighing));
        for host in &world.hosts[..ill] {
            world.group.checked(host, Changed::Ill);
        }
        let counts = counts(&mut world, 10_000);
        let used = counts.iter().filter(|count| **count > 0).count();
        assert_eq!(
            used,
            if everybody { 10 } else { 10 - ill },
            "{ill} ill, {percent} %"
        );
    }
}

#[test]
fn shares_of_new_endpoints_grow_as_the_curve_says() {
    for (aggression_milli, quarter) in [(1_000, 0.25), (2_000, 0.5), (500, 0.1)] {
        let settings = Settings {
            warmup: Some(Warmup {
                duration: Duration::from_secs(100),
                minimum_percent: 10,
                aggression_milli,
            }),
            ..balanced(Balancer::Random)
        };
        let mut world = World::new(settings.clone(), &[weighing(1)]);
        world.later(HOUR);
        let old = world.picker.members()[0].clone();
        let host = world.group.host(&"new".into(), world.now);
        world.hosts.push(host.clone());
        let members = vec![old.clone(), Member { host, ..old }];
        world.picker = Picker::new(settings, members, &Places::default(), &world.group, world.now);
        for (part, warmth) in [(0_u32, 0.1), (25, quarter), (100, 1.0)] {
            let begin = world.now;
            world.later(Duration::from_secs(part.into()));
            let share = world.percents(PICKS)[1] / 100.0;
            let wanted = warmth / (1.0 + warmth);
            assert!(
                (share - wanted).abs() < 0.01,
                "{aggression_milli} at {part}: {share}, {wanted} wanted"
            );
            world.now = begin;
        }
    }
}
