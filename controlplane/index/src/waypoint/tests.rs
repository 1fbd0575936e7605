use super::*;
use crate::fixture::{Mesh, pod, registered};
use crate::status::{GivenAddress, ObjectStatus};

fn gateway(metadata: &str, spec: &str, status: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: wp, namespace: shop, {metadata}}}, \
         spec: {{{spec}}}, status: {{{status}}}}}\n---\n"
    )
}

const LISTENERS: &str = "listeners: [{name: mesh, port: 15008, protocol: HBONE}]";
const STATUS: &str =
    "addresses: [{type: IPAddress, value: 10.96.9.9}, {type: Hostname, value: wp.shop.svc.cluster.local}]";
const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: wp, namespace: shop}
spec: {clusterIP: 10.96.9.9, ports: [{name: mesh, port: 15008}]}
---
";
/// What asks for the waypoint.
const CLIENT: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, labels: {istio.io/use-waypoint: wp}}
spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}
---
";

fn of_class(class: &str) -> String {
    format!("gatewayClassName: {class}, {LISTENERS}")
}

fn status_of(mesh: &Mesh) -> Option<ObjectStatus> {
    let all = mesh.index.statuses();
    all.into_iter().find(|s| s.object.kind == Kind::Gateway)
}

fn waypoint_of<'a>(mesh: &'a Mesh, service: &str) -> Option<&'a GatewayRef> {
    mesh.service(&format!("{service}.shop.svc.cluster.local"))
        .waypoint
        .as_ref()
}

fn is_bound(mesh: &Mesh) -> bool {
    let mut all = mesh.index.statuses().into_iter();
    let web = all
        .find(|s| s.object.name == "web")
        .expect("it asks for a waypoint");
    web.condition(ConditionType::WaypointBound)
        .is_some_and(|c| c.holds)
}

#[test]
fn classes_listeners_and_bindings_make_a_waypoint() {
    let of_port = |class: &str| of_class(class).replace("15008, protocol: HBONE", "80, protocol: HTTP");
    let bound = "annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}";
    for (metadata, spec, expected) in [
        ("", of_port("istio-waypoint"), true),
        ("", of_port("lateen-waypoint"), true),
        ("", of_class("somebody-elses"), true),
        ("", of_class("istio-east-west"), false),
        ("", of_class("istio-remote"), false),
        ("", of_port("istio"), false),
        (bound, of_port("istio"), true),
    ] {
        let mesh = Mesh::of(&(gateway(metadata, &spec, STATUS) + CLIENT));
        assert_eq!(is_bound(&mesh), expected, "{metadata} {spec}");
    }
}

#[test]
fn a_host_name_in_the_status_counts_before_an_address() {
    let mesh = Mesh::of(&(gateway("", &of_class("istio-waypoint"), STATUS) + CLIENT));
    let expected = GatewayDestination::Hostname(mesh_types::NamespacedHostname::new(
        "shop",
        "wp.shop.svc.cluster.local",
    ));
    assert_eq!(
        waypoint_of(&mesh, "shop/web"),
        Some(&GatewayRef::new(expected, 15008))
    );
    let address = "addresses: [{value: 10.96.9.9}]";
    let mesh = Mesh::of(&(gateway("", &of_class("istio-waypoint"), address) + CLIENT));
    let expected = GatewayDestination::Address(NetworkAddress::new("", "10.96.9.9".parse().unwrap()));
    assert_eq!(
        waypoint_of(&mesh, "shop/web"),
        Some(&GatewayRef::new(expected, 15008))
    );
}

/// Where a load balancer is says nothing of where the mesh finds it.
#[test]
fn proxies_reach_a_waypoint_with_a_load_balancer_at_its_service() {
    let outside =
        "addresses: [{type: IPAddress, value: 192.0.2.7}, {type: Hostname, value: edge.example.org}]";
    let balanced = SERVICE.replace("clusterIP", "type: LoadBalancer, clusterIP");
    let inside = GatewayDestination::Hostname(mesh_types::NamespacedHostname::new(
        "shop",
        "wp.shop.svc.cluster.local",
    ));
    let inside = GatewayRef::new(inside, 15008);
    let gateway = gateway("uid: u-1", &of_class("istio-waypoint"), outside);
    let mut mesh = Mesh::of(&(gateway + &balanced + CLIENT));
    assert_eq!(waypoint_of(&mesh, "shop/web"), Some(&inside));
    let (addresses, programmed) = found(&mesh);
    assert!(addresses.is_empty() && !programmed, "it was given nothing yet");
    assert!(is_bound(&mesh), "which is none of the mesh's business");
    let given = balanced.replace(
        "---",
        "status: {loadBalancer: {ingress: [{ip: 192.0.2.7, ipMode: VIP}, {hostname: edge.example.org}]}}\n---",
    );
    mesh.set(&given);
    let (addresses, _) = found(&mesh);
    let expected = [
        GivenAddress::Ip("192.0.2.7".parse().unwrap()),
        GivenAddress::Hostname("edge.example.org".into()),
    ];
    assert_eq!(addresses, expected);
    assert_eq!(waypoint_of(&mesh, "shop/web"), Some(&inside));
}

/// What the Gateway's status is to say: its addresses, and whether it is programmed.
fn found(mesh: &Mesh) -> (Vec<GivenAddress>, bool) {
    let status = status_of(mesh).expect("it has a status");
    let programmed = status
        .condition(ConditionType::Programmed)
        .is_some_and(|c| c.holds);
    (status.served.expect("it is ours").addresses, programmed)
}

#[test]
fn without_a_status_the_service_of_its_name_makes_it_ready() {
    let gateway = gateway("", &of_class("lateen-waypoint"), "");
    let mut mesh = Mesh::of(&(gateway + CLIENT));
    assert!(!is_bound(&mesh));
    let before = waypoint_of(&mesh, "shop/web").cloned();
    mesh.set(&SERVICE.replace("15008", "80"));
    assert!(!is_bound(&mesh), "it does not speak HBONE");
    mesh.set(SERVICE);
    assert!(is_bound(&mesh));
    assert_eq!(
        waypoint_of(&mesh, "shop/web"),
        before.as_ref(),
        "proxies knew where it would be"
    );
    assert_eq!(
        waypoint_of(&mesh, "shop/wp"),
        None,
        "nothing stands before the waypoint itself"
    );
    let status = status_of(&mesh).unwrap();
    assert!(status.condition(ConditionType::Programmed).unwrap().holds);
    mesh.remove(Kind::Service, "shop/wp");
    let status = status_of(&mesh).unwrap();
    let programmed = status.condition(ConditionType::Programmed).unwrap();
    assert_eq!(
        (programmed.holds, programmed.reason),
        (false, StatusReason::AddressNotAssigned)
    );
}

#[test]
fn its_own_pods_and_services_have_no_waypoint() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: wp}}}\n---\n";
    let all = "labels: {istio.io/waypoint-for: all}, annotations: {ambient.istio.io/waypoint-inbound-binding: PROXY/15088}";
    let labelled = SERVICE.replace(
        "name: wp,",
        "name: wp-extra, labels: {gateway.networking.k8s.io/gateway-name: wp},",
    );
    let managed = SERVICE.replace(
        "name: wp,",
        "name: between, labels: {gateway.istio.io/managed: istio.io-eastwest-controller},",
    );
    let mut mesh = Mesh::of(&format!(
        "{namespace}{}{SERVICE}{labelled}{managed}{CLIENT}{}{}",
        gateway(all, &of_class("istio-waypoint"), STATUS),
        pod(
            "shop/wp-1",
            "labels: {gateway.networking.k8s.io/gateway-name: wp}",
            "serviceAccountName: wp"
        ),
        pod("shop/other", "", "")
    ));
    mesh.register("shop/wp-1", registered("10.0.0.1"));
    mesh.register("shop/other", registered("10.0.0.2"));
    for service in ["shop/wp", "shop/wp-extra", "shop/between"] {
        assert_eq!(waypoint_of(&mesh, service), None, "{service}");
    }
    assert!(waypoint_of(&mesh, "shop/web").is_some());
    let tunnel = ApplicationTunnel {
        protocol: ApplicationTunnelProtocol::Proxy,
        port: Some(15088),
    };
    let instance = mesh.pod("shop/wp-1");
    assert_eq!(
        (&instance.waypoint, instance.application_tunnel),
        (&None, Some(tunnel))
    );
    let other = mesh.pod("shop/other");
    assert!(other.waypoint.is_some() && other.application_tunnel.is_none());
}

#[test]
fn the_class_says_what_the_gateway_does_not() {
    let class = |metadata: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: c, {metadata}}}, spec: {{controllerName: example.com/c}}}}\n---\n"
        )
    };
    let of_class = of_class("c");
    for (on_class, on_gateway, bound) in [
        ("", "", true),
        ("labels: {istio.io/waypoint-for: workload}", "", false),
        (
            "labels: {istio.io/waypoint-for: workload}",
            "labels: {istio.io/waypoint-for: service}",
            true,
        ),
        (
            "labels: {istio.io/waypoint-for: all}",
            "labels: {istio.io/waypoint-for: none}",
            false,
        ),
        ("", "labels: {istio.io/waypoint-for: everything}", false),
    ] {
        let mesh = Mesh::of(&(class(on_class) + &gateway(on_gateway, &of_class, STATUS) + CLIENT));
        assert_eq!(is_bound(&mesh), bound, "{on_class} {on_gateway}");
    }
}

#[test]
fn what_its_annotation_says_wrongly_is_told() {
    for value in ["TCP", "PROXY/0", "PROXY/x", "PROXY/1/2", "proxy"] {
        let metadata = format!("annotations: {{ambient.istio.io/waypoint-inbound-binding: {value}}}");
        let mesh = Mesh::of(&gateway(&metadata, &of_class("istio-waypoint"), STATUS));
        assert_eq!(
            mesh.reasons("shop/wp"),
            [ConditionReason::UnknownValue],
            "{value}"
        );
    }
}

#[test]
fn a_clusters_gateway_says_where_it_is_found_and_whether_it_can_be_reached() {
    let in_cluster = |class: &str| gateway("uid: u-1, generation: 4", &of_class(class), STATUS);
    let said = |mesh: &Mesh| {
        let status = status_of(mesh).expect("it is a waypoint");
        let programmed = status.condition(ConditionType::Programmed).expect("it is said");
        (status.served.is_some(), programmed.reason)
    };
    // What its status says is what was written there earlier.
    let mut mesh = Mesh::of(&in_cluster("istio-waypoint"));
    assert_eq!(said(&mesh), (true, StatusReason::AddressNotAssigned));
    mesh.set(SERVICE);
    assert_eq!(said(&mesh), (true, StatusReason::Pending));
    let ready = "{apiVersion: v1, kind: Pod, metadata: {name: wp-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: wp}}, \
                 spec: {nodeName: a, serviceAccountName: wp}, status: {conditions: [{type: Ready, status: 'True'}]}}";
    mesh.set(ready);
    assert_eq!(said(&mesh), (true, StatusReason::Programmed));
    let status = status_of(&mesh).expect("it is a waypoint");
    assert_eq!(
        (status.observed_generation, status.uid.as_deref()),
        (Some(4), Some("u-1"))
    );
    mesh.remove(Kind::Pod, "shop/wp-1");
    assert_eq!(said(&mesh), (true, StatusReason::Pending));
    // Of somebody else's class it is a waypoint, and not ours to speak of.
    let mesh = Mesh::of(&in_cluster("somebody-elses"));
    assert_eq!(said(&mesh), (false, StatusReason::Programmed));
}

#[test]
fn a_gateway_tells_of_listeners_and_settings_that_cannot_be_served() {
    let accepted = |spec: &str| {
        let mesh = Mesh::of(&gateway("", spec, ""));
        let status = status_of(&mesh).expect("it is a waypoint");
        let accepted = status
            .condition(ConditionType::Accepted)
            .expect("it is said")
            .clone();
        (accepted.holds, accepted.reason)
    };
    assert_eq!(
        accepted(&of_class("istio-waypoint")),
        (true, StatusReason::Accepted)
    );
    let strange = "gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}, {name: odd, port: 9, protocol: example.com/sctp}]";
    assert_eq!(accepted(strange), (true, StatusReason::ListenersNotValid));
    let settings = format!(
        "{}, infrastructure: {{parametersRef: {{group: '', kind: ConfigMap, name: none}}}}",
        of_class("istio-waypoint")
    );
    assert_eq!(accepted(&settings), (false, StatusReason::InvalidParameters));
}

#[test]
fn a_gateway_without_a_listener_that_can_be_served_is_not_programmed() {
    let odd = "{name: odd, port: 9, protocol: example.com/sctp}";
    let ready = "{apiVersion: v1, kind: Pod, metadata: {name: wp-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: wp}}, \
                 spec: {nodeName: a, serviceAccountName: wp}, status: {conditions: [{type: Ready, status: 'True'}]}}";
    let said = |listeners: &str| {
        let spec = format!("gatewayClassName: istio-waypoint, listeners: [{listeners}]");
        let mut mesh = Mesh::of(&gateway("uid: u-1, generation: 4", &spec, ""));
        mesh.set(SERVICE);
        mesh.set(ready);
        let status = status_of(&mesh).expect("it is a waypoint");
        let of = |kind| {
            status
                .condition(kind)
                .map(|c| (c.holds, c.reason))
                .expect("it is said")
        };
        [of(ConditionType::Accepted), of(ConditionType::Programmed)]
    };
    let invalid = StatusReason::ListenersNotValid;
    assert_eq!(said(odd), [(false, invalid), (false, StatusReason::Invalid)]);
    // One is enough.
    let one = format!("{odd}, {{name: mesh, port: 15008, protocol: HBONE}}");
    assert_eq!(said(&one), [(true, invalid), (true, StatusReason::Programmed)]);
}

#[test]
fn classes_of_ours_are_accepted_and_no_others() {
    let class = |name: &str, controller: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: {name}}}, \
             spec: {{controllerName: {controller}}}}}\n---\n"
        )
    };
    let mesh = Mesh::of(&(class("a", "istio.io/mesh-controller") + &class("b", "example.org/gateways")));
    let statuses = mesh.index.statuses();
    let classes: Vec<_> = statuses.iter().map(|s| s.object.name.as_str()).collect();
    assert_eq!(classes, ["a"]);
}
