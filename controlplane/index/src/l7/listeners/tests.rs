use controlplane_k8s_api::Kind;
use mesh_model::l7::bind::{BindProtocol, Frontend, ProxyTrust, Serves};
use mesh_model::l7::tls::TlsTermination;

use crate::fixture::Mesh;
use crate::l7::fixture::{SHOP, route};
use crate::status::ListenerStatus;

const SECRETS: &str = r"
{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: infra}, type: kubernetes.io/tls, stringData: {tls.crt: '-----BEGIN CERTIFICATE-----', tls.key: '-----BEGIN EC PRIVATE KEY-----'}}
---
{apiVersion: v1, kind: Secret, metadata: {name: broken, namespace: infra}, type: kubernetes.io/tls, stringData: {tls.crt: nothing, tls.key: '-----BEGIN PRIVATE KEY-----'}}
---
{apiVersion: v1, kind: Secret, metadata: {name: cert, namespace: bank}, type: kubernetes.io/tls, stringData: {tls.crt: '-----BEGIN CERTIFICATE-----', tls.key: '-----BEGIN PRIVATE KEY-----'}}
---
";

fn gateway(class: &str, listeners: &str) -> Mesh {
    Mesh::of(&format!(
        "{SECRETS}{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: infra}}, \
         spec: {{gatewayClassName: {class}, listeners: [{listeners}]}}}}\n---\n"
    ))
}

fn listeners(mesh: &Mesh) -> Vec<ListenerStatus> {
    let statuses = mesh.index.statuses().into_iter();
    statuses
        .filter(|s| s.object.kind == Kind::Gateway && s.object.name == "edge")
        .flat_map(|s| s.listeners)
        .collect()
}

/// `Accepted ResolvedRefs Conflicted Programmed` of one listener, each `+` or what its reason is.
fn said(listener: &ListenerStatus) -> String {
    let conditions = listener.conditions.iter();
    let said = conditions.map(|c| match (c.kind.as_str(), c.holds) {
        ("Conflicted", false) | ("Accepted" | "ResolvedRefs" | "Programmed", true) => "+",
        _ => c.reason.as_str(),
    });
    said.collect::<Vec<_>>().join(" ")
}

#[test]
fn listeners_become_binds_and_say_what_they_are() {
    for (listener, kinds, expected) in [
        ("port: 80, protocol: HTTP", "HTTPRoute GRPCRoute", "+ + + +"),
        ("port: 9000, protocol: TCP", "TCPRoute", "+ + + +"),
        (
            "port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}",
            "HTTPRoute GRPCRoute",
            "+ + + +",
        ),
        (
            "port: 443, protocol: TLS, tls: {mode: Passthrough}",
            "TLSRoute",
            "+ + + +",
        ),
        (
            "port: 443, protocol: TLS, tls: {certificateRefs: [{name: cert}]}",
            "TLSRoute TCPRoute",
            "+ + + +",
        ),
        ("port: 53, protocol: UDP", "", "UnsupportedProtocol + + Invalid"),
        (
            "port: 15008, protocol: HBONE",
            "",
            "UnsupportedProtocol + + Invalid",
        ),
        (
            "port: 80, protocol: example.com/x",
            "",
            "UnsupportedProtocol + + Invalid",
        ),
        (
            "port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}",
            "GRPCRoute",
            "+ + + +",
        ),
        (
            "port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: TCPRoute}, {kind: HTTPRoute}]}",
            "HTTPRoute",
            "+ InvalidRouteKinds + +",
        ),
        (
            "port: 80, protocol: HTTP, allowedRoutes: {kinds: [{group: x.io, kind: HTTPRoute}]}",
            "",
            "+ InvalidRouteKinds + +",
        ),
        (
            "port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: nobody}]}",
            "HTTPRoute GRPCRoute",
            "+ InvalidCertificateRef + Invalid",
        ),
        (
            "port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: broken}]}",
            "HTTPRoute GRPCRoute",
            "+ InvalidCertificateRef + Invalid",
        ),
        (
            "port: 443, protocol: HTTPS, tls: {certificateRefs: [{kind: ConfigMap, name: cert}]}",
            "HTTPRoute GRPCRoute",
            "+ InvalidCertificateRef + Invalid",
        ),
        (
            "port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: bank}]}",
            "HTTPRoute GRPCRoute",
            "+ RefNotPermitted + Invalid",
        ),
    ] {
        // `istio` needs an HBONE listener of a waypoint to be one; our own class is none.
        let class = if listener.contains("HBONE") {
            "istio-east-west"
        } else {
            "lateen"
        };
        let mesh = gateway(class, &format!("{{name: l, {listener}}}"));
        let found = listeners(&mesh);
        if class != "lateen" {
            assert!(found.is_empty() && mesh.binds.is_empty(), "another controller's");
            continue;
        }
        assert_eq!(found[0].supported_kinds.join(" "), kinds, "{listener}");
        assert_eq!(said(&found[0]), expected, "{listener}");
        assert_eq!(
            mesh.binds.contains_key("infra/edge/l"),
            expected.ends_with('+'),
            "{listener}"
        );
        assert!(
            mesh.binds
                .values()
                .all(|b| b.gateways.iter().all(|g| g.to_string() == "infra/edge"))
        );
    }
}

#[test]
fn what_a_listener_speaks() {
    let mesh = gateway(
        "lateen",
        "{name: web, port: 80, protocol: HTTP, hostname: '*.example.com'}, \
         {name: tls, port: 443, protocol: TLS, hostname: a.example.com, tls: {mode: Passthrough}}, \
         {name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}",
    );
    let protocol = |name: &str| mesh.binds[&format!("infra/edge/{name}")].value.protocol.clone();
    match protocol("web") {
        BindProtocol::Plain(Frontend::Routes { hostnames, protocol }) => {
            assert_eq!(
                (hostnames, protocol),
                (vec!["*.example.com".into()], mesh_model::AppProtocol::Http11)
            );
        }
        other => panic!("{other:?}"),
    }
    match protocol("tls") {
        BindProtocol::Tls(TlsTermination::Passthrough, Frontend::Routes { protocol, .. }) => {
            assert_eq!(protocol, mesh_model::AppProtocol::Tls);
        }
        other => panic!("{other:?}"),
    }
    match protocol("https") {
        BindProtocol::Tls(TlsTermination::Terminate { certificates, .. }, _) => {
            assert_eq!(&certificates[0].chain[..], b"-----BEGIN CERTIFICATE-----");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_listeners_in_each_others_way_the_first_is_served() {
    for (second, expected) in [
        ("port: 80, protocol: HTTP, hostname: b.example.com", "+ + + +"),
        ("port: 8080, protocol: HTTP, hostname: a.example.com", "+ + + +"),
        (
            "port: 80, protocol: TCP",
            "ProtocolConflict + ProtocolConflict Invalid",
        ),
        (
            "port: 80, protocol: TLS, tls: {mode: Passthrough}",
            "ProtocolConflict + ProtocolConflict Invalid",
        ),
    ] {
        let mesh = gateway(
            "istio",
            &format!("{{name: a, port: 80, protocol: HTTP, hostname: a.example.com}}, {{name: b, {second}}}"),
        );
        let found = listeners(&mesh);
        assert_eq!(said(&found[0]), "+ + + +", "{second}");
        assert_eq!(said(&found[1]), expected, "{second}");
    }
    let twins = gateway(
        "lateen",
        "{name: a, port: 443, protocol: TLS, hostname: a.b, tls: {certificateRefs: [{name: cert}]}}, \
         {name: b, port: 443, protocol: HTTPS, hostname: a.b, tls: {certificateRefs: [{name: cert}]}}",
    );
    assert_eq!(
        said(&listeners(&twins)[1]),
        "HostnameConflict + HostnameConflict Invalid"
    );
    let mixed = gateway(
        "lateen",
        "{name: a, port: 443, protocol: TLS, hostname: a.b, tls: {mode: Passthrough}}, \
         {name: b, port: 443, protocol: HTTPS, hostname: b.b, tls: {certificateRefs: [{name: cert}]}}",
    );
    assert_eq!(
        said(&listeners(&mixed)[1]),
        "ProtocolConflict + ProtocolConflict Invalid"
    );
}

#[test]
fn a_waypoints_listener_says_for_whom_it_is() {
    for (label, expected) in [
        ("", Serves::Services),
        ("labels: {istio.io/waypoint-for: workload}", Serves::Workloads),
        ("labels: {istio.io/waypoint-for: all}", Serves::All),
        ("labels: {istio.io/waypoint-for: none}", Serves::Nothing),
    ] {
        let mesh = Mesh::of(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: wp, namespace: shop, {label}}}, \
             spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}, \
             {{name: odd, port: 15009, protocol: HBONE}}, {{name: proxy, port: 15088, protocol: istio.io/PROXY}}]}}}}"
        ));
        let protocol = |name: &str| {
            mesh.binds
                .get(&format!("shop/wp/{name}"))
                .map(|b| b.value.protocol.clone())
        };
        assert_eq!(protocol("mesh"), Some(BindProtocol::Hbone { serves: expected }));
        let trust = ProxyTrust {
            node: true,
            addresses_from: Vec::new(),
        };
        assert_eq!(
            protocol("proxy"),
            Some(BindProtocol::Proxy {
                serves: expected,
                trust
            })
        );
        assert_eq!(protocol("odd"), None);
    }
}

#[test]
fn who_may_speak_for_others_is_annotated() {
    let mesh = |ranges: &str| {
        Mesh::of(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: wp, namespace: shop, \
             annotations: {{lateen.dev/trusted-proxies: {ranges:?}}}}}, \
             spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}, \
             {{name: proxy, port: 15088, protocol: istio.io/PROXY}}]}}}}"
        ))
    };
    let trusted = |ranges: &str| match &mesh(ranges).binds.get("shop/wp/proxy")?.value.protocol {
        BindProtocol::Proxy { trust, .. } => Some(trust.clone()),
        _ => None,
    };
    let trust = trusted("10.0.0.0/8, fd00::/8").expect("it is served");
    assert!(trust.node);
    assert_eq!(
        trust.addresses_from,
        ["10.0.0.0/8", "fd00::/8"].map(|range| range.parse().expect("a range"))
    );
    // Nobody is served where it is not known who is believed.
    assert_eq!(trusted("10.0.0.0/8, everybody"), None);
}

#[test]
fn only_our_classes_are_served() {
    let listener = "{name: l, port: 80, protocol: HTTP}";
    assert!(gateway("nginx", listener).binds.is_empty());
    let mut mesh = gateway("mine", listener);
    let class = |controller: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: mine}}, spec: {{controllerName: {controller}}}}}"
        )
    };
    mesh.set(&class("lateen.dev/gateway-controller"));
    assert_eq!(mesh.binds.len(), 1);
    mesh.set(&class("example.com/other"));
    assert!(mesh.binds.is_empty());
    // Somebody else may use a name that is ours by default.
    let mut mesh = gateway("istio", listener);
    assert_eq!(mesh.binds.len(), 1);
    mesh.set(&class("example.com/other").replace("mine", "istio"));
    assert!(mesh.binds.is_empty());
}

#[test]
fn routes_are_counted() {
    let edge = "{name: edge, namespace: infra, sectionName: l}";
    let rule = "backendRefs: [{name: web, port: 80}]";
    let mut mesh = gateway(
        "lateen",
        "{name: l, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}",
    );
    mesh.set(&format!(
        "{SHOP}{}{}",
        route("a", edge, rule),
        route("b", edge, "")
    ));
    assert_eq!(listeners(&mesh)[0].attached_routes, 2);
    mesh.remove(Kind::HttpRoute, "shop/a");
    assert_eq!(listeners(&mesh)[0].attached_routes, 1);
}

#[test]
fn whom_a_gateways_proxies_run_as() {
    let mut mesh = gateway("istio", "{name: l, port: 80, protocol: HTTP}");
    assert_eq!(mesh.accounts["infra/edge"], "edge-istio");
    mesh = gateway("lateen", "{name: l, port: 80, protocol: HTTP}");
    assert_eq!(mesh.accounts["infra/edge"], "edge");
    mesh.set(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: infra, \
         annotations: {gateway.istio.io/service-account: other}}, spec: {gatewayClassName: lateen, listeners: [{name: l, port: 80, protocol: HTTP}]}}",
    );
    assert_eq!(mesh.accounts["infra/edge"], "other");
    mesh.remove(Kind::Gateway, "infra/edge");
    assert!(mesh.accounts.is_empty() && mesh.binds.is_empty());
}
