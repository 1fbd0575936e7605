//! The derivation held to the incumbent's: `vectors/objects.yaml` are Kubernetes objects, `vectors/expected.txt` is what
//! Istio's control plane (86c9f01, ambient, defaults) sent to a ztunnel for them over delta ADS, as protobuf text.
//!
//! Every resource is compared field by field. Where we differ is listed here with the reason; an entry of these lists that
//! is not needed any more fails the test.

use std::collections::BTreeMap;
use std::path::Path;

use controlplane_index::status::ConditionType;
use controlplane_index::{Index, MeshConfig, ObjectChange};
use controlplane_k8s_api::Object;
use mesh_proto::istio::{security, workload};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// Endpoints of ServiceEntries whose own labels, if they have any, are not what `allow-mixed` selects (`app: web`). Upstream
/// asks the labels of the ServiceEntry instead, and of none at all finds that every selector matches (control-plane.md,
/// 2.13, item 3): a policy would hold for endpoints that it does not name.
const NOT_SELECTED: [&str; 4] = [
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-dns/alt.example.com",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-dns/www.example.com",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-static/192.0.2.10",
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-static/192.0.2.11",
];

/// Endpoints of ServiceEntries that are named by their own label (`app: ext`); upstream does not look at it.
const NAMED_BY_LABEL: [(&str, &str); 1] = [(
    "Kubernetes/networking.istio.io/ServiceEntry/shop/ext-static/192.0.2.10",
    "ext",
)];

/// Headless Services whose object names no address family. The vectors were taken behind an API server, which had filled
/// in the cluster's own (`IPv4`) before istiod saw the object; a file is read as it is, and an absent family stands for
/// whatever the Pods have.
const FAMILIES_AS_WRITTEN: [&str; 1] = ["shop/web-headless.shop.svc.cluster.local"];

#[test]
fn addresses_are_what_istiod_sends() {
    let mut expected: BTreeMap<_, workload::Address> = expected("istio.workload.Address");
    for name in NOT_SELECTED {
        let workload = expected_workload(&mut expected, name);
        assert_eq!(workload.authorization_policies, ["shop/allow-mixed"], "{name}");
        workload.authorization_policies.clear();
    }
    for (name, canonical_name) in NAMED_BY_LABEL {
        let workload = expected_workload(&mut expected, name);
        assert_eq!(workload.canonical_name, "ext-static", "{name}");
        workload.canonical_name = canonical_name.to_owned();
    }
    for name in FAMILIES_AS_WRITTEN {
        let Some(workload::address::Type::Service(service)) = inner(&mut expected, name) else {
            panic!("{name} is no service");
        };
        assert_eq!(service.ip_families, workload::IpFamilies::Ipv4Only as i32);
        service.ip_families = workload::IpFamilies::Automatic as i32;
    }
    let changes = index().take_changes().addresses;
    let read = |body| workload::Address::decode(body).expect("what is sent can be read");
    let actual = changes
        .into_iter()
        .filter_map(|c| Some((c.name.to_string(), read(c.value?))));
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

/// The Gateway of the vectors is a waypoint, and what its Namespace binds to it says so.
#[test]
fn statuses_name_the_waypoint() {
    let mut bound = Vec::new();
    for status in index().statuses() {
        for condition in status.conditions {
            if condition.kind == ConditionType::WaypointBound {
                assert!(condition.holds, "{}", condition.message);
                bound.push(status.object.reference().to_string());
            }
        }
    }
    let expected = [
        "Service bank/ledger",
        "ServiceEntry bank/ext-cidr",
        "ServiceEntry bank/vms",
        "WorkloadEntry bank/vm-1",
    ];
    assert_eq!(bound, expected);
}

#[test]
fn every_object_is_read_and_used() {
    for object in objects() {
        if let Object::Ignored(ignored) = object {
            assert_eq!(ignored.object.kind, "ServiceAccount");
        }
    }
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

fn expected_workload<'a>(addresses: &'a mut Addresses, name: &str) -> &'a mut workload::Workload {
    match inner(addresses, name) {
        Some(workload::address::Type::Workload(workload)) => workload,
        _ => panic!("{name} is no workload"),
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
