//! What rules refer to: backends that are not there, those of other namespaces, and what is spoken with them.

use std::net::IpAddr;

use super::edge;
use crate::cases::{Via, check, http_route, http_route_of, to, under};
use crate::harness::Together;

#[test]
fn what_cannot_be_used_is_answered_with_500() {
    let nobody = "{backendRefs: [{name: nobody, port: 80}]}";
    let elsewhere = "{backendRefs: [{name: web, namespace: other, port: 80}]}";
    let unknown = "{backendRefs: [{group: example.com, kind: Thing, name: web}]}";
    let edge = edge("");
    for (rule, reason) in [
        (nobody, "BackendNotFound"),
        (elsewhere, "RefNotPermitted"),
        (unknown, "InvalidKind"),
    ] {
        edge.apply(&http_route_of("web", "{name: edge}", "", rule));
        assert_eq!(edge.reason("HTTPRoute", "web", "ResolvedRefs"), reason);
        check(&edge, Via::Listener(80), &[("GET /", "500")]);
    }
    // Routes of the mesh may refer to other namespaces, as in Istio.
    for (rule, reason) in [(nobody, "BackendNotFound"), (unknown, "InvalidKind")] {
        let other = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: web, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80}]}}\n---\n";
        let mesh = Together::shop(&format!("{other}{}", http_route(rule)));
        assert_eq!(mesh.reason("HTTPRoute", "web", "ResolvedRefs"), reason);
        assert!(!mesh.holds("HTTPRoute", "web", "ResolvedRefs"), "{rule}");
        check(&mesh, Via::Mesh, &[("GET /", "500")]);
    }
    // A rule without any; and a share of one.
    let mesh = Together::shop(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /none}}]}, {backendRefs: [{name: web-v1, port: 80}, {name: nobody, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /none", "500")]);
    let failed = (0..400).filter(|_| mesh.get("/").send().status == 500).count();
    assert!((160..=240).contains(&failed), "{failed} of 400");
}

#[test]
fn references_to_other_namespaces_need_a_grant() {
    let other = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80, targetPort: 8080}]}}\n---\n";
    let mesh = edge("");
    mesh.apply(other.trim_end_matches("---\n"));
    mesh.apply(&http_route_of(
        "web",
        "{name: edge}",
        "",
        "{backendRefs: [{name: far, namespace: other, port: 80}]}",
    ));
    mesh.apply(&endpoints_of("other", "far", mesh.of("web-v1").ip));
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    let grant = |from: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {{name: grant, namespace: other}}, spec: {{from: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], to: [{{group: '', kind: Service}}]}}}}"
        )
    };
    mesh.apply(&grant("elsewhere"));
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    mesh.apply(&grant("shop"));
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    check(&mesh, Via::Listener(80), &[("GET /", "v1")]);
    mesh.remove("ReferenceGrant", "other/grant");
    check(&mesh, Via::Listener(80), &[("GET /", "500")]);
    // A part that may not be used fails by itself.
    mesh.apply(&http_route_of(
        "web",
        "{name: edge}",
        "",
        &format!(
            "{{matches: [{{path: {{type: PathPrefix, value: /far}}}}], backendRefs: [{{name: far, namespace: other, port: 80}}]}}, {}",
            under("/near", "", "v2")
        ),
    ));
    check(
        &mesh,
        Via::Listener(80),
        &[("GET /far", "500"), ("GET /near", "v2")],
    );
}

/// GEP-1294: a route whose parent is a Service may send to any namespace, as its clients could by themselves; Istio asks for a
/// grant at Gateways only, too. What a ReferenceGrant allows and does not allow changes nothing of it.
#[test]
fn routes_of_services_need_no_grant() {
    let mesh = Together::shop(
        "{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80, targetPort: 8080}]}}\n---\n",
    );
    mesh.apply(&endpoints_of("other", "far", mesh.of("web-v2").ip));
    mesh.apply(&http_route(
        "{backendRefs: [{name: far, namespace: other, port: 80}]}",
    ));
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    check(&mesh, Via::Mesh, &[("GET /", "v2"), ("GET /", "v2")]);
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: grant, namespace: other}, spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: elsewhere}], to: [{group: '', kind: Service}]}}",
    );
    check(&mesh, Via::Mesh, &[("GET /", "v2")]);
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
}

#[test]
fn what_services_say_they_speak_is_spoken() {
    let mesh = Together::shop("");
    let service = |name: &str, ip: &str, protocol: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: {ip}, selector: {{version: v1}}, ports: [{{name: p, port: 80, targetPort: 8080, appProtocol: {protocol}}}]}}}}"
        )
    };
    mesh.apply(&service("h2c", "10.96.7.1", "kubernetes.io/h2c"));
    mesh.apply(&service("ws", "10.96.7.2", "kubernetes.io/ws"));
    mesh.apply(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /h2c}}], backendRefs: [{name: h2c, port: 80}]}, {backendRefs: [{name: ws, port: 80}]}",
    ));
    assert_eq!(mesh.get("/h2c").send().seen().version, "HTTP/2.0");
    let mut socket = mesh.connect("web:80");
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(socket.read_until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    socket.write("ping");
    assert_eq!(socket.read(4), "ping");
}

#[test]
fn services_without_addresses_or_selectors_are_backends_too() {
    let mesh = Together::shop("");
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop}, spec: {clusterIP: None, selector: {version: v1}, ports: [{name: http, port: 8080}]}}");
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: manual, namespace: shop}, spec: {clusterIP: 10.96.7.9, ports: [{name: http, port: 80, targetPort: 8080}]}}");
    mesh.apply(&endpoints_of("shop", "manual", mesh.of("web-v2").ip));
    mesh.apply(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /headless}}], backendRefs: [{name: headless, port: 8080}]}, {backendRefs: [{name: manual, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /headless", "v1"), ("GET /", "v2")]);
}
/// `istio.io/ingress-use-waypoint`: what comes from outside is sent to the service's waypoint, or nowhere.
#[test]
fn what_comes_from_outside_passes_the_waypoint() {
    let edge = edge(", {name: bytes, port: 9000, protocol: TCP}");
    let guard = |name: &str, weight: &str| {
        edge.apply(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: {name}, namespace: shop, annotations: \
             {{gateway.istio.io/service-account: {name}-0}}}}, spec: \
             {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}}}\n---\n\
             {{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: 10.96.255.{weight}, \
             selector: {{gateway.networking.k8s.io/gateway-name: {name}}}, ports: [{{name: mesh, port: 15008, appProtocol: hbone}}]}}}}"
        ));
        edge.mesh_backend(
            &format!("{name}-0"),
            &format!("gateway.networking.k8s.io/gateway-name: {name}"),
        )
    };
    edge.apply(&http_route_of(
        "web",
        "{name: edge, sectionName: web}",
        "",
        &format!("{{{}}}", to("v1")),
    ));
    edge.apply("{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: web, namespace: shop}, spec: {parentRefs: [{name: edge, sectionName: bytes}], rules: [{backendRefs: [{name: web-v1, port: 9000}]}]}}");
    let get = || edge.get("/").at(80).send();
    let bind =
        |labels: &str, annotations: &str| edge.service_with("web-v1", "version: v1", labels, annotations);
    let greeted = || !edge.connect_at(9000).read_until("\n").is_empty();
    assert_eq!((get().brief(), greeted()), ((200, "web-v1"), true));
    // Asked for, and there is none: nobody goes past it, unless the Service says so.
    let asked = "istio.io/use-waypoint: guard, istio.io/ingress-use-waypoint: 'true'";
    bind(asked, "");
    assert_eq!((get().status, greeted()), (503, false));
    bind(asked, "lateen.dev/waypoint-fail-open: 'true'");
    assert_eq!(get().brief(), (200, "web-v1"));
    bind(asked, "");
    guard("guard", "11");
    let target = edge.target("web-v1:80");
    assert_eq!(get().brief(), (200, "guard-0"));
    let peers = edge.peers_of("guard-0");
    assert!(
        peers
            .iter()
            .any(|peer| *peer == format!("spiffe://cluster.local/ns/shop/sa/edge for {target}")),
        "{peers:?}"
    );
    assert!(greeted());
    let bytes = edge.target("web-v1:9000");
    assert!(
        edge.peers_of("guard-0")
            .iter()
            .any(|peer| peer.ends_with(&format!("for {bytes}")))
    );
    // Without the label, and where it says no, as ever.
    bind("istio.io/use-waypoint: guard", "");
    assert_eq!(get().brief(), (200, "web-v1"));
    bind(
        "istio.io/use-waypoint: guard, istio.io/ingress-use-waypoint: 'false'",
        "",
    );
    assert_eq!(get().brief(), (200, "web-v1"));
    // The canary takes its share of requests; where only one of both is there, it takes all.
    guard("next", "12");
    let both = format!("{asked}, istio.io/use-waypoint-canary: next");
    bind(&both, "istio.io/use-waypoint-canary-weight: '100'");
    assert_eq!(get().brief(), (200, "next-0"));
    edge.deregister("next-0");
    assert_eq!(get().brief(), (200, "guard-0"));
    edge.deregister("guard-0");
    assert_eq!((get().status, greeted()), (503, false));
}

/// What a Service without a selector has behind it.
fn endpoints_of(namespace: &str, service: &str, ip: IpAddr) -> String {
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {service}, namespace: {namespace}, labels: {{kubernetes.io/service-name: {service}}}}}, addressType: IPv4, endpoints: [{{addresses: [{ip}]}}], ports: [{{name: http, port: 8080}}]}}"
    )
}
