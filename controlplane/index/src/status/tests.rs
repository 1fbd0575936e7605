use super::*;
use controlplane_k8s_api::Kind;

fn object(name: &str) -> ObjectKey {
    ObjectKey {
        kind: Kind::Service,
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn condition(message: &str) -> StatusCondition {
    StatusCondition::new(
        ConditionType::WaypointBound,
        true,
        StatusReason::WaypointAccepted,
        message,
    )
}

fn parent(name: &str) -> Parent {
    Parent {
        group: "gateway.networking.k8s.io".into(),
        kind: "Gateway".into(),
        namespace: "shop".into(),
        name: name.into(),
        section_name: None,
        port: None,
    }
}

#[test]
fn what_is_said_of_one_object_stands_together_and_each_thing_once() {
    let mut statuses = Statuses::default();
    statuses.add(&object("b"), &[condition("one").into()]);
    statuses.add(&object("a"), &[condition("one").into()]);
    statuses.add(&object("b"), &[condition("one").into(), condition("two").into()]);
    let statuses = statuses.into_vec();
    let said: Vec<_> = statuses
        .iter()
        .map(|s| (s.object.name.as_str(), s.conditions.len()))
        .collect();
    assert_eq!(said, [("a", 1), ("b", 2)]);
    assert_eq!(
        statuses[1].condition(ConditionType::WaypointBound),
        Some(&condition("one"))
    );
    assert_eq!(statuses[1].condition(ConditionType::Programmed), None);
}

#[test]
fn each_parent_has_its_own_conditions() {
    let about = |name: &str, message: &str| Stated {
        parent: Some(parent(name)),
        condition: condition(message),
    };
    let mut statuses = Statuses::default();
    statuses.add(
        &object("a"),
        &[about("y", "one"), about("x", "two"), about("y", "three")],
    );
    let status = &statuses.into_vec()[0];
    assert!(status.conditions.is_empty());
    let parents: Vec<_> = status
        .parents
        .iter()
        .map(|p| (p.parent.name.as_str(), p.conditions.len()))
        .collect();
    assert_eq!(parents, [("x", 1), ("y", 2)]);
}
