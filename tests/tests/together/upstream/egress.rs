//! Hosts outside of the mesh: found by DNS, by what a request asks for, or where the client was going.

use super::rule;
use crate::harness::Together;

fn entry(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}, namespace: shop, \
         labels: {{istio.io/use-waypoint: waypoint}}}}, spec: {{{spec}}}}}"
    )
}

// row: ServiceEntry resolution
#[test]
fn a_host_is_where_dns_says_and_where_it_says_later() {
    let mesh = Together::shop(&entry(
        "out",
        "hosts: [out.example.com], addresses: [10.97.0.1], resolution: DNS, location: MESH_EXTERNAL, \
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]",
    ));
    let ip = |name: &str| mesh.of(name).ip;
    mesh.resolves("out.example.com", &[ip("web-v1")]);
    let ask = mesh.get("/").to("10.97.0.1:80").host("out.example.com");
    assert_eq!(ask.send().brief(), (200, "web-v1"));
    assert_eq!(ask.send().seen().host, "out.example.com");
    mesh.resolves("out.example.com", &[ip("web-v2")]);
    mesh.until("the other address", || {
        (ask.send().by() == "web-v2").then_some(())
    });
    mesh.resolves("out.example.com", &[ip("web-v1"), ip("web-v2")]);
    mesh.until("both addresses", || (ask.send().by() == "web-v1").then_some(()));
    // Nobody has the name any more.
    mesh.resolves("out.example.com", &[]);
    mesh.until("no address", || (ask.send().status == 503).then_some(()));
}

#[test]
fn endpoints_may_be_names_too() {
    let mesh = Together::shop(&entry(
        "out",
        "hosts: [out.example.com], addresses: [10.97.0.1], resolution: DNS, location: MESH_EXTERNAL, \
         ports: [{number: 80, name: http, protocol: HTTP}], \
         endpoints: [{address: one.example.net, ports: {http: 8080}}, {address: two.example.net, ports: {http: 8080}}]",
    ));
    mesh.resolves("one.example.net", &[mesh.of("web-v1").ip]);
    mesh.resolves("two.example.net", &[mesh.of("web-v2").ip]);
    let ask = mesh.get("/").to("10.97.0.1:80").host("out.example.com");
    for name in ["web-v1", "web-v2"] {
        mesh.until(name, || (ask.send().by() == name).then_some(()));
    }
}

#[test]
fn plain_requests_go_out_over_tls() {
    let mesh = Together::shop(&entry(
        "out",
        "hosts: [web-v1.example], addresses: [10.97.0.1], resolution: DNS, location: MESH_EXTERNAL, \
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8443}]",
    ));
    mesh.resolves("web-v1.example", &[mesh.of("web-v1").ip]);
    let ask = mesh.get("/").to("10.97.0.1:80").host("web-v1.example");
    assert_ne!(ask.send().status, 200, "plain text to a port of TLS");
    let pem = serde_json::Value::from(mesh.of("web-v1").certificate.clone());
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: bundle, namespace: shop}}, data: {{ca.crt: {pem}}}}}"
    ));
    let originating = rule(
        "web-v1.example",
        "tls: {mode: SIMPLE, credentialName: 'configmap://bundle'}",
    );
    mesh.apply(&originating);
    // The host is the handshake's name, and must be the certificate's.
    assert_eq!(ask.send().brief(), (200, "web-v1"));
    mesh.apply(&originating.replace("SIMPLE,", "SIMPLE, sni: other.example,"));
    assert_eq!(ask.send().status, 503);
}

// row: ServiceEntry hosts
#[test]
fn a_wildcard_is_the_host_that_a_request_asks_for() {
    let mesh = Together::shop(&entry(
        "wild",
        "hosts: ['*.example.com'], resolution: DYNAMIC_DNS, location: MESH_EXTERNAL, \
         ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]",
    ));
    mesh.apply(
        &rule(
            "'*.example.com'",
            "connectionPool: {tcp: {connectTimeout: 100ms}}",
        )
        .replace("name: '*.example.com'", "name: wild"),
    );
    let outside: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    mesh.resolves("www.example.com", &[outside]);
    // Whoever owns a name does not send us to ourselves.
    mesh.resolves("local.example.com", &[mesh.of("web-v1").ip]);
    let to = |host: &str| mesh.get("/").to("*.example.com:80").host(host).send().status;
    assert_eq!(to("WWW.example.com"), 503, "nobody answers there");
    assert_eq!(to("local.example.com"), 503);
    assert_eq!(to("www.example.org"), 503);
    let log = mesh.log(3);
    // Each thread writes its own lines: their order says nothing.
    let line = |host: &str| log.iter().find(|line| line.contains(host)).unwrap();
    assert!(line("\"WWW.example.com\"").contains("192.0.2.7:8080"), "{log:?}");
    for host in ["\"local.example.com\"", "\"www.example.org\""] {
        assert!(line(host).contains(" 503 UH "), "{log:?}");
    }
    assert_eq!(mesh.of("web-v1").requests(), []);
}

#[test]
fn what_is_not_resolved_goes_where_the_client_was_going() {
    let mesh = Together::shop("");
    let (one, two) = (mesh.of("web-v1").ip, mesh.of("web-v2").ip);
    mesh.apply(&entry(
        "some",
        &format!(
            "hosts: [some.example.com], addresses: ['{one}', '{two}'], resolution: NONE, location: MESH_EXTERNAL, \
             ports: [{{number: 8080, name: http, protocol: HTTP}}, {{number: 9000, name: tcp, protocol: TCP}}]"
        ),
    ));
    for (ip, name) in [(one, "web-v1"), (two, "web-v2")] {
        let answer = mesh.get("/").to(&format!("{ip}:8080")).host("any.example").send();
        assert_eq!(answer.brief(), (200, name));
        let mut bytes = mesh.connect(&format!("{ip}:9000"));
        assert_eq!(bytes.read_until("\n"), format!("{name}\n"));
    }
    // A route that leads there from elsewhere has nobody to go to.
    mesh.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: shop}, \
         spec: {hosts: [web], http: [{route: [{destination: {host: some.example.com, port: {number: 8080}}}]}]}}",
    );
    assert_eq!(mesh.get("/").send().status, 503);
}
