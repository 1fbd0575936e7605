use std::collections::HashSet;

use super::{Key, LONGEST};

#[test]
fn entries_are_never_mistaken_for_others() {
    let keys = [
        Key::new("shop", [("a", "b")]),
        Key::new("shop", [("a", "b|c=d")]),
        Key::new("shop", [("a", "b"), ("c", "d")]),
        Key::new("shop", [("a", "b%7Cc%3Dd")]),
        Key::new("shop|a=b", []),
        Key::new("shop", [("a=b", "")]),
        Key::new("shop", [("*", "")]),
        Key::new("shop", [("*", "x")]),
        Key::together("shop", "x"),
        Key::together("shop", ""),
        Key::new("shop", []),
    ];
    let distinct: HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
    assert_eq!(keys[2].as_str(), "shop|a=b|c=d");
}

#[test]
fn long_values_make_short_keys_that_differ() {
    let long = "ü".repeat(100_000);
    let one = Key::new("shop", [("user", long.as_str())]);
    let other = Key::new("shop", [("user", format!("{long}!").as_str())]);
    assert!(one.as_str().len() <= LONGEST, "{}", one.as_str().len());
    assert_ne!(one, other);
    assert_eq!(Key::of_log(one.as_str().as_bytes()), Some(one));
}

#[test]
fn a_key_is_one_line() {
    let key = Key::new("shop", [("user", "a\nb\u{7f}")]);
    assert_eq!(key.as_str(), "shop|user=a%0Ab%7F");
}
