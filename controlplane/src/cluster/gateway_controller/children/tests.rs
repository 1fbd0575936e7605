use serde_json::{Value, json};

use super::*;

fn child(labels: Value, version: &str) -> Child {
    let object = json!({"metadata": {
        "namespace": "shop", "name": "waypoint", "uid": "u-2", "resourceVersion": version, "labels": labels,
        "ownerReferences": [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "waypoint", "uid": "u-1"}],
    }});
    serde_json::from_value(object).expect("an object")
}

fn made() -> Value {
    json!({MANAGED: "istio.io-mesh-controller", GATEWAY_NAME: "waypoint"})
}

fn owner(uid: &str) -> Owner {
    Owner {
        namespace: "shop".to_owned(),
        name: "waypoint".to_owned(),
        uid: uid.to_owned(),
    }
}

#[test]
fn only_what_a_gateway_of_this_name_became_is_touched() {
    let owner = owner("u-1");
    assert_eq!(step(None, &owner, None), Step::Apply);
    let ours = child(made(), "7");
    assert_eq!(step(Some(&ours), &owner, None), Step::Apply);
    assert_eq!(step(Some(&ours), &owner, Some("7")), Step::Nothing);
    assert_eq!(
        step(Some(&ours), &owner, Some("6")),
        Step::Apply,
        "somebody changed it"
    );
    for labels in [
        json!({}),
        json!({GATEWAY_NAME: "waypoint"}),
        json!({MANAGED: "istio.io-mesh-controller", GATEWAY_NAME: "another"}),
    ] {
        let theirs = child(labels.clone(), "7");
        assert_eq!(step(Some(&theirs), &owner, None), Step::Foreign, "{labels}");
    }
}

#[test]
fn a_list_says_what_is_not_there_any_more() {
    let mut children = Children::default();
    let key = key(Part::Service, &child(made(), "1"));
    let event = |event| News::Event(event);
    assert!(!children.take(Part::Service, event(Event::ListBegins)));
    children.take(Part::Service, event(Event::Listed(child(made(), "1"))));
    assert!(children.take(Part::Service, event(Event::ListEnds)));
    assert!(children.get(&key).is_some());
    assert!(!children.are_known(), "of the others nothing is known");
    children.take(Part::Service, event(Event::ListBegins));
    children.take(Part::Service, event(Event::ListEnds));
    assert!(children.get(&key).is_none());
    for part in Part::ALL {
        children.take(part, News::NotServed);
    }
    assert!(children.are_known());
}

#[test]
fn what_goes_with_an_earlier_gateway_is_of_this_name_and_not_owned() {
    let mut children = Children::default();
    let deployment = child(made(), "1");
    children.put(key(Part::Deployment, &deployment), deployment);
    let (first, second) = (owner("u-1"), owner("u-9"));
    let owned = |owner: &Owner| {
        children
            .of(owner)
            .filter(|(_, child)| child.is_owned_by(owner))
            .count()
    };
    assert_eq!((owned(&first), owned(&second)), (1, 0));
    assert_eq!(children.of(&second).count(), 1);
}
