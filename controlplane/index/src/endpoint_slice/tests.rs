use mesh_model::Address;

use crate::fixture::Mesh;
use controlplane_k8s_api::Kind;

const SERVICE: &str = "{apiVersion: v1, kind: Service, metadata: {name: db, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: a, port: 80}, {name: u, port: 53, protocol: UDP}]}}\n---\n";

fn slice(kind: &str, endpoints: &str) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: db-1, namespace: shop, labels: {{kubernetes.io/service-name: db}}}}, addressType: {kind}, endpoints: [{endpoints}], ports: [{{name: a, port: 8080}}, {{name: u, port: 53, protocol: UDP}}, {{name: x, port: 1}}, {{name: a}}]}}\n---\n"
    )
}

fn uids(mesh: &Mesh) -> Vec<String> {
    let workloads = mesh
        .addresses
        .iter()
        .filter(|(_, a)| matches!(a, Address::Workload(_)));
    workloads
        .map(|(name, _)| name.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn endpoints_without_a_pod_are_workloads_of_their_service() {
    let endpoints = "{addresses: [10.0.0.1, 10.0.0.2]}, {addresses: [10.0.0.3], targetRef: {kind: Pod, namespace: shop, name: x}}, {addresses: [10.0.0.4], targetRef: {kind: Node, name: n}}";
    let mesh = Mesh::of(&format!("{SERVICE}{}", slice("IPv4", endpoints)));
    assert_eq!(uids(&mesh), ["10.0.0.1", "10.0.0.4"]);
    let Some(Address::Workload(first)) = mesh
        .addresses
        .get("Kubernetes/discovery.k8s.io/EndpointSlice/shop/db-1/10.0.0.1")
    else {
        panic!("no workload");
    };
    assert_eq!(first.addresses.len(), 2);
    let ports: Vec<_> = first
        .services
        .values()
        .flatten()
        .map(|p| (p.service_port, p.target_port))
        .collect();
    assert_eq!(ports, [(80, Some(8080))]);
}

#[test]
fn slices_wait_for_their_service_and_go_with_it() {
    let mut mesh = Mesh::of(&slice("IPv4", "{addresses: [10.0.0.1]}"));
    assert!(mesh.addresses.is_empty());
    mesh.set(SERVICE);
    assert_eq!(uids(&mesh), ["10.0.0.1"]);
    mesh.remove(Kind::Service, "shop/db");
    assert!(mesh.addresses.is_empty());
}

#[test]
fn host_names_are_no_endpoints() {
    let mesh = Mesh::of(&format!(
        "{SERVICE}{}",
        slice("FQDN", "{addresses: [db.example.com]}")
    ));
    assert!(uids(&mesh).is_empty());
}
