//! What Istio's own tests of waypoints ask (`docs/conformance/istio-ambient.md`), as far as one waypoint can show it.

use crate::cases::{Via, check, http_route};
use crate::harness::Together;

/// TestDirect: each is refused with 400, whoever asks.
#[test]
fn what_is_not_served_here_is_refused() {
    let mesh = Together::shop("");
    mesh.service_with("free", "app: web", "istio.io/use-waypoint: none", "");
    mesh.service_with("elsewhere", "app: web", "istio.io/use-waypoint: another", "");
    let free = mesh.target("free:80");
    let own = "10.96.255.1:15000";
    for target in [
        &mesh.target("web:81").replace(":81", ":82"),
        &free,
        &mesh.target("elsewhere:80"),
        "10.96.77.77:80",
        "192.0.2.1:80",
        own,
        "127.0.0.1:15000",
        "127.0.0.1:15021",
        "[::1]:15000",
    ] {
        let refused = mesh.try_connect("client", target).err();
        assert!(
            refused.as_ref().is_some_and(|e| e.contains("400")),
            "{target}: {refused:?}"
        );
    }
    assert_eq!(mesh.get("/").send().status, 200);
}

/// ServiceDynamicEnroll, RemoveAddWaypoint: labels come and go.
#[test]
fn services_come_and_go() {
    let mesh = Together::shop("");
    let reached = || mesh.try_connect("client", "web:80").is_ok();
    assert!(reached());
    mesh.service_with("one", "app: web", "istio.io/use-waypoint: none", "");
    assert!(mesh.try_connect("client", "one:80").is_err());
    mesh.apply("{apiVersion: v1, kind: Service, metadata: {name: one, namespace: shop, labels: {}}, spec: {clusterIP: 10.96.0.4, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}}");
    assert!(mesh.try_connect("client", "one:80").is_ok());
    mesh.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}}");
    assert!(!reached());
    mesh.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}}");
    assert!(reached());
}

/// CrossNamespaceWaypoint: a waypoint serves another namespace if its listener admits it.
#[test]
fn other_namespaces_use_the_waypoint() {
    let gateway = |from: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: waypoint, namespace: shop, labels: {{istio.io/waypoint-for: all}}}}, spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {{namespaces: {{from: {from}}}}}}}]}}}}"
        )
    };
    let mesh = Together::shop(&gateway("All"));
    mesh.apply("{apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop}}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: far, namespace: team}, spec: {clusterIP: 10.96.9.9, ports: [{name: http, port: 80, targetPort: 8080}]}}");
    mesh.apply(&format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: far, namespace: team, labels: {{kubernetes.io/service-name: far}}}}, addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: http, port: 8080}}]}}",
        mesh.of("web-v2").ip
    ));
    // Routes and policies are the namespace's own.
    mesh.apply("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: far, namespace: team}, spec: {parentRefs: [{group: '', kind: Service, name: far}], rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-far, value: 'yes'}]}}], backendRefs: [{name: far, port: 80}]}]}}");
    let far = "far.team.svc.cluster.local:80";
    assert_eq!(
        mesh.get("/").to(far).send().seen().header("x-far").as_deref(),
        Some("yes")
    );
    mesh.apply(&gateway("Same"));
    assert!(mesh.try_connect("client", far).is_err());
    assert_eq!(
        mesh.reason("Service", "team/far", "istio.io/WaypointBound"),
        "AttachmentDenied"
    );
}

/// WaypointWithInvalidBackend: a route to nobody takes nothing else along.
#[test]
fn an_invalid_backend_is_its_routes_own() {
    let mesh = Together::shop(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /broken}}], backendRefs: [{name: nobody, port: 80}]}, {backendRefs: [{name: web-v1, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /broken", "500"), ("GET /", "v1")]);
    assert_eq!(mesh.get("/").to("web-v2:80").send().by(), "web-v2");
}

/// XFCC: applications are told who asks where the Gateway says so, and never what clients say themselves.
#[test]
fn applications_are_told_who_asks() {
    let mesh = Together::shop("");
    let forged = |mesh: &Together| {
        let answer = mesh
            .get("/")
            .header("x-forwarded-client-cert", "By=forged;URI=forged")
            .send();
        answer.seen().header("x-forwarded-client-cert")
    };
    assert_eq!(forged(&mesh), None);
    mesh.apply("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}, annotations: {ambient.istio.io/xfcc-include-client-identity: 'true'}}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}");
    let told = forged(&mesh).unwrap_or_default();
    assert!(
        told.contains("spiffe://cluster.local/ns/shop/sa/client") && !told.contains("forged"),
        "{told}"
    );
}

/// WaypointAsEgressGateway: by host, and by server name.
#[test]
fn external_calls_pass_by_host_and_server_name() {
    let mesh = Together::shop("");
    let (one, two) = (mesh.of("web-v1").ip, mesh.of("web-v2").ip);
    let entry = |name: &str, ip: &std::net::IpAddr| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}, namespace: shop}}, spec: {{hosts: [{name}.example.com], ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}, {{number: 443, name: tls, protocol: TLS, targetPort: 8443}}], location: MESH_EXTERNAL, resolution: STATIC, endpoints: [{{address: {ip}}}]}}}}"
        )
    };
    mesh.apply(&format!("{}\n---\n{}", entry("one", &one), entry("two", &two)));
    for (host, by) in [("one.example.com", "web-v1"), ("two.example.com", "web-v2")] {
        let answer = mesh.get("/").to(&format!("{host}:80")).send();
        assert_eq!((answer.brief(), answer.seen().host.as_str()), ((200, by), host));
        let (mut conn, _) = mesh
            .connect(&format!("{host}:443"))
            .tls(host, &["http/1.1"])
            .expect("TLS that ends outside");
        conn.write(format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ));
        assert!(conn.rest().contains(&format!("x-served-by: {by}")), "{host}");
    }
    // What a TLSRoute does not take leaves the mesh for nobody.
    mesh.apply("{apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: {name: one, namespace: shop}, spec: {parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: one}], hostnames: [one.example.com], rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: one.example.com, port: 443}]}]}}");
    let shaken = |name: &str| {
        mesh.connect("one.example.com:443")
            .tls(name, &["http/1.1"])
            .is_ok()
    };
    assert!(shaken("one.example.com") && !shaken("forbidden.example.com"));
}

/// MTLS: an endpoint of the mesh sees the waypoint's identity, and nobody reaches it otherwise.
#[test]
fn endpoints_of_the_mesh_are_reached_as_the_waypoint() {
    let mesh = Together::start("");
    mesh.service("api", "app: api");
    mesh.mesh_backend("api-0", "app: api");
    assert_eq!(mesh.get("/").to("api:80").send().brief(), (200, "api-0"));
    let peers = mesh.peers_of("api-0");
    assert!(
        peers
            .iter()
            .all(|peer| peer == "spiffe://cluster.local/ns/shop/sa/waypoint"),
        "{peers:?}"
    );
    assert!(!peers.is_empty());
}

/// WorkloadTraffic: a Pod that is bound itself, by its address.
#[test]
fn workloads_are_served_by_their_address() {
    let mesh = Together::shop("");
    // The namespace's waypoint is for everything here.
    let answer = mesh.get("/who").to("pod/web-v1:8080").send();
    assert_eq!(answer.brief(), (200, "web-v1"));
    mesh.apply("{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: all, namespace: shop}, spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}], action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}}");
    assert_eq!(mesh.get("/admin").to("pod/web-v1:8080").send().status, 403);
    assert_eq!(mesh.get("/").to("pod/web-v1:8080").send().status, 200);
}
