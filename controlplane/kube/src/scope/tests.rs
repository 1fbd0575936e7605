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

#[test]
fn without_a_selector_every_namespace_belongs_to_the_mesh() {
    assert!(Scope::default().includes(&labels(&[])));
}

#[test]
fn one_selector_is_enough_and_each_must_hold_as_a_whole() {
    let scope = Scope::new(vec![
        wanting(&[("team", "a"), ("env", "prod")]),
        wanting(&[("mesh", "on")]),
    ]);
    assert!(scope.includes(&labels(&[("team", "a"), ("env", "prod")])));
    assert!(scope.includes(&labels(&[("mesh", "on")])));
    assert!(!scope.includes(&labels(&[("team", "a")])));
    assert!(!scope.includes(&labels(&[])));
}
