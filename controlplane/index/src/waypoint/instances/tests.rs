use controlplane_k8s_api::Kind;

use crate::fixture::{Mesh, pod, registered};
use crate::status::{ConditionType, StatusReason};

const LABEL: &str = "labels: {gateway.networking.k8s.io/gateway-name: wp}";
const NAMESPACE: &str =
    "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: wp}}}\n---\n";
const HOST: &str = "shop/wp.shop.svc.cluster.local";

/// A waypoint of this class, for all that comes, and the Service that leads to it.
fn gateway(class: &str, more: &str) -> String {
    format!(
        "{NAMESPACE}{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: wp, namespace: shop, uid: u-1, \
         labels: {{istio.io/waypoint-for: all}}{more}}}, \
         spec: {{gatewayClassName: {class}, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}}}\n---\n\
         {{apiVersion: v1, kind: Service, metadata: {{name: wp, namespace: shop}}, spec: {{clusterIP: 10.96.0.9, \
         selector: {{gateway.networking.k8s.io/gateway-name: wp}}, ports: [{{name: mesh, port: 15008}}]}}}}\n---\n"
    )
}

fn mesh(gateway: &str, pods: &[(&str, &str)]) -> Mesh {
    let pods_of = |(name, account): &(&str, &str)| {
        pod(
            &format!("shop/{name}"),
            LABEL,
            &format!("serviceAccountName: {account}"),
        )
    };
    let mut mesh = Mesh::of(&(gateway.to_owned() + &pods.iter().map(pods_of).collect::<String>()));
    for (i, (name, _)) in pods.iter().enumerate() {
        mesh.register(&format!("shop/{name}"), registered(&format!("10.0.0.{}", i + 1)));
    }
    mesh
}

/// Whether node proxies take a Pod for the waypoint: it is behind the waypoint's Service, and nothing stands before it.
fn is_instance(mesh: &Mesh, name: &str) -> (bool, bool) {
    let workload = mesh.pod(&format!("shop/{name}"));
    let behind = workload.services.keys().any(|host| host.to_string() == HOST);
    (behind, workload.waypoint.is_none())
}

#[test]
fn a_label_makes_no_pod_a_waypoints_that_does_not_run_as_its_proxies() {
    let pods = [
        ("real", "wp"),
        ("stranger", "default"),
        ("near", "wp-2"),
        ("case", "wp.a"),
    ];
    let mesh = mesh(&gateway("istio-waypoint", ""), &pods);
    assert_eq!(is_instance(&mesh, "real"), (true, true));
    for stranger in ["stranger", "near", "case"] {
        assert_eq!(is_instance(&mesh, stranger), (false, false), "{stranger}");
    }
    let statuses = mesh.index.statuses();
    let said = |name: &str| {
        let mut pods = statuses.iter().filter(|s| s.object.kind == Kind::Pod);
        let status = pods.find(|s| s.object.name == *name);
        status
            .and_then(|s| s.condition(ConditionType::SettingsUnderstood))
            .cloned()
    };
    assert_eq!(said("real"), None);
    let told = said("stranger").expect("it is told");
    assert_eq!((told.holds, told.reason), (false, StatusReason::ForeignAccount));
    assert_eq!(
        told.message,
        "metadata.labels[gateway.networking.k8s.io/gateway-name]: names waypoint shop/wp, whose proxies run as service \
         account wp, and this runs as default: it is none of them"
    );
}

#[test]
fn the_account_that_the_gateway_names_is_the_one_that_counts() {
    let gateway = gateway(
        "istio-waypoint",
        ", annotations: {gateway.istio.io/service-account: keeper}",
    );
    let mesh = mesh(&gateway, &[("real", "keeper"), ("named", "wp")]);
    assert_eq!(is_instance(&mesh, "real"), (true, true));
    assert_eq!(is_instance(&mesh, "named"), (false, false));
}

/// The Gateway was another one's before, or comes later: what its pods are follows.
#[test]
fn a_waypoint_that_somebody_else_makes_has_the_pods_that_its_labels_say() {
    let theirs = "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: theirs}, spec: {controllerName: example.com/waypoints}}\n---\n";
    let mut mesh = mesh(
        &(theirs.to_owned() + &gateway("theirs", "")),
        &[("any", "default")],
    );
    assert_eq!(is_instance(&mesh, "any"), (true, true));
    mesh.set(&gateway("istio-waypoint", ""));
    assert_eq!(is_instance(&mesh, "any"), (false, false));
}

#[test]
fn of_another_namespace_a_pod_with_the_same_account_and_label_is_none() {
    let mut mesh = mesh(&gateway("istio-waypoint", ""), &[("real", "wp")]);
    mesh.set(&pod("other/real", LABEL, "serviceAccountName: wp"));
    mesh.register("other/real", registered("10.0.1.1"));
    let workload = mesh.pod("other/real");
    assert!(workload.services.is_empty() && workload.application_tunnel.is_none());
    assert_eq!(
        workload.identity.to_string(),
        "spiffe://cluster.local/ns/other/sa/wp"
    );
}

#[test]
fn a_workload_entry_is_held_to_the_same() {
    let mut mesh = mesh(&gateway("istio-waypoint", ""), &[]);
    mesh.set(
        "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm, namespace: shop, \
         labels: {gateway.networking.k8s.io/gateway-name: wp}}, spec: {address: 192.0.2.7, serviceAccount: vm}}",
    );
    let address = "Kubernetes/networking.istio.io/WorkloadEntry/shop/vm";
    let Some(mesh_model::Address::Workload(vm)) = mesh.addresses.get(address) else {
        panic!("there is no workload: {:?}", mesh.addresses.keys());
    };
    assert!(vm.services.is_empty() && vm.waypoint.is_some());
}

/// Who is Programmed has pods of its own that are ready.
#[test]
fn a_strangers_pod_makes_no_gateway_programmed() {
    let ready = |account: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: shop, {LABEL}}}, spec: {{nodeName: n1, serviceAccountName: {account}}}, \
             status: {{conditions: [{{type: Ready, status: 'True'}}]}}}}"
        )
    };
    for (account, programmed) in [("default", false), ("wp", true)] {
        let mut mesh = mesh(&gateway("istio-waypoint", ""), &[]);
        mesh.set(&ready(account));
        let mut statuses = mesh.index.statuses().into_iter();
        let status = statuses
            .find(|s| s.object.kind == Kind::Gateway)
            .expect("it has a status");
        let condition = status.condition(ConditionType::Programmed).expect("it is said");
        assert_eq!(condition.holds, programmed, "{account}: {}", condition.message);
    }
}
