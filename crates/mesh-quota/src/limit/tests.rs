use super::{Found, Limit, Limits, Pattern};
use crate::window::Unit;

fn limit(name: &str, entries: &[(&str, Option<&str>)], requests: u32) -> Limit {
    let pattern = |(key, value): &(&str, Option<&str>)| Pattern {
        key: (*key).to_owned(),
        value: value.map(str::to_owned),
    };
    Limit {
        name: name.to_owned(),
        entries: entries.iter().map(pattern).collect(),
        requests,
        unit: Unit::Day,
    }
}

fn find(limits: &Limits, domain: &str, entries: &[(&str, &str)]) -> Option<String> {
    match limits.find(domain, entries.iter().copied()) {
        Found::Limit(limit) => Some(limit.name.clone()),
        Found::Unlimited => Some("unlimited".to_owned()),
        Found::UnknownDomain => None,
    }
}

#[test]
fn the_most_exact_limit_counts() {
    let mut limits = Limits::default();
    limits.set(
        "shop",
        [
            limit("any", &[("user", None), ("path", None)], 1),
            limit("bob", &[("user", Some("bob")), ("path", None)], 2),
            limit("bob's second", &[("user", Some("bob")), ("path", None)], 2),
            limit("bob at home", &[("user", Some("bob")), ("path", Some("/"))], 3),
            limit("user", &[("user", None)], 4),
        ],
    );
    let of = |entries: &[(&str, &str)]| find(&limits, "shop", entries).unwrap();
    assert_eq!(of(&[("user", "eve"), ("path", "/")]), "any");
    assert_eq!(of(&[("user", "bob"), ("path", "/x")]), "bob");
    assert_eq!(of(&[("user", "bob"), ("path", "/")]), "bob at home");
    assert_eq!(of(&[("user", "bob")]), "user");
    // Order and number count.
    assert_eq!(of(&[("path", "/"), ("user", "bob")]), "unlimited");
    assert_eq!(of(&[("user", "bob"), ("path", "/"), ("x", "y")]), "unlimited");
    assert_eq!(of(&[]), "unlimited");
}

#[test]
fn what_was_never_told_of_is_not_unlimited() {
    let mut limits = Limits::default();
    assert_eq!(find(&limits, "shop", &[]), None);
    limits.remove("shop");
    assert_eq!(find(&limits, "shop", &[]), None);
    limits.set("shop", []);
    limits.remove("shop");
    assert_eq!(find(&limits, "shop", &[]).unwrap(), "unlimited");
    for n in 0..5000 {
        limits.set(&format!("d{n}"), []);
        limits.remove(&format!("d{n}"));
    }
    assert_eq!(find(&limits, "shop", &[]), None, "so much is not remembered");
    assert_eq!(find(&limits, "d4999", &[]).unwrap(), "unlimited");
}

#[test]
fn a_small_limit_is_exact_also_over_a_crash() {
    assert_eq!(limit("", &[], 199).block(), 1);
    assert_eq!(limit("", &[], 1_000).block(), 10);
    assert_eq!(limit("", &[], u32::MAX).block(), 10_000);
    let second = Limit {
        unit: Unit::Second,
        ..limit("", &[], 50)
    };
    assert_eq!(second.block(), 50);
}
