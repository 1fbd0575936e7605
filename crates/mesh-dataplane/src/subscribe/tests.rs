use bytes::Bytes;
use mesh_model::Workload;
use mesh_model::policy::{Action, Scope};
use mesh_state::{Settings, StateReader, mesh};
use mesh_types::{Identity, NamespacedName, WorkloadUid};

use super::*;

fn workload(name: &str) -> Address {
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let mut workload = Workload::new(WorkloadUid::of_pod("k", "shop", name), name, identity);
    workload.addresses = vec!["10.0.0.1".parse().unwrap()];
    Address::Workload(workload)
}

fn resource(name: &str, body: Bytes) -> Resource {
    Resource {
        name: name.to_owned(),
        version: "1".to_owned(),
        body,
    }
}

fn start() -> (Subscription, StateReader) {
    let (writer, reader) = mesh(Settings::default());
    (Subscription::new(writer), reader)
}

fn names(reader: &StateReader) -> Vec<String> {
    reader.query(|v| {
        let mut names: Vec<_> = v.workloads().map(|w| w.name.to_string()).collect();
        names.sort();
        names
    })
}

#[test]
fn good_resources_apply_and_bad_ones_are_named() {
    let (mut subscription, reader) = start();
    let good = workload("good");
    let batch = Batch {
        type_url: TypeUrl::ADDRESS,
        resources: vec![
            resource("k//Pod/shop/bad", Bytes::from_static(b"\xff\xff")),
            resource(&good.name(), good.encode()),
        ],
        removed: Vec::new(),
    };
    let rejected = subscription.apply(batch).unwrap_err();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].name, "k//Pod/shop/bad");
    assert!(!rejected[0].reason.contains('\n'), "{}", rejected[0].reason);
    assert_eq!(names(&reader), ["good"]);
}

#[test]
fn a_bad_update_leaves_what_was_there() {
    let (mut subscription, reader) = start();
    let good = workload("pod");
    let name = good.name();
    let batch = |body| Batch {
        type_url: TypeUrl::ADDRESS,
        resources: vec![resource(&name, body)],
        removed: Vec::new(),
    };
    subscription.apply(batch(good.encode())).unwrap();
    subscription
        .apply(batch(Bytes::from_static(b"\xff")))
        .unwrap_err();
    assert_eq!(names(&reader), ["pod"]);
}

#[test]
fn removals_apply_to_their_own_type() {
    let (mut subscription, reader) = start();
    let pod = workload("pod");
    let policy = Authorization {
        name: NamespacedName::new("shop", "deny"),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: Vec::new(),
        dry_run: false,
    };
    let add = |type_url, name: &str, body| Batch {
        type_url,
        resources: vec![resource(name, body)],
        removed: Vec::new(),
    };
    subscription
        .apply(add(TypeUrl::AUTHORIZATION, "shop/deny", policy.encode()))
        .unwrap();
    subscription
        .apply(add(TypeUrl::ADDRESS, &pod.name(), pod.encode()))
        .unwrap();
    let held = |reader: &StateReader| reader.query(|v| (v.workloads().count(), v.policies().count()));
    assert_eq!(held(&reader), (1, 1));
    let remove = |type_url, name: &str| Batch {
        type_url,
        resources: Vec::new(),
        removed: vec![name.to_owned()],
    };
    subscription.apply(remove(TypeUrl::ADDRESS, "shop/deny")).unwrap();
    assert_eq!(held(&reader), (1, 1));
    subscription
        .apply(remove(TypeUrl::AUTHORIZATION, "shop/deny"))
        .unwrap();
    subscription.apply(remove(TypeUrl::ADDRESS, &pod.name())).unwrap();
    assert_eq!(held(&reader), (0, 0));
}

#[test]
fn an_unknown_type_is_refused_by_name() {
    let (mut subscription, _reader) = start();
    let batch = Batch {
        type_url: TypeUrl::of("type.googleapis.com/x"),
        resources: vec![resource("a", Bytes::new())],
        removed: Vec::new(),
    };
    assert_eq!(subscription.apply(batch).unwrap_err()[0].name, "a");
}
