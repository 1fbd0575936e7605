//! TLSRoute and TCPRoute: connections whose requests nobody looks into.

use crate::harness::{Conn, Together};

fn route(kind: &str, name: &str, parent: &str, spec: &str) -> String {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    format!(
        "{{apiVersion: gateway.networking.k8s.io/{version}, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, \
         spec: {{parentRefs: [{parent}], {spec}}}}}"
    )
}

const WEB: &str = "{group: '', kind: Service, name: web}";

fn edge(listeners: &str) -> Together {
    let edge = Together::gateway(
        "edge",
        &format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: shop}}, spec: {{gatewayClassName: lateen, listeners: [{listeners}]}}}}"
        ),
    );
    for version in ["v1", "v2"] {
        let name = format!("web-{version}");
        edge.service(&name, &format!("version: {version}"));
        edge.backend(&name, &format!("version: {version}"));
    }
    edge
}

/// Who answers over TLS for a server name; the error where there is nobody.
fn by_name(conn: Conn<'_>, name: &str) -> Result<String, String> {
    let (conn, _) = conn.tls(name, &["http/1.1"])?;
    let mut conn = conn;
    conn.write(format!(
        "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
    ));
    let answer = conn.rest();
    let served = answer.lines().find_map(|line| line.strip_prefix("x-served-by: "));
    served.map(|by| by.trim().to_owned()).ok_or(answer)
}

/// Who greets on a connection.
fn greeted(mut conn: Conn<'_>) -> String {
    conn.read_until("\n").trim_end().to_owned()
}

// row: TLSRoute rules.backendRefs
#[test]
fn connections_go_by_their_server_name() {
    let mesh = Together::shop(&route(
        "TLSRoute",
        "one",
        WEB,
        "hostnames: [one.example.com], rules: [{backendRefs: [{name: web-v1, port: 443}]}]",
    ));
    mesh.apply(&route(
        "TLSRoute",
        "wide",
        WEB,
        "hostnames: ['*.example.com'], rules: [{backendRefs: [{name: web-v2, port: 443}]}]",
    ));
    let of = |name: &str| by_name(mesh.connect("web:443"), name);
    assert_eq!(of("one.example.com").as_deref(), Ok("web-v1"));
    assert_eq!(of("two.example.com").as_deref(), Ok("web-v2"));
    assert_eq!(of("a.b.example.com").as_deref(), Ok("web-v2"));
    assert!(of("example.org").is_err());
    assert!(mesh.holds("TLSRoute", "one", "Accepted") && mesh.holds("TLSRoute", "one", "ResolvedRefs"));
}

#[test]
fn tls_routes_at_a_gateway() {
    let edge =
        edge("{name: tls, port: 443, protocol: TLS, hostname: '*.example.com', tls: {mode: Passthrough}}");
    edge.apply(&route(
        "TLSRoute",
        "one",
        "{name: edge}",
        "hostnames: [one.example.com, elsewhere.org], rules: [{backendRefs: [{name: web-v1, port: 443}]}]",
    ));
    edge.apply(&route(
        "TLSRoute",
        "broken",
        "{name: edge}",
        "hostnames: [broken.example.com], rules: [{backendRefs: [{name: nobody, port: 443}]}]",
    ));
    edge.apply(&route(
        "TLSRoute",
        "far",
        "{name: edge}",
        "hostnames: [far.org], rules: [{backendRefs: [{name: web-v1, port: 443}]}]",
    ));
    edge.apply(&route(
        "TLSRoute",
        "thing",
        "{name: edge}",
        "hostnames: [thing.example.com], rules: [{backendRefs: [{group: example.com, kind: Thing, name: web}]}]",
    ));
    let of = |name: &str| by_name(edge.connect_at(443), name);
    assert_eq!(of("one.example.com").as_deref(), Ok("web-v1"));
    for nobody in [
        "elsewhere.org",
        "broken.example.com",
        "two.example.com",
        "far.org",
        "thing.example.com",
    ] {
        assert!(of(nobody).is_err(), "{nobody}");
    }
    assert_eq!(
        edge.reason("TLSRoute", "broken", "ResolvedRefs"),
        "BackendNotFound"
    );
    assert_eq!(edge.reason("TLSRoute", "thing", "ResolvedRefs"), "InvalidKind");
    assert_eq!(
        edge.reason("TLSRoute", "far", "Accepted"),
        "NoMatchingListenerHostname"
    );
    let kinds = edge.status("Gateway", "edge")["listeners"][0]["supportedKinds"].clone();
    assert!(kinds.to_string().contains("TLSRoute"), "{kinds}");
}

// row: Gateway listeners.tls
#[test]
fn tls_ends_at_a_listener_with_a_certificate() {
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let (one, wide) = (made("one.example.com"), made("*.example.com"));
    let edge = edge(
        "{name: one, port: 443, protocol: HTTPS, hostname: one.example.com, tls: {certificateRefs: [{name: one}]}}, \
         {name: wide, port: 443, protocol: HTTPS, hostname: '*.example.com', tls: {certificateRefs: [{name: wide}]}}",
    );
    // Without its certificates, a listener is not there.
    let listener = || edge.status("Gateway", "edge")["listeners"][0].to_string();
    assert!(listener().contains("InvalidCertificateRef"), "{}", listener());
    for (name, certified) in [("one", &one), ("wide", &wide)] {
        let secret = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": "shop"},
            "stringData": {"tls.crt": certified.cert.pem(), "tls.key": certified.signing_key.serialize_pem()},
        });
        edge.apply(&secret.to_string());
    }
    assert!(!listener().contains("InvalidCertificateRef"), "{}", listener());
    edge.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web-v1, port: 80}]}]}}",
    );
    for (name, expected) in [("one.example.com", &one), ("two.example.com", &wide)] {
        let (mut conn, shown) = edge
            .connect_at(443)
            .tls(name, &["http/1.1"])
            .expect("a handshake");
        assert!(
            shown == expected.cert.der().to_vec(),
            "{name}: another certificate"
        );
        conn.write(format!(
            "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
        ));
        assert!(conn.rest().contains("x-served-by: web-v1"), "{name}");
    }
    let (conn, _) = edge
        .connect_at(443)
        .tls("one.example.com", &["h2"])
        .expect("a handshake");
    let answer = conn
        .http(true)
        .send(edge.get("/").host("one.example.com").http2());
    assert_eq!(answer.brief(), (200, "web-v1"));
}

// row: TCPRoute rules.backendRefs
#[test]
fn connections_go_by_shares() {
    let rules = "rules: [{backendRefs: [{name: web-v1, port: 9000, weight: 70}, {name: web-v2, port: 9000, weight: 30}, {name: web-v3, port: 9000, weight: 0}]}]";
    let mesh = Together::shop("");
    crate::cases::third(&mesh);
    mesh.apply(&route(
        "TCPRoute",
        "web",
        "{group: '', kind: Service, name: web, port: 9000}",
        rules,
    ));
    let edge = edge("{name: tcp, port: 9000, protocol: TCP}");
    crate::cases::third(&edge);
    edge.apply(&route("TCPRoute", "web", "{name: edge}", rules));
    for (mesh, tunnel) in [(&mesh, true), (&edge, false)] {
        let mut by = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..300 {
            let conn = if tunnel {
                mesh.connect("web:9000")
            } else {
                mesh.connect_at(9000)
            };
            *by.entry(greeted(conn)).or_default() += 1;
        }
        assert!((175..=245).contains(&by["web-v1"]), "{by:?}");
        assert_eq!(by["web-v1"] + by["web-v2"], 300, "{by:?}");
    }
}

#[test]
fn tcp_routes_that_cannot_be_carried_out() {
    let edge = edge(
        "{name: tcp, port: 9000, protocol: TCP}, {name: web, port: 80, protocol: HTTP}, {name: more, port: 9001, protocol: TCP}",
    );
    let apply = |name: &str, parent: &str, backend: &str| {
        edge.apply(&route(
            "TCPRoute",
            name,
            parent,
            &format!("rules: [{{backendRefs: [{backend}]}}]"),
        ));
    };
    let (v1, v2) = ("{name: web-v1, port: 9000}", "{name: web-v2, port: 9000}");
    apply("a", "{name: edge, sectionName: web}", v1);
    assert_eq!(edge.reason("TCPRoute", "a", "Accepted"), "NotAllowedByListeners");
    apply(
        "a",
        "{name: edge, sectionName: tcp}",
        "{name: nobody, port: 9000}",
    );
    assert_eq!(edge.reason("TCPRoute", "a", "ResolvedRefs"), "BackendNotFound");
    assert_eq!(greeted(edge.connect_at(9000)), "");
    apply(
        "a",
        "{name: edge, sectionName: tcp}",
        "{name: web-v1, namespace: other, port: 9000}",
    );
    assert_eq!(edge.reason("TCPRoute", "a", "ResolvedRefs"), "RefNotPermitted");
    assert_eq!(greeted(edge.connect_at(9000)), "");
    // To all TCP listeners; by port and section.
    apply("a", "{name: edge}", v1);
    assert_eq!(greeted(edge.connect_at(9000)), "web-v1");
    assert_eq!(greeted(edge.connect_at(9001)), "web-v1");
    apply("a", "{name: edge, sectionName: more, port: 9001}", v1);
    assert_eq!(greeted(edge.connect_at(9000)), "");
    assert_eq!(greeted(edge.connect_at(9001)), "web-v1");
    // Of several routes the older one serves, and both are counted.
    apply("b", "{name: edge, sectionName: more}", v2);
    assert!(edge.holds("TCPRoute", "a", "Accepted") && edge.holds("TCPRoute", "b", "Accepted"));
    assert_eq!(greeted(edge.connect_at(9001)), "web-v1");
    assert_eq!(
        edge.status("Gateway", "edge")["listeners"][2]["attachedRoutes"],
        2
    );
}

#[test]
fn tcp_routes_of_other_namespaces_need_a_grant() {
    let edge = edge("{name: tcp, port: 9000, protocol: TCP}");
    edge.apply("{apiVersion: v1, kind: Namespace, metadata: {name: other}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: far, namespace: other}, spec: {clusterIP: 10.96.9.9, ports: [{name: tcp, port: 9000}]}}");
    edge.apply(&format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: far, namespace: other, labels: {{kubernetes.io/service-name: far}}}}, addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: tcp, port: 9000}}]}}",
        edge.of("web-v2").ip
    ));
    edge.apply(&route(
        "TCPRoute",
        "web",
        "{name: edge}",
        "rules: [{backendRefs: [{name: far, namespace: other, port: 9000}]}]",
    ));
    assert_eq!(greeted(edge.connect_at(9000)), "");
    edge.apply("{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: grant, namespace: other}, spec: {from: [{group: gateway.networking.k8s.io, kind: TCPRoute, namespace: shop}], to: [{group: '', kind: Service}]}}");
    assert_eq!(greeted(edge.connect_at(9000)), "web-v2");
}
