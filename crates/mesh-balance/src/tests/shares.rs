use mesh_model::l7::traffic::{HashKey, HashRing, Warmup};

use super::*;

fn hashed(ring: HashRing) -> Balancer {
    Balancer::ConsistentHash {
        key: HashKey::SourceIp,
        ring,
    }
}

#[test]
fn weights_are_kept_within_five_points_by_every_balancer() {
    let weights = [1, 2, 3, 14];
    let wanted = [5.0, 10.0, 15.0, 70.0];
    for balancer in [
        Balancer::LeastRequest,
        Balancer::PeakEwma,
        Balancer::RoundRobin,
        Balancer::Random,
        hashed(HashRing::Ring(16_384)),
        hashed(HashRing::Maglev(65_537)),
    ] {
        let endpoints: Vec<_> = weights.map(weighing).into();
        let mut world = World::new(balanced(balancer.clone()), &endpoints);
        let found = world.percents(2_000);
        // Peak EWMA weighs what endpoints cost, and the heavy cost less.
        match balancer {
            Balancer::PeakEwma => assert!(found[3] > 65.0, "{found:?}"),
            _ => assert!(close(&found, &wanted, 5.0), "{balancer:?}: {found:?}"),
        }
    }
}

#[test]
fn each_in_turn_is_exact_over_a_round() {
    let mut world = World::new(balanced(Balancer::RoundRobin), &[1, 1, 1].map(weighing));
    for _ in 0..50 {
        let mut round = [world.pick(), world.pick(), world.pick()];
        round.sort_unstable();
        assert_eq!(round, [Some(0), Some(1), Some(2)]);
    }
    // With weights, nobody waits long and nobody comes in long rows.
    let mut world = World::new(balanced(Balancer::RoundRobin), &[1, 1, 8].map(weighing));
    let picks: Vec<_> = (0..1_000).map(|_| world.pick().unwrap()).collect();
    for stretch in picks.chunks(50) {
        let light = stretch.iter().filter(|at| **at < 2).count();
        assert!((8..=12).contains(&light), "{stretch:?}");
    }
}

#[test]
fn the_less_busy_of_two_is_picked() {
    let mut world = World::new(balanced(Balancer::LeastRequest), &[1, 1].map(weighing));
    (0..10).for_each(|_| world.hosts[0].begin());
    assert!((0..100).all(|_| world.pick() == Some(1)));
    // What is under way evens out, whatever was there before.
    let mut world = World::new(balanced(Balancer::LeastRequest), &[1; 10].map(weighing));
    for _ in 0..10_000 {
        let at = world.pick().unwrap();
        world.hosts[at].begin();
    }
    let active: Vec<_> = world.hosts.iter().map(|host| host.active()).collect();
    let (least, most) = (active.iter().min().unwrap(), active.iter().max().unwrap());
    assert!(most - least <= 10, "{active:?}");
}

#[test]
fn who_answers_slowly_gets_less_and_is_forgiven() {
    let mut world = World::new(balanced(Balancer::PeakEwma), &[1, 1].map(weighing));
    for _ in 0..20 {
        world.hosts[0].answered(Duration::from_millis(200), world.now);
        world.hosts[1].answered(Duration::from_millis(2), world.now);
    }
    assert!((0..100).all(|_| world.pick() == Some(1)));
    for _ in 0..120 {
        world.later(Duration::from_secs(1));
        world.hosts[1].answered(Duration::from_millis(2), world.now);
    }
    assert!((0..100).any(|_| world.pick() == Some(0)), "it is tried again");
}

#[test]
fn those_that_were_tried_are_picked_last() {
    for balancer in [
        Balancer::LeastRequest,
        Balancer::RoundRobin,
        hashed(HashRing::Maglev(251)),
    ] {
        let mut world = World::new(balanced(balancer), &[1, 1, 1].map(weighing));
        for n in 0..200 {
            let ask = |tried: &'static [u32]| Ask {
                tried,
                hash: Some(n),
                anywhere: true,
            };
            assert_eq!(world.ask(&ask(&[0, 2])), Some(1));
            assert_ne!(world.ask(&ask(&[1])), Some(1));
            assert!(world.ask(&ask(&[0, 1, 2])).is_some(), "better than nothing");
        }
    }
}

#[test]
fn nobody_is_nobody() {
    for balancer in [
        Balancer::LeastRequest,
        Balancer::RoundRobin,
        hashed(HashRing::Ring(1_024)),
    ] {
        assert_eq!(World::new(balanced(balancer), &[]).pick(), None);
    }
}

#[test]
fn a_new_endpoint_gets_its_share_slowly() {
    let settings = Settings {
        warmup: Some(Warmup {
            duration: Duration::from_secs(100),
            minimum_percent: 10,
            aggression_milli: 1_000,
        }),
        ..balanced(Balancer::RoundRobin)
    };
    let mut world = World::new(settings.clone(), &[weighing(1)]);
    world.later(HOUR);
    let old = world.picker.members()[0].clone();
    let new = Member {
        host: world.group.host(&"new".into(), world.now),
        ..old.clone()
    };
    world.hosts.push(new.host.clone());
    let members = vec![old, new];
    world.picker = Picker::new(settings, members, &Places::default(), &world.group, world.now);
    let share = |world: &mut World| world.percents(1_000)[1];
    // A tenth of a share beside a whole one, then a half, then all.
    assert!((8.0..=10.0).contains(&share(&mut world)));
    world.later(Duration::from_secs(50));
    let half = share(&mut world);
    assert!((32.0..=34.5).contains(&half), "{half}");
    world.later(Duration::from_secs(51));
    assert!((49.0..=51.0).contains(&share(&mut world)));
}
