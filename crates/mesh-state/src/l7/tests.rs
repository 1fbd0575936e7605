use mesh_model::l7::attach::{Effective, Place};
use mesh_model::l7::backend::Location;
use mesh_model::l7::bind::{BindProtocol, Serves};
use mesh_model::l7::policy::{PathNormalization, PolicyKind};
use mesh_model::l7::route::{RouteParent, Rules};
use mesh_model::l7::{Created, ObjectRef, ServicePort, Target};
use mesh_types::{NamespacedHostname, NamespacedName, WorkloadUid};

use super::*;

fn object(kind: &str, name: &str) -> ObjectRef {
    ObjectRef {
        kind: kind.into(),
        name: NamespacedName::new("shop", name),
    }
}

fn port(service: &str, port: u16) -> ServicePort {
    ServicePort {
        service: NamespacedHostname::new("shop", service),
        port,
    }
}

fn at_port(service: &str, number: u16) -> RouteParent {
    RouteParent::ServicePort(port(service, number))
}

fn at_service(service: &str) -> RouteParent {
    RouteParent::Service(NamespacedHostname::new("shop", service))
}

/// A route whose content differs with `created`.
fn route(name: &str, created: u64, parents: &[RouteParent]) -> L7Update {
    L7Update::Route(Arc::new(Route {
        object: object("TCPRoute", name),
        part: Strng::default(),
        parents: parents.to_vec(),
        created: Created::at(created),
        consumer: None,
        hostnames: Vec::new(),
        rules: Rules::Tcp(Vec::new()),
    }))
}

fn policy(name: &str, targets: &[Target]) -> L7Update {
    L7Update::Policy(Arc::new(Policy {
        part: "".into(),
        object: object("MeshConfig", name),
        targets: targets.to_vec(),
        created: Created::unknown(),
        kind: PolicyKind::PathNormalization(PathNormalization::None),
    }))
}

fn bind(port: u16) -> L7Update {
    L7Update::Bind(Arc::new(Bind {
        gateway: NamespacedName::new("shop", "waypoint"),
        listener: "mesh".into(),
        port,
        protocol: BindProtocol::Hbone {
            serves: Serves::Services,
        },
    }))
}

fn backend(port: u16) -> L7Update {
    L7Update::Backend(Arc::new(Backend {
        name: "out".into(),
        object: object("ServiceEntry", "out"),
        location: Location::Dns {
            host: "example.com".into(),
            port,
        },
    }))
}

fn gone(kind: L7Kind, key: &str) -> L7Update {
    L7Update::Remove(kind, key.into())
}

fn names(snapshot: &L7Snapshot, parent: &RouteParent) -> Vec<String> {
    let attached = snapshot.routes_of(parent).into_iter().flat_map(Attached::iter);
    attached.map(|r| r.object.name.name.to_string()).collect()
}

#[test]
fn a_batch_is_one_generation_and_a_batch_that_changes_nothing_is_none() {
    let (mut writer, reader) = l7();
    let mut generation = reader.generation();
    let everything = || {
        vec![
            bind(15008),
            backend(443),
            route("a", 1, &[]),
            policy("p", &[Target::Mesh]),
        ]
    };
    assert_eq!(writer.apply(everything()), Generation(1));
    assert_eq!(*generation.borrow_and_update(), Generation(1));
    assert_eq!(writer.apply(everything()), Generation(1));
    assert_eq!(
        writer.apply(vec![gone(L7Kind::Route, "HTTPRoute/shop/a")]),
        Generation(1)
    );
    // What a batch takes back within itself did not happen.
    let back_and_forth = vec![route("a", 2, &[]), route("a", 1, &[])];
    assert_eq!(writer.apply(back_and_forth), Generation(1));
    assert!(!generation.has_changed().unwrap());
    let snapshot = reader.snapshot();
    let counts = [
        snapshot.binds().count(),
        snapshot.backends().count(),
        snapshot.routes().count(),
        snapshot.policies().count(),
    ];
    assert_eq!((snapshot.generation(), counts), (Generation(1), [1; 4]));
}

#[test]
fn everything_is_found_by_its_name_until_it_is_gone() {
    let (mut writer, reader) = l7();
    writer.apply(vec![
        bind(15008),
        backend(443),
        route("a", 1, &[]),
        policy("p", &[Target::Mesh]),
    ]);
    let snapshot = reader.snapshot();
    assert!(
        snapshot
            .bind("shop/waypoint/mesh")
            .is_some_and(|b| b.port == 15008)
    );
    assert!(snapshot.backend("out").is_some());
    assert!(snapshot.route("TCPRoute/shop/a").is_some());
    assert!(snapshot.policy("MeshConfig/shop/p/path-normalization").is_some());
    writer.apply(vec![
        gone(L7Kind::Bind, "shop/waypoint/mesh"),
        gone(L7Kind::Backend, "out"),
        gone(L7Kind::Route, "TCPRoute/shop/a"),
        gone(L7Kind::Policy, "MeshConfig/shop/p/path-normalization"),
    ]);
    let later = reader.snapshot();
    assert!(later.bind("shop/waypoint/mesh").is_none() && later.backend("out").is_none());
    assert!(later.route("TCPRoute/shop/a").is_none());
    assert!(later.policies().next().is_none() && later.policies_of(&Target::Mesh).is_none());
    assert!(
        snapshot.route("TCPRoute/shop/a").is_some(),
        "a snapshot does not change"
    );
}

#[test]
fn routes_move_with_their_parents() {
    let (mut writer, reader) = l7();
    let (web, cart) = (at_port("web", 80), at_port("cart", 80));
    writer.apply(vec![
        route("b", 1, &[web.clone(), cart.clone()]),
        route("a", 1, std::slice::from_ref(&web)),
    ]);
    let snapshot = reader.snapshot();
    assert_eq!(names(&snapshot, &web), ["a", "b"]);
    assert_eq!(names(&snapshot, &cart), ["b"]);
    writer.apply(vec![route("b", 1, std::slice::from_ref(&cart))]);
    let snapshot = reader.snapshot();
    assert_eq!(names(&snapshot, &web), ["a"]);
    assert_eq!(names(&snapshot, &cart), ["b"]);
    writer.apply(vec![gone(L7Kind::Route, "TCPRoute/shop/b")]);
    assert!(reader.snapshot().routes_of(&cart).is_none());
}

#[test]
fn only_places_that_a_change_touches_get_a_new_generation() {
    let (mut writer, reader) = l7();
    let (web, cart) = (at_port("web", 80), at_port("cart", 80));
    writer.apply(vec![
        route("a", 1, std::slice::from_ref(&web)),
        route("b", 1, std::slice::from_ref(&cart)),
    ]);
    writer.apply(vec![
        route("a", 2, std::slice::from_ref(&web)),
        policy("p", &[Target::Mesh]),
    ]);
    let snapshot = reader.snapshot();
    let generation = |parent| snapshot.routes_of(parent).map(Attached::generation);
    assert_eq!(generation(&web), Some(Generation(2)));
    assert_eq!(generation(&cart), Some(Generation(1)));
    let policies = snapshot.policies_of(&Target::Mesh).map(Attached::generation);
    assert_eq!(policies, Some(Generation(2)));
}

#[test]
fn policies_count_where_the_snapshot_has_them() {
    let (mut writer, reader) = l7();
    let gateway = NamespacedName::new("shop", "waypoint");
    let at = Place::at(gateway.clone()).with_service(port("web", 80));
    writer.apply(vec![
        policy("mesh", &[Target::Mesh]),
        policy("web", &[Target::Mesh, Target::Service(port("web", 80).service)]),
    ]);
    let snapshot = reader.snapshot();
    let counts = |place: &Place| {
        Effective::at(&*snapshot, place)
            .path_normalization
            .unwrap()
            .object
    };
    assert_eq!(counts(&at), object("MeshConfig", "web"));
    assert_eq!(Effective::at(&*snapshot, &at).attached.len(), 2);
    assert_eq!(counts(&Place::at(gateway)), object("MeshConfig", "mesh"));
}

#[test]
fn labels_are_found_by_workload_until_they_are_gone() {
    let (mut writer, reader) = l7();
    let uid = WorkloadUid::new("Kubernetes//Pod/shop/cart-1");
    let labels = |version: &str| {
        L7Update::EndpointLabels(Arc::new(EndpointLabels {
            workload: uid.clone(),
            labels: [("version".into(), version.into())].into(),
        }))
    };
    assert_eq!(writer.apply(vec![labels("v1")]), Generation(1));
    assert_eq!(writer.apply(vec![labels("v1")]), Generation(1));
    writer.apply(vec![labels("v2")]);
    let snapshot = reader.snapshot();
    let found = snapshot.labels_of(&uid).unwrap();
    assert!(found.have(&[("version".into(), "v2".into())]));
    assert!(!found.have(&[("version".into(), "v1".into())]) && !found.have(&[("app".into(), "".into())]));
    assert_eq!(snapshot.labels().count(), 1);
    writer.apply(vec![gone(L7Kind::EndpointLabels, uid.as_str())]);
    assert!(reader.snapshot().labels_of(&uid).is_none());
}

#[test]
fn a_port_has_its_own_routes_and_its_services() {
    let (mut writer, reader) = l7();
    writer.apply(vec![route("all", 1, &[at_service("web")])]);
    writer.apply(vec![route("own", 1, &[at_port("web", 80)])]);
    let snapshot = reader.snapshot();
    let routes = snapshot.routes_of_port(&port("web", 80));
    let names: Vec<_> = routes.iter().map(|r| r.object.name.name.to_string()).collect();
    assert_eq!(names, ["own", "all"]);
    assert_eq!(routes.generations(), [Some(Generation(2)), Some(Generation(1))]);
    let other = snapshot.routes_of_port(&port("web", 443));
    assert_eq!(other.generations(), [None, Some(Generation(1))]);
}

#[test]
fn a_view_keeps_its_snapshot_until_there_is_a_newer_one() {
    let (mut writer, reader) = l7();
    let mut view = reader.view();
    let first = view.snapshot().clone();
    assert!(Arc::ptr_eq(&first, view.snapshot()));
    writer.apply(vec![bind(15008)]);
    assert_eq!(view.snapshot().generation(), Generation(1));
}

#[test]
fn a_changed_route_among_ten_thousand_leaves_the_others_where_they_are() {
    for parent_of in
        [|_| at_service("web"), |i| at_service(&format!("web-{i}"))] as [fn(u64) -> RouteParent; 2]
    {
        let (mut writer, reader) = l7();
        let one = |i: u64, created| route(&format!("r{i:05}"), created, &[parent_of(i)]);
        writer.apply((0..10_000).map(|i| one(i, 1)).collect());
        let before = reader.snapshot();
        for i in 0..100 {
            writer.apply(vec![one(i * 100, 2)]);
        }
        let after = reader.snapshot();
        assert_eq!(after.generation(), Generation(101));
        let same = before
            .routes()
            .zip(after.routes())
            .filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(same.count(), 9_900);
    }
}
