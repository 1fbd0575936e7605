use std::collections::BTreeMap;

use super::*;

fn entries(map: &SharedMap<u32, u32>) -> Vec<(u32, u32)> {
    map.iter().map(|(k, v)| (*k, *v)).collect()
}

#[test]
fn it_does_what_an_ordered_map_does() {
    let mut dice = fastrand::Rng::with_seed(7);
    let (mut ours, mut theirs) = (SharedMap::default(), BTreeMap::new());
    for round in 0..50_000 {
        // First it grows, then it shrinks.
        let key = dice.u32(..3_000);
        let insert = dice.u32(..4) > if round < 25_000 { 0 } else { 2 };
        if insert {
            assert_eq!(ours.insert(key, round), theirs.insert(key, round));
        } else {
            assert_eq!(ours.remove(&key), theirs.remove(&key));
        }
        assert_eq!((ours.len(), ours.get(&key)), (theirs.len(), theirs.get(&key)));
        if round % 997 == 0 {
            assert_eq!(entries(&ours), theirs.clone().into_iter().collect::<Vec<_>>());
            assert!(
                ours.runs
                    .iter()
                    .all(|run| !run.is_empty() && run.len() <= LONGEST_RUN)
            );
        }
    }
    for key in 0..3_000 {
        assert_eq!(ours.remove(&key), theirs.remove(&key));
    }
    assert_eq!((ours.len(), ours.runs.len()), (0, 0));
}

#[test]
fn a_clone_keeps_what_it_had_and_shares_what_did_not_change() {
    let mut map = SharedMap::default();
    for key in 0..10_000 {
        map.insert(key, 0);
    }
    let before = map.clone();
    map.insert(5_000, 1);
    map.remove(&5_001);
    assert_eq!((before.get(&5_000), before.get(&5_001)), (Some(&0), Some(&0)));
    assert_eq!((map.get(&5_000), map.get(&5_001)), (Some(&1), None));
    let own = map
        .runs
        .iter()
        .zip(before.runs.iter())
        .filter(|(a, b)| !Arc::ptr_eq(a, b));
    assert!(own.count() <= 2, "a change copies the runs that it touches");
}

#[test]
fn what_differs_from_an_earlier_state_is_named() {
    let mut dice = fastrand::Rng::with_seed(23);
    let mut map = SharedMap::default();
    let mut kept = vec![map.clone()];
    for round in 0..4_000_u32 {
        let key = dice.u32(..2_000);
        match dice.u32(..4) > if round < 2_500 { 0 } else { 2 } {
            true => drop(map.insert(key, round)),
            false => drop(map.remove(&key)),
        }
        if round % 400 == 0 {
            kept.push(map.clone());
        }
    }
    kept.push(map);
    for one in &kept {
        for other in &kept {
            let (ours, theirs) = (
                BTreeMap::from_iter(entries(one)),
                BTreeMap::from_iter(entries(other)),
            );
            let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            let expected: Vec<_> = keys
                .into_iter()
                .filter(|key| ours.get(key) != theirs.get(key))
                .collect();
            assert_eq!(one.changed_since(other, u32::eq), expected);
        }
    }
}
