use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

fn wanting(pairs: &[(&str, &str)]) -> LabelSelector {
    LabelSelector {
        match_labels: labels(pairs),
        ..LabelSelector::default()
    }
}

fn in_namespace(namespace: &str, labelled: &[(&str, &str)]) -> Metadata {
    Metadata {
        namespace: namespace.into(),
        labels: labels(labelled),
        ..Metadata::default()
    }
}

#[test]
fn without_a_selector_every_namespace_belongs_to_the_mesh() {
    let mut scope = Scope::new("istio-system", "default");
    assert!(scope.has(Kind::Pod, &in_namespace("never-seen", &[])));
    assert!(
        !scope.set_namespace(&"a".into(), Some(&labels(&[]))),
        "nothing changes by it"
    );
}

#[test]
fn one_selector_is_enough_and_each_must_hold_as_a_whole() {
    let mut scope = Scope::new("istio-system", "default");
    let selectors = vec![
        wanting(&[("team", "a"), ("env", "prod")]),
        wanting(&[("mesh", "on")]),
    ];
    assert!(scope.select(selectors.clone()));
    assert!(!scope.select(selectors));
    for (name, pairs, belongs) in [
        ("a", &[("team", "a"), ("env", "prod")][..], true),
        ("b", &[("mesh", "on")], true),
        ("c", &[("team", "a")], false),
        ("d", &[], false),
    ] {
        let changed = scope.set_namespace(&name.into(), Some(&labels(pairs)));
        assert_eq!(changed, belongs, "{name}");
        assert_eq!(scope.has(Kind::Pod, &in_namespace(name, &[])), belongs, "{name}");
    }
    assert!(!scope.has(Kind::Pod, &in_namespace("never-seen", &[])));
    assert!(
        scope.has(Kind::Node, &in_namespace("", &[])),
        "what is in no namespace is everybody's"
    );
    assert!(
        scope.has(Kind::ConfigMap, &in_namespace("istio-system", &[])),
        "the mesh's own"
    );
    assert!(scope.set_namespace(&"a".into(), None));
    assert!(!scope.has(Kind::Pod, &in_namespace("a", &[])));
}

#[test]
fn configuration_may_be_for_one_revision_and_facts_are_for_all() {
    let scope = Scope::new("istio-system", "blue");
    let of = |revision| in_namespace("shop", &[("istio.io/rev", revision)]);
    assert!(scope.has(Kind::AuthorizationPolicy, &in_namespace("shop", &[])));
    assert!(scope.has(Kind::AuthorizationPolicy, &of("blue")));
    assert!(!scope.has(Kind::AuthorizationPolicy, &of("green")));
    assert!(scope.has(Kind::Pod, &of("green")));
}
