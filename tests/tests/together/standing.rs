//! What is open stays open while routes change, and ends when it is not allowed any more.

use crate::harness::{Conn, Together};

fn route(n: usize) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, spec: \
         {{parentRefs: [{{group: '', kind: Service, name: web}}], rules: [{{filters: [{{type: RequestHeaderModifier, \
         requestHeaderModifier: {{set: [{{name: x-n, value: '{n}'}}]}}}}], backendRefs: [{{name: web-v1, port: 80}}]}}]}}}}"
    )
}

fn deny(rule: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: no-more, namespace: shop}}, spec: \
         {{targetRefs: [{{group: '', kind: Service, name: web}}], action: DENY, rules: [{{{rule}}}]}}}}"
    )
}

fn socket<'a>(mesh: &'a Together, account: &str) -> Conn<'a> {
    let mut socket = mesh.connect_as(account, "web:80");
    socket.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let head = socket.read_until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    socket
}

#[test]
fn a_websocket_survives_a_thousand_changes_of_its_route_and_not_one_of_its_authorization() {
    let mesh = Together::shop(&route(0));
    let (mut mine, mut others) = (socket(&mesh, "client"), socket(&mesh, "other"));
    for n in 1..=1000 {
        mesh.apply(&route(n));
    }
    assert_eq!(mesh.get("/").send().seen().header("x-n").as_deref(), Some("1000"));
    for socket in [&mut mine, &mut others] {
        socket.write("still here");
        assert_eq!(socket.read(10), "still here");
    }
    // The route itself is gone.
    mesh.remove("HTTPRoute", "web");
    mine.write("and here");
    assert_eq!(mine.read(8), "and here");
    mesh.apply(&deny(
        "from: [{source: {serviceAccounts: [client]}}], to: [{operation: {paths: [/ws]}}]",
    ));
    assert_eq!(mine.rest(), "");
    others.write("not me");
    assert_eq!(others.read(6), "not me");
    let log = mesh.log(2);
    let ended = log
        .iter()
        .find(|line| line.contains("GET /ws"))
        .cloned()
        .unwrap_or_default();
    assert!(
        ended.contains("rbac_access_denied_matched_policy[ns[shop]-policy[no-more]-rule[0]]"),
        "{log:?}"
    );
}

#[test]
fn bytes_end_with_their_authorization_and_nobody_takes_that_for_their_end() {
    let mesh = Together::shop("");
    let (mut mine, mut others) = (
        mesh.connect_as("client", "web:9000"),
        mesh.connect_as("other", "web:9000"),
    );
    for relay in [&mut mine, &mut others] {
        assert!(relay.read_until("\n").starts_with("web-v"));
        relay.write("x");
        assert_eq!(relay.read(1), "x");
    }
    for n in 0..100 {
        mesh.apply(&route(n));
    }
    mine.write("y");
    assert_eq!(mine.read(1), "y");
    mesh.apply(&deny("from: [{source: {serviceAccounts: [client]}}]"));
    assert_eq!(mine.rest(), "");
    others.write("z");
    assert_eq!(others.read(1), "z");
    assert!(mesh.connect("web:9000").rest().is_empty());
}
