//! The stage itself: without any route, requests reach the Service's backends.

use crate::harness::Together;

#[test]
fn without_any_rule_requests_reach_the_service() {
    let mesh = Together::shop("");
    let mut by: Vec<_> = (0..20)
        .map(|_| mesh.get("/a?b=c").send().by().to_owned())
        .collect();
    by.sort();
    by.dedup();
    assert_eq!(by, ["web-v1", "web-v2"]);
    let answer = mesh
        .post("/cart", "an item")
        .to("web-v2:80")
        .header("x-a", "1")
        .send();
    assert_eq!(answer.brief(), (200, "web-v2"));
    let seen = answer.seen();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/cart"));
    assert_eq!((seen.host.as_str(), seen.body.as_str()), ("web-v2", "an item"));
    assert_eq!(seen.header("x-a").as_deref(), Some("1"));
    assert_eq!(mesh.of("web-v2").requests().last(), Some(&seen));
    let log = mesh.log(21);
    let posted = |line: &&String| line.contains("\"POST /cart HTTP/1.1\" 200");
    assert_eq!(log.iter().filter(posted).count(), 1, "{log:#?}");
    assert!(mesh.metrics().contains("istio_requests_total"));
    assert!(mesh.holds("Gateway", "waypoint", "Programmed"));
}

#[test]
fn every_protocol_passes() {
    let mesh = Together::shop("");
    let two = mesh.get("/").to("web-v1:80").http2().send();
    assert_eq!(
        (two.brief(), two.seen().version.as_str()),
        ((200, "web-v1"), "HTTP/1.1")
    );
    let call = mesh
        .grpc("/echo.Echo/Say")
        .to("web-v1:9090")
        .message("hello")
        .send();
    assert_eq!((call.code, call.answer.seen().body.as_str()), (0, "hello"));
    let mut bytes = mesh.connect("web-v2:9000");
    assert_eq!(bytes.read_until("\n"), "web-v2\n");
    bytes.write("and back");
    assert_eq!(bytes.read(8), "and back");
    bytes.finish();
    assert_eq!(bytes.rest(), "");
    let (mut tls, shown) = mesh
        .connect("web-v1:443")
        .tls("web-v1.example", &["http/1.1"])
        .unwrap();
    tls.write("GET / HTTP/1.1\r\nhost: web-v1.example\r\nconnection: close\r\n\r\n");
    assert!(tls.rest().contains("\"by\":\"web-v1\""));
    assert!(!shown.is_empty());
    let mut upgraded = mesh.connect("web-v1:80");
    upgraded.write("GET /ws HTTP/1.1\r\nhost: web\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(upgraded.read_until("\r\n\r\n").starts_with("HTTP/1.1 101"));
    upgraded.write("ping");
    assert_eq!(upgraded.read(4), "ping");
}

#[test]
fn a_backend_in_the_mesh_is_reached_through_a_tunnel() {
    let mesh = Together::start("");
    mesh.service("api", "app: api");
    mesh.mesh_backend("api-0", "app: api");
    assert_eq!(mesh.get("/").to("api:80").send().brief(), (200, "api-0"));
}

#[test]
fn what_is_wrong_is_said() {
    let mesh = Together::shop("");
    let wrong = mesh
        .try_apply("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: {parentRefs: 3}}")
        .unwrap_err();
    assert!(wrong[0].contains("parentRefs"), "{wrong:?}");
    assert!(mesh.try_connect("client", "10.96.0.1:4711").is_err());
    assert_eq!(mesh.get("/").send().status, 200);
}
