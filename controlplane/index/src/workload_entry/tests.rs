use controlplane_k8s_api::networking::WorkloadEntrySpec;
use mesh_model::Address;

use super::*;
use crate::fixture::{Mesh, ip};
use crate::status::{ConditionType, StatusReason};

fn entry(metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: vm, namespace: shop, {metadata}}}, spec: {{{spec}}}}}\n---\n"
    )
}

fn vm(mesh: &Mesh) -> &Workload {
    match mesh
        .addresses
        .get("Kubernetes/networking.istio.io/WorkloadEntry/shop/vm")
    {
        Some(Address::Workload(workload)) => workload,
        _ => panic!("there is no workload"),
    }
}

#[test]
fn an_address_a_name_or_a_network_say_where_it_is() {
    let at = |address: &str, network: &str| place(&address.into(), &network.into());
    assert_eq!(at("10.0.0.1", ""), Ok((vec![ip("10.0.0.1")], "".into())));
    assert_eq!(at("::ffff:10.0.0.1", ""), Ok((vec![ip("10.0.0.1")], "".into())));
    assert_eq!(at("vm.example.com", ""), Ok((vec![], "vm.example.com".into())));
    assert_eq!(at("", "far"), Ok((vec![], "".into())));
    assert!(at("", "").is_err());
    assert!(at("unix:///run/app.sock", "far").is_err());
}

#[test]
fn localities_have_up_to_three_parts() {
    let parts = |text: &str| {
        let l = locality(text);
        [l.region.to_string(), l.zone.to_string(), l.subzone.to_string()]
    };
    assert_eq!(parts(""), ["", "", ""]);
    assert_eq!(parts("eu"), ["eu", "", ""]);
    assert_eq!(parts("eu/a/b/c"), ["eu", "a", "b"]);
}

#[test]
fn labels_of_object_and_spec_are_one_and_the_objects_count() {
    let metadata = "labels: {app: outer, version: v1}, annotations: {istio.io/autoRegistrationGroup: group}";
    let mesh = Mesh::of(&entry(
        metadata,
        "address: 10.0.0.1, labels: {app: inner, service.istio.io/canonical-revision: blue}",
    ));
    let vm = vm(&mesh);
    assert_eq!(
        (vm.canonical_name.as_str(), vm.canonical_revision.as_str()),
        ("outer", "blue")
    );
    assert_eq!(vm.workload_name, "group");
    let mesh = Mesh::of(&entry(
        "labels: {service.istio.io/workload-name: n}",
        "address: 10.0.0.1",
    ));
    assert_eq!(self::vm(&mesh).workload_name, "n");
}

#[test]
fn services_select_it_and_ports_meet_by_name() {
    let service = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: vm}, ports: [{name: a, port: 80, targetPort: named}, {name: b, port: 81, targetPort: 8081}, {name: c, port: 82}, {name: d, port: 83, targetPort: missing}]}
---
apiVersion: v1
kind: Service
metadata: {name: everything, namespace: shop}
spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}
---
";
    let mesh = Mesh::of(
        &(service.to_owned()
            + &entry(
                "labels: {app: vm}",
                "address: 10.0.0.1, ports: {named: 8000, c: 9000}",
            )),
    );
    let services: Vec<_> = vm(&mesh).services.iter().collect();
    let [(name, ports)] = services[..] else {
        panic!("{services:?}")
    };
    assert_eq!(name.to_string(), "shop/web.shop.svc.cluster.local");
    let targets: Vec<_> = ports.iter().map(|p| (p.service_port, p.target_port)).collect();
    assert_eq!(targets, [(80, Some(8000)), (81, Some(8081)), (82, Some(9000))]);
    assert_eq!(mesh.reasons("shop/vm"), [ConditionReason::UnknownTargetPort]);
}

#[test]
fn tunnel_weight_and_network_are_its_own() {
    let root = "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system, labels: {topology.istio.io/network: near}}}\n---\n";
    let mesh = Mesh::of(
        &(root.to_owned()
            + &entry(
                "annotations: {ambient.istio.io/redirection: enabled}",
                "address: 10.0.0.1, weight: 7",
            )),
    );
    let workload = vm(&mesh);
    assert_eq!(
        (workload.tunnel_protocol, workload.native_tunnel),
        (TunnelProtocol::Hbone, false)
    );
    assert_eq!((workload.capacity, workload.network.as_str()), (7, "near"));
    let mesh = Mesh::of(
        &(root.to_owned()
            + &entry(
                "labels: {networking.istio.io/tunnel: http}",
                "address: 10.0.0.1, network: far, weight: 0",
            )),
    );
    let workload = vm(&mesh);
    assert_eq!(
        (workload.tunnel_protocol, workload.native_tunnel),
        (TunnelProtocol::Hbone, true)
    );
    assert_eq!((workload.capacity, workload.network.as_str()), (1, "far"));
}

#[test]
fn its_status_tells_of_its_waypoint() {
    let mesh = Mesh::of(&entry("labels: {istio.io/use-waypoint: wp}", "address: 10.0.0.1"));
    let status = mesh.index.statuses();
    let bound = status[0].condition(ConditionType::WaypointBound).unwrap();
    assert_eq!(
        (bound.holds, bound.reason),
        (false, StatusReason::WaypointIsNotReady)
    );
    assert!(vm(&mesh).waypoint.is_some());
}

#[test]
fn a_path_on_one_machine_is_no_place() {
    let spec = WorkloadEntrySpec {
        address: "unix:///run/app.sock".into(),
        ..WorkloadEntrySpec::default()
    };
    let object = controlplane_k8s_api::Object::WorkloadEntry(WorkloadEntry {
        spec,
        ..WorkloadEntry::default()
    });
    let mut mesh = Mesh::of("");
    mesh.apply(vec![crate::ObjectChange::Set(object)]);
    assert!(mesh.addresses.is_empty());
    assert_eq!(mesh.reasons("/"), [ConditionReason::Invalid]);
}
