use bytes::Bytes;
use mesh_model::Workload;
use mesh_model::l7::bind::{BindProtocol, Serves};
use mesh_model::l7::{Created, ObjectRef, Target};
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

#[test]
fn what_a_gateway_serves_goes_into_its_own_state() {
    let (writer, _reader) = mesh(Settings::default());
    let (l7_writer, l7) = mesh_state::l7::l7();
    let mut subscription = Subscription::of_gateway(writer, l7_writer);
    let bind = waypoint_bind();
    let name = bind.key().to_string();
    let good = resource(&name, bind.encode());
    let bad = resource("shop/waypoint/bad", bind.encode());
    let rejected = subscription
        .apply(of_type(TypeUrl::BIND, vec![bad, good]))
        .unwrap_err();
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        rejected[0].reason,
        r#"bind "shop/waypoint/bad": name: the content is that of "shop/waypoint/mesh""#
    );
    assert!(l7.snapshot().bind(&name).is_some());
    // The removal of a route of that name is none of the bind's business.
    for (type_url, left) in [(TypeUrl::ROUTE, 1), (TypeUrl::BIND, 0)] {
        let removal = Batch {
            type_url,
            resources: Vec::new(),
            removed: vec![name.clone()],
        };
        subscription.apply(removal).unwrap();
        assert_eq!(l7.snapshot().binds().count(), left);
    }
}

#[test]
fn every_type_of_a_gateway_is_known_to_it_and_only_to_it() {
    let (writer, _reader) = mesh(Settings::default());
    let mut gateway = Subscription::of_gateway(writer, mesh_state::l7::l7().0);
    let (mut node, _reader) = start();
    for type_url in GATEWAY_TYPES {
        let batch = || of_type(type_url, vec![resource("x", Bytes::from_static(b"\xff"))]);
        let reason =
            |subscription: &mut Subscription| subscription.apply(batch()).unwrap_err()[0].reason.clone();
        assert!(!reason(&mut gateway).contains("not known here"), "{type_url}");
        let known = TYPES.contains(&type_url);
        assert_eq!(!reason(&mut node).contains("not known here"), known, "{type_url}");
    }
}

#[test]
fn in_the_place_of_a_policy_that_is_not_understood_stands_one_that_keeps_its_targets_closed() {
    let (writer, _reader) = mesh(Settings::default());
    let (l7_writer, l7) = mesh_state::l7::l7();
    let mut subscription = Subscription::of_gateway(writer, l7_writer);
    let good = policy();
    let name = good.key().to_string();
    // A field of a later version.
    let later: Bytes = [&good.encode()[..], &[0xfa, 0x7f, 1, b'x']].concat().into();
    let send = |subscription: &mut Subscription, body: &Bytes| {
        subscription.apply(of_type(TypeUrl::POLICY, vec![resource(&name, body.clone())]))
    };
    send(&mut subscription, &later).unwrap_err();
    let there = l7.snapshot().policy(&name).cloned().unwrap();
    assert!(matches!(there.kind, PolicyKind::Unusable(_)), "{:?}", there.kind);
    assert_eq!((&there.object, &there.targets), (&good.object, &good.targets));
    send(&mut subscription, &good.encode()).unwrap();
    assert_eq!(
        l7.snapshot().policy(&name).map(|p| (**p).clone()),
        Some(good.clone())
    );
    // What was there before is better.
    send(&mut subscription, &later).unwrap_err();
    assert_eq!(
        l7.snapshot().policy(&name).map(|p| (**p).clone()),
        Some(good.clone())
    );
    let removal = Batch {
        type_url: TypeUrl::POLICY,
        resources: Vec::new(),
        removed: vec![name.clone()],
    };
    subscription.apply(removal).unwrap();
    assert!(l7.snapshot().policy(&name).is_none());
}

fn policy() -> Policy {
    Policy {
        part: "".into(),
        object: ObjectRef {
            kind: "Gateway".into(),
            name: NamespacedName::new("shop", "waypoint"),
        },
        targets: vec![Target::Gateway(NamespacedName::new("shop", "waypoint"))],
        created: Created::unknown(),
        kind: PolicyKind::ForwardClientIdentity(true),
    }
}

fn of_type(type_url: TypeUrl, resources: Vec<Resource>) -> Batch {
    Batch {
        type_url,
        resources,
        removed: Vec::new(),
    }
}

fn waypoint_bind() -> Bind {
    Bind {
        gateway: NamespacedName::new("shop", "waypoint"),
        listener: "mesh".into(),
        port: 15008,
        protocol: BindProtocol::Hbone {
            serves: Serves::Services,
        },
    }
}
