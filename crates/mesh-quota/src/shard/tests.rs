use super::Shards;
use crate::key::Key;

const KEYS: usize = 20_000;

fn shards(names: &[String]) -> Shards {
    Shards::new(names.iter().cloned()).unwrap()
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("ratelimit-{n}")).collect()
}

fn keys() -> Vec<Key> {
    (0..KEYS)
        .map(|n| Key::new("shop", [("user", format!("user-{n}").as_str())]))
        .collect()
}

#[test]
fn keys_are_spread_evenly() {
    for n in 1..=8 {
        let shards = shards(&names(n));
        let mut counted = vec![0_usize; n];
        for key in keys() {
            counted[shards.owner(&key)] += 1;
        }
        let mean = KEYS / n;
        for count in counted {
            assert!(
                count.abs_diff(mean) * 10 < mean,
                "{count} of {KEYS} at one of {n}"
            );
        }
    }
}

#[test]
fn only_keys_of_one_that_comes_or_goes_move() {
    let all = names(5);
    let (with, keys) = (shards(&all), keys());
    for gone in 0..all.len() {
        let mut fewer = all.clone();
        let gone = fewer.remove(gone);
        let without = shards(&fewer);
        let mut moved = 0;
        for key in &keys {
            let before = &with.names()[with.owner(key)];
            let after = &without.names()[without.owner(key)];
            if before == after {
                continue;
            }
            assert_eq!(*before, gone, "{key} moved although its owner is there");
            moved += 1;
        }
        assert!((KEYS / 6..KEYS / 4).contains(&moved), "{moved}");
    }
}

#[test]
fn order_is_of_no_consequence_and_names_are_distinct() {
    let mut other = names(4);
    other.reverse();
    assert_eq!(shards(&names(4)), shards(&other));
    assert_eq!(Shards::new([]), None);
    assert_eq!(Shards::new(["a".to_owned(), "a".to_owned()]), None);
}
