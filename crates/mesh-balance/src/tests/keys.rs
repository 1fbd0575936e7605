use mesh_model::l7::traffic::{HashKey, HashRing};

use super::*;
use crate::health::Changed;

fn hashed(ring: HashRing) -> Settings {
    balanced(Balancer::ConsistentHash {
        key: HashKey::SourceIp,
        ring,
    })
}

/// Where 5,000 keys go.
fn homes(world: &mut World) -> Vec<Option<usize>> {
    let home = |n: u64| {
        let ask = Ask {
            hash: Some(crate::ring::hash(&n.to_le_bytes())),
            ..Ask::default()
        };
        world.ask(&ask)
    };
    (0..5_000).map(home).collect()
}

fn moved(before: &[Option<usize>], after: &[Option<usize>]) -> usize {
    before.iter().zip(after).filter(|(a, b)| a != b).count()
}

#[test]
fn equal_keys_go_to_equal_endpoints_on_every_worker() {
    for ring in [HashRing::Ring(1_024), HashRing::Maglev(65_537)] {
        let endpoints = [1; 7].map(weighing);
        let first = homes(&mut World::new(hashed(ring), &endpoints));
        assert_eq!(first, homes(&mut World::new(hashed(ring), &endpoints)));
    }
}

#[test]
fn an_endpoint_that_comes_takes_only_its_own_share() {
    for (ring, allowed) in [(HashRing::Ring(16_384), 0), (HashRing::Maglev(65_537), 250)] {
        let before = homes(&mut World::new(hashed(ring), &[1; 9].map(weighing)));
        let after = homes(&mut World::new(hashed(ring), &[1; 10].map(weighing)));
        let moved = moved(&before, &after);
        let to_the_new = after.iter().filter(|at| **at == Some(9)).count();
        assert!((350..=650).contains(&to_the_new), "{ring:?}: {to_the_new}");
        assert!(moved - to_the_new <= allowed, "{ring:?}: {moved}, {to_the_new}");
    }
}

#[test]
fn only_the_keys_of_who_is_ill_move_and_they_come_back() {
    for ring in [HashRing::Ring(1_024), HashRing::Maglev(65_537)] {
        let mut world = World::new(hashed(ring), &[1; 5].map(weighing));
        let before = homes(&mut world);
        let ill = world.hosts[2].clone();
        world.group.checked(&ill, Changed::Ill);
        let during = homes(&mut world);
        for (before, during) in before.iter().zip(&during) {
            assert_ne!(*during, Some(2));
            assert!(before == during || *before == Some(2));
        }
        world.group.checked(&ill, Changed::Well);
        assert_eq!(homes(&mut world), before);
    }
}

#[test]
fn keys_without_a_hash_are_spread() {
    let mut world = World::new(hashed(HashRing::Maglev(65_537)), &[1, 1].map(weighing));
    assert!(close(&world.percents(2_000), &[50.0, 50.0], 5.0));
}

#[test]
fn more_endpoints_than_slots_is_no_panic() {
    let mut world = World::new(hashed(HashRing::Maglev(5)), &[1; 20].map(weighing));
    assert!(world.pick().is_some());
    let mut world = World::new(hashed(HashRing::Ring(1)), &[1; 20].map(weighing));
    assert!(world.pick().is_some());
}
