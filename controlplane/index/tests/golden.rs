//! The derivation held to the incumbent's: `vectors/objects.yaml` are Kubernetes objects, `vectors/expected.txt` is what
//! Istio's control plane (86c9f01, ambient, defaults) sent to a ztunnel for them over delta ADS, as protobuf text.
//!
//! Every resource is compared field by field. What is not derived yet, and where we differ, is listed here; an entry of
//! these lists that is not needed any more fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use controlplane_index::{Index, MeshConfig, ObjectChange};
use controlplane_k8s_api::{IgnoredReason, Object};
use mesh_proto::istio::{security, workload};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Resources of kinds that are not read yet: ServiceEntry, WorkloadEntry.
const NOT_DERIVED: [&str; 10] = [
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-dns/alt.example.com",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-dns/www.example.com",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-static/192.0.2.10",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-static/192.0.2.11",
    "Kubernetes/networking.istio.io/WorkloadEntry/bank/vm-1",
    "bank/cidr.example.net",
    "bank/vms.internal",
    "shop/alt.example.com",
    "shop/api.example.com",
    "shop/www.example.com",
];

/// Resources with a field `waypoint`, which follows from Gateway, a kind that is not read yet.
const WITHOUT_WAYPOINT: [&str; 2] = [
    "Kubernetes//Pod/bank/nightly-28930000-x",
    "bank/ledger.bank.svc.cluster.local",
];

/// Headless Services whose object names no address family. The vectors were taken behind an API server, which had filled
/// in the cluster's own (`IPv4`) before istiod saw the object; a file is read as it is, and an absent family stands for
/// whatever the Pods have.
const FAMILIES_AS_WRITTEN: [&str; 1] = ["shop/web-headless.shop.svc.cluster.local"];

/// Objects of the vectors that change nothing, since their kind is not read yet.
const UNSUPPORTED: [&str; 0] = [];

#[test]
fn addresses_are_what_istiod_sends() {
    let mut expected: BTreeMap<_, workload::Address> = expected("istio.workload.Address");
    for name in NOT_DERIVED {
        assert!(expected.remove(name).is_some(), "{name} is not expected at all");
    }
    for name in WITHOUT_WAYPOINT {
        assert!(take_waypoint(&mut expected, name), "{name} has no waypoint");
    }
    for name in FAMILIES_AS_WRITTEN {
        let Some(workload::address::Type::Service(service)) = inner(&mut expected, name) else {
            panic!("{name} is no service");
        };
        assert_eq!(service.ip_families, workload::IpFamilies::Ipv4Only as i32);
        service.ip_families = workload::IpFamilies::Automatic as i32;
    }
    let changes = index().take_changes().addresses;
    let actual = changes
        .iter()
        .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.into())));
    assert_same(&expected, &actual.collect());
}

#[test]
fn authorizations_are_what_istiod_sends() {
    let expected: BTreeMap<_, security::Authorization> = expected("istio.security.Authorization");
    let changes = index().take_changes().authorizations;
    let actual = changes
        .iter()
        .filter_map(|c| Some((c.name.to_string(), c.value.as_ref()?.into())));
    assert_same(&expected, &actual.collect());
}

#[test]
fn every_object_is_read_and_used() {
    let mut unsupported = BTreeSet::new();
    for object in objects() {
        match object {
            Object::Ignored(i) if i.reason == IgnoredReason::UnsupportedKind => {
                unsupported.insert(i.object.to_string());
            }
            Object::Ignored(i) => assert_eq!(i.object.kind, "ServiceAccount"),
            _ => {}
        }
    }
    assert_eq!(unsupported, UNSUPPORTED.map(str::to_owned).into());
    assert_eq!(index().unused(), Vec::<String>::new());
}

fn index() -> Index {
    let mut index = Index::new(MeshConfig::default());
    index.apply(objects().into_iter().map(ObjectChange::Set));
    index
}

fn objects() -> Vec<Object> {
    let results = controlplane_k8s_api::parse(&vector("objects.yaml")).into_iter();
    results
        .map(|r| {
            r.unwrap_or_else(|e| panic!("{}", e.in_file("objects.yaml")))
                .value
        })
        .collect()
}

/// The expected resources of one type, by name.
fn expected<M: Message + Default>(type_name: &str) -> BTreeMap<String, M> {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/mesh-proto/proto");
    let files = ["istio/workload.proto", "istio/authorization.proto"];
    let descriptors = protox::compile(files, [protos]).expect("the .proto files compile");
    let pool = DescriptorPool::from_file_descriptor_set(descriptors).expect("the descriptors are whole");
    let descriptor = pool
        .get_message_by_name(type_name)
        .expect("the type is in the .proto files");
    let text = vector("expected.txt");
    let blocks = text.split("=== ").filter(|b| !b.is_empty());
    let resources = blocks.filter_map(|block| {
        let (head, body) = block.split_once('\n').expect("a head line and a body");
        let name = head.strip_prefix(type_name)?.trim().to_owned();
        let message = DynamicMessage::parse_text_format(descriptor.clone(), body)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let message = M::decode(message.encode_to_vec().as_slice()).expect("the same .proto files");
        Some((name, message))
    });
    let resources: BTreeMap<_, _> = resources.collect();
    assert!(!resources.is_empty());
    resources
}

fn vector(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

type Addresses = BTreeMap<String, workload::Address>;

fn inner<'a>(addresses: &'a mut Addresses, name: &str) -> Option<&'a mut workload::address::Type> {
    addresses.get_mut(name)?.r#type.as_mut()
}

fn take_waypoint(addresses: &mut Addresses, name: &str) -> bool {
    match inner(addresses, name) {
        Some(workload::address::Type::Workload(w)) => w.waypoint.take().is_some(),
        Some(workload::address::Type::Service(s)) => s.waypoint.take().is_some(),
        None => false,
    }
}

fn assert_same<M: PartialEq + std::fmt::Debug>(expected: &BTreeMap<String, M>, actual: &BTreeMap<String, M>) {
    for (name, expected) in expected {
        let actual = actual
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not derived"));
        assert_eq!(actual, expected, "{name}: ours left, istiod's right");
    }
    let names = |m: &BTreeMap<String, M>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(actual), names(expected), "derived too much");
}
