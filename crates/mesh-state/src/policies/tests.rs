use mesh_model::authz::{Connection, evaluate};
use mesh_model::policy::Action;

use super::*;
use crate::fixtures::{identity, pod, policy};

fn plaintext() -> Connection<'static> {
    Connection {
        source: None,
        source_ip: "10.0.0.9".parse().unwrap(),
        destination_ip: "10.0.0.1".parse().unwrap(),
        destination_port: 8080,
    }
}

fn known(policies: impl IntoIterator<Item = Authorization>) -> Policies {
    let changes = policies.into_iter().map(|p| (p.name.clone(), Some(Arc::new(p))));
    Policies::default().updated(changes.collect())
}

fn listing(names: &[&str]) -> Workload {
    Workload {
        authorization_policies: names.iter().map(|n| n.parse().unwrap()).collect(),
        ..pod("a", "10.0.0.1")
    }
}

fn names(set: &PolicySet) -> Vec<String> {
    let policies = set.groups.iter().flat_map(|g| g.policies());
    let mut names: Vec<_> = policies.map(|p| p.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_workload_has_the_policies_of_the_mesh_of_its_namespace_and_those_it_lists() {
    let policies = known([
        policy("istio-system/mesh", Scope::Global, Action::Deny),
        policy("shop/all", Scope::Namespace, Action::Deny),
        policy("bank/all", Scope::Namespace, Action::Deny),
        policy("shop/listed", Scope::WorkloadSelector, Action::Deny),
        policy("shop/not-listed", Scope::WorkloadSelector, Action::Deny),
        policy("istio-system/strict", Scope::WorkloadSelector, Action::Deny),
    ]);
    let set = policies.of(&listing(&["shop/listed", "istio-system/strict"]));
    assert_eq!(
        names(&set),
        [
            "istio-system/mesh",
            "istio-system/strict",
            "shop/all",
            "shop/listed"
        ]
    );
    assert!(set.unknown.is_empty());
    let elsewhere = Workload::new(crate::fixtures::uid("b"), "b", identity("other", "web"));
    assert_eq!(names(&policies.of(&elsewhere)), ["istio-system/mesh"]);
}

#[test]
fn a_namespace_policy_of_the_root_namespace_is_not_the_meshs() {
    let policies = known([policy("istio-system/own", Scope::Namespace, Action::Deny)]);
    assert!(names(&policies.of(&listing(&[]))).is_empty());
}

#[test]
fn a_listed_policy_that_has_not_arrived_is_named_and_refuses() {
    let policies = known([policy("shop/here", Scope::WorkloadSelector, Action::Allow)]);
    let set = policies.of(&listing(&["shop/here", "shop/missing"]));
    assert_eq!(set.unknown, ["shop/missing".parse().unwrap()]);
    assert!(!evaluate(&plaintext(), &set).is_allowed());
}

#[test]
fn a_policy_that_changes_its_scope_applies_by_the_new_one_alone() {
    let policies = known([policy("shop/p", Scope::Global, Action::Deny)]);
    let narrowed = Arc::new(policy("shop/p", Scope::WorkloadSelector, Action::Deny));
    let policies = policies.updated(vec![(narrowed.name.clone(), Some(narrowed))]);
    assert!(names(&policies.of(&listing(&[]))).is_empty());
    assert_eq!(names(&policies.of(&listing(&["shop/p"]))), ["shop/p"]);
}

#[test]
fn a_listed_policy_of_another_scope_applies_too() {
    let policies = known([policy("bank/p", Scope::Namespace, Action::Deny)]);
    assert_eq!(names(&policies.of(&listing(&["bank/p"]))), ["bank/p"]);
}

#[test]
fn a_removed_policy_applies_no_more() {
    let policies = known([
        policy("shop/p", Scope::Namespace, Action::Deny),
        policy("shop/q", Scope::Namespace, Action::Deny),
    ]);
    let gone = |policies: Policies, name: &str| policies.updated(vec![(name.parse().unwrap(), None)]);
    let policies = gone(policies, "shop/p");
    assert_eq!(names(&policies.of(&listing(&[]))), ["shop/q"]);
    let policies = gone(policies, "shop/q");
    assert!(policies.groups.is_empty());
}

#[test]
fn only_groups_that_a_change_concerns_are_compiled_again() {
    let policies = known([
        policy("shop/p", Scope::Namespace, Action::Deny),
        policy("bank/p", Scope::Namespace, Action::Deny),
    ]);
    let shop = GroupKey::Namespace("shop".into());
    let before = policies.groups[&shop].clone();
    let other = Arc::new(policy("bank/p", Scope::Namespace, Action::Allow));
    let policies = policies.updated(vec![(other.name.clone(), Some(other))]);
    assert!(Arc::ptr_eq(&before, &policies.groups[&shop]));
}

#[test]
fn nothing_passes_before_the_policies_are_there_whatever_their_order() {
    let mut random = fastrand::Rng::with_seed(13);
    let listed = ["shop/a", "shop/b", "shop/c"];
    let workload = listing(&listed);
    for _ in 0..10_000 {
        let mut order = listed;
        random.shuffle(&mut order);
        let mut policies = Policies::default();
        for name in order {
            assert!(!evaluate(&plaintext(), &policies.of(&workload)).is_allowed());
            let arrived = Arc::new(policy(name, Scope::WorkloadSelector, Action::Allow));
            policies = policies.updated(vec![(arrived.name.clone(), Some(arrived))]);
        }
        assert!(evaluate(&plaintext(), &policies.of(&workload)).is_allowed());
    }
}
