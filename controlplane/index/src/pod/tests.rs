use mesh_model::Port;

use super::*;
use crate::fixture::{Mesh, ip, pod, registered};
use controlplane_k8s_api::Kind;

const STATUS: &str =
    "status: {phase: Running, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: \"True\"}]}";

/// A Pod `shop/web` whose object has a status.
fn with_status(status: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop}}\nspec: {{nodeName: n1}}\n{status}\n"
    )
}

#[test]
fn pod_without_status_or_registration_is_nothing_and_says_why() {
    let mesh = Mesh::of(&pod("shop/web", "", ""));
    assert_eq!(mesh.find_pod("shop/web"), None);
    assert_eq!(mesh.reasons("shop/web"), [ConditionReason::NoAddress]);
}

#[test]
fn status_counts_where_nothing_is_registered() {
    let mut mesh = Mesh::of(&with_status(STATUS));
    let web = mesh.pod("shop/web");
    assert_eq!(
        (web.addresses.as_slice(), web.status),
        ([ip("10.0.0.1")].as_slice(), HealthStatus::Healthy)
    );
    assert_eq!(web.tunnel_protocol, TunnelProtocol::None);
    mesh.set(&with_status("status: {phase: Pending, podIP: 10.0.0.2}"));
    let web = mesh.pod("shop/web");
    assert_eq!(
        (web.addresses.as_slice(), web.status),
        ([ip("10.0.0.2")].as_slice(), HealthStatus::Unhealthy)
    );
    for phase in ["Succeeded", "Failed"] {
        mesh.set(&with_status(&STATUS.replace("Running", phase)));
        assert_eq!(mesh.find_pod("shop/web"), None, "{phase}");
    }
}

#[test]
fn registration_counts_more_than_the_status() {
    let mut mesh = Mesh::of(&with_status(STATUS));
    mesh.register("shop/web", registered("10.0.0.9"));
    let web = mesh.pod("shop/web");
    assert_eq!(web.addresses, [ip("10.0.0.9")]);
    assert_eq!(web.tunnel_protocol, TunnelProtocol::Hbone);
    for redirection in [Redirection::Plain, Redirection::Pending] {
        mesh.register(
            "shop/web",
            Registration {
                redirection,
                ..registered("10.0.0.9")
            },
        );
        assert_eq!(mesh.pod("shop/web").tunnel_protocol, TunnelProtocol::None);
    }
    mesh.withdraw("shop/web");
    assert_eq!(mesh.pod("shop/web").addresses, [ip("10.0.0.1")]);
}

#[test]
fn ended_lease_or_unready_is_unhealthy_and_still_there() {
    let mut mesh = Mesh::of(&pod("shop/web", "", ""));
    mesh.register("shop/web", registered("10.0.0.1"));
    assert_eq!(mesh.pod("shop/web").status, HealthStatus::Healthy);
    mesh.register(
        "shop/web",
        Registration {
            live: false,
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.pod("shop/web").status, HealthStatus::Unhealthy);
    assert_eq!(mesh.pod("shop/web").tunnel_protocol, TunnelProtocol::Hbone);
    mesh.register(
        "shop/web",
        Registration {
            ready: false,
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.pod("shop/web").status, HealthStatus::Unhealthy);
    mesh.register("shop/web", registered("10.0.0.1"));
    mesh.set(&pod(
        "shop/web",
        "deletionTimestamp: \"2026-01-01T00:00:00Z\"",
        "",
    ));
    assert_eq!(mesh.pod("shop/web").status, HealthStatus::Unhealthy);
}

#[test]
fn registration_of_another_node_or_instance_counts_for_nothing() {
    let uid = |n: u8| format!("00000000-0000-0000-0000-00000000000{n}");
    let mut mesh = Mesh::of(&pod("shop/web", &format!("uid: {}", uid(1)), ""));
    mesh.register(
        "shop/web",
        Registration {
            node: "n2".into(),
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.find_pod("shop/web"), None);
    mesh.register(
        "shop/web",
        Registration {
            uid: uid(2).into(),
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.find_pod("shop/web"), None);
    mesh.register(
        "shop/web",
        Registration {
            uid: uid(1).into(),
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.pod("shop/web").addresses, [ip("10.0.0.1")]);
    mesh.register("shop/web", registered("10.0.0.2"));
    assert_eq!(
        mesh.pod("shop/web").addresses,
        [ip("10.0.0.2")],
        "a sandbox's id is no Pod's uid"
    );
}

#[test]
fn newest_claim_owns_the_address() {
    let mut mesh = Mesh::of(&(pod("shop/old", "", "") + &pod("bank/new", "", "")));
    let both = Registration {
        addresses: vec![ip("10.0.0.1"), ip("fd00::1")],
        ..registered("10.0.0.1")
    };
    mesh.register("shop/old", both.clone());
    mesh.register("bank/new", registered("10.0.0.1"));
    assert_eq!(mesh.pod("shop/old").addresses, [ip("fd00::1")]);
    assert_eq!(mesh.pod("bank/new").addresses, [ip("10.0.0.1")]);
    assert_eq!(mesh.reasons("shop/old"), [ConditionReason::AddressTaken]);
    // The agent tells again what it told before: no new claim.
    mesh.register("shop/old", Registration { ready: false, ..both });
    assert_eq!(mesh.pod("shop/old").addresses, [ip("fd00::1")]);
    mesh.register(
        "bank/new",
        Registration {
            addresses: vec![ip("fd00::1"), ip("10.0.0.1")],
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.find_pod("shop/old"), None, "no address is left");
    mesh.remove(Kind::Pod, "bank/new");
    assert_eq!(
        mesh.pod("shop/old").addresses.len(),
        2,
        "a registration without a Pod claims nothing"
    );
}

#[test]
fn status_never_holds_an_address_against_a_registration() {
    let mut mesh = Mesh::of(&(with_status(STATUS) + "---\n" + &pod("bank/new", "", "")));
    mesh.register("bank/new", registered("10.0.0.1"));
    assert_eq!(mesh.find_pod("shop/web"), None);
    assert_eq!(
        mesh.pod("bank/new").identity.to_string(),
        "spiffe://cluster.local/ns/bank/sa/default"
    );
}

#[test]
fn pods_on_the_nodes_network_share_its_address() {
    let host = with_status(STATUS).replace("nodeName: n1", "nodeName: n1, hostNetwork: true");
    let second = host.replace("name: web", "name: two");
    let mut mesh = Mesh::of(&format!("{host}---\n{second}---\n{}", pod("bank/new", "", "")));
    mesh.register("bank/new", registered("10.0.0.1"));
    for name in ["shop/web", "shop/two"] {
        assert_eq!(mesh.pod(name).network_mode, NetworkMode::HostNetwork);
        assert_eq!(mesh.pod(name).addresses, [ip("10.0.0.1")]);
    }
}

#[test]
fn mapped_and_repeated_addresses_are_one() {
    let mut mesh = Mesh::of(&pod("shop/web", "", ""));
    let addresses = vec![ip("10.0.0.1"), ip("::ffff:10.0.0.1"), ip("10.0.0.1")];
    mesh.register(
        "shop/web",
        Registration {
            addresses,
            ..registered("10.0.0.1")
        },
    );
    assert_eq!(mesh.pod("shop/web").addresses, [ip("10.0.0.1")]);
}

#[test]
fn applications_that_tunnel_themselves_say_so() {
    let mut mesh = Mesh::of(&pod("shop/web", "labels: {networking.istio.io/tunnel: http}", ""));
    mesh.register(
        "shop/web",
        Registration {
            redirection: Redirection::Plain,
            ..registered("10.0.0.1")
        },
    );
    let web = mesh.pod("shop/web");
    assert_eq!(
        (web.tunnel_protocol, web.native_tunnel),
        (TunnelProtocol::Hbone, true)
    );
}

#[test]
fn place_and_network_come_from_node_and_root_namespace() {
    let objects = "
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z, topology.istio.io/subzone: s}}
---
apiVersion: v1
kind: Namespace
metadata: {name: istio-system, labels: {topology.istio.io/network: net1}}
---
";
    let mut mesh = Mesh::of(&format!("{objects}{}", pod("shop/web", "", "")));
    mesh.register("shop/web", registered("10.0.0.1"));
    let web = mesh.pod("shop/web");
    assert_eq!(
        (
            web.locality.region.as_str(),
            web.locality.zone.as_str(),
            web.locality.subzone.as_str()
        ),
        ("r", "z", "s")
    );
    assert_eq!(web.network, "net1");
    mesh.remove(Kind::Node, "n1");
    assert_eq!(
        mesh.pod("shop/web").locality,
        mesh_model::workload::Locality::default()
    );
    assert!(mesh.index.unused().is_empty());
}

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: web, tier: front}, ports: [{name: a, port: 80, targetPort: http}, {name: b, port: 81}, {name: c, port: 82, targetPort: 8082}, {name: d, port: 83, targetPort: side}, {name: e, port: 84, targetPort: udp}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: other}
spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: by-hand, namespace: shop}
spec: {clusterIP: 10.96.0.3, ports: [{name: a, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, selector: {app: web}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand-1, namespace: shop, labels: {kubernetes.io/service-name: by-hand}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, namespace: shop, name: web, uid: u1}}]
ports: [{name: a, port: 8080}]
---
";
const CONTAINERS: &str = "containers: [{ports: [{name: http, containerPort: 8080}, {name: udp, containerPort: 5000, protocol: UDP}]}], initContainers: [{restartPolicy: Always, ports: [{name: side, containerPort: 9000}]}, {ports: [{name: b, containerPort: 1}]}]";

fn port(service_port: u16, target_port: u16) -> Port {
    Port {
        service_port,
        target_port: Some(target_port),
        app_protocol: mesh_model::AppProtocol::Unknown,
    }
}

#[test]
fn services_select_by_label_within_their_namespace_and_resolve_ports_per_pod() {
    let mut mesh = Mesh::of(&format!(
        "{SERVICES}{}",
        pod("shop/web", "uid: u1, labels: {app: web, tier: front}", CONTAINERS)
    ));
    mesh.register("shop/web", registered("10.0.0.1"));
    let served = |mesh: &Mesh, name: &str| -> Option<Vec<Port>> {
        let mut services = mesh.pod("shop/web").services.iter();
        let ports = services
            .find(|(n, _)| n.to_string() == format!("shop/{name}.shop.svc.cluster.local"))?
            .1;
        Some(ports.iter().copied().collect())
    };
    let expected = vec![port(80, 8080), port(81, 81), port(82, 8082), port(83, 9000)];
    assert_eq!(served(&mesh, "web"), Some(expected));
    assert_eq!(
        mesh.reasons("shop/web"),
        [ConditionReason::UnknownTargetPort],
        "the UDP port does not count"
    );
    assert_eq!(served(&mesh, "by-hand"), Some(vec![port(80, 8080)]));
    assert_eq!(mesh.pod("shop/web").services.len(), 2);

    mesh.set(&pod("shop/web", "uid: u2, labels: {app: web}", CONTAINERS));
    assert_eq!(
        mesh.pod("shop/web").services.len(),
        0,
        "another instance, and a label less"
    );
}

#[test]
fn a_slice_that_kubernetes_keeps_for_a_selector_computes_no_pod_anew() {
    let slice = |service: &str, ready: bool| {
        format!(
            "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {service}-1, namespace: shop, labels: {{kubernetes.io/service-name: {service}}}}}
addressType: IPv4
endpoints: [{{addresses: [10.0.0.1], conditions: {{ready: {ready}}}, targetRef: {{kind: Pod, namespace: shop, name: web}}}}]
ports: [{{name: a, port: 8080}}]
---
"
        )
    };
    let mut mesh = Mesh::of(&format!(
        "{SERVICES}{}{}{}",
        pod("shop/web", "labels: {app: web, tier: front}", CONTAINERS),
        slice("web", true),
        slice("by-hand", true)
    ));
    mesh.register("shop/web", registered("10.0.0.1"));
    let before = mesh.index.workload_computations();
    mesh.set(&slice("web", false));
    assert_eq!(mesh.index.workload_computations(), before);
    // Of a Service without a selector, the slice is what says which Pods are meant.
    mesh.set(&slice("by-hand", false));
    assert_eq!(mesh.index.workload_computations(), before + 1);
    // It is one as soon as its Service loses its selector.
    mesh.set("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{name: a, port: 80}]}}");
    let ports = &mesh.pod("shop/web").services;
    let of_web = ports.iter().find(|(name, _)| name.hostname.starts_with("web."));
    assert_eq!(
        of_web.map(|(_, ports)| ports.iter().copied().collect::<Vec<_>>()),
        Some(vec![port(80, 8080)])
    );
}
