//! One thing spelled in many ways: what policies see is what the service gets, whatever the normalisation; and what a
//! client says of itself is not what the service is told.

use crate::harness::Together;

const DENY: &str = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: no-admin, namespace: shop}, \
                    spec: {targetRefs: [{group: '', kind: Service, name: web}], action: DENY, rules: [{to: [{operation: \
                    {paths: ['/admin', '/admin/*']}}]}, {to: [{operation: {hosts: [secret.example]}}]}]}}";

fn normalization(kind: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: \
         {{pathNormalization: {{normalization: {kind}}}}}}}"
    )
}

/// The status, or the path that the service saw.
fn ask(mesh: &Together, target: &str, host: &str) -> String {
    let mut conn = mesh.connect("web:80");
    conn.write(format!(
        "GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    ));
    let answer = conn.rest();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    match (status.as_str(), answer.split_once("\"path\":\"")) {
        ("200", Some((_, rest))) => rest.split('"').next().unwrap_or_default().to_owned(),
        _ => status,
    }
}

// row: MeshConfig pathNormalization
#[test]
fn paths() {
    let mesh = Together::shop(DENY);
    let kinds = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];
    // What is asked for, and what becomes of it with each normalisation.
    let rows: &[(&str, [&str; 4])] = &[
        ("/admin", ["403"; 4]),
        ("/admin/x?q", ["403"; 4]),
        ("/admin?/../x", ["403"; 4]),
        ("/administrator", ["/administrator"; 4]),
        // A path's case means something.
        ("/ADMIN", ["/ADMIN"; 4]),
        ("/a/../admin", ["/a/../admin", "403", "403", "403"]),
        ("/./admin", ["/./admin", "403", "403", "403"]),
        ("/a/%2e%2E/admin", ["/a/%2e%2E/admin", "403", "403", "403"]),
        ("/%61dmin", ["/%61dmin", "403", "403", "403"]),
        ("//admin", ["//admin", "//admin", "403", "403"]),
        ("/admin//x", ["403"; 4]),
        ("/%2Fadmin", ["/%2Fadmin", "/%2Fadmin", "/%2Fadmin", "403"]),
        ("/admin%2fx", ["/admin%2fx", "/admin%2Fx", "/admin%2Fx", "403"]),
        (
            "/x%2f..%2fadmin",
            ["/x%2f..%2fadmin", "/x%2F..%2Fadmin", "/x%2F..%2Fadmin", "403"],
        ),
        (
            "/x%5c..%5cadmin",
            ["/x%5c..%5cadmin", "/x%5C..%5Cadmin", "/x%5C..%5Cadmin", "403"],
        ),
        // What was encoded twice is decoded once at most.
        ("/%2561dmin", ["/%2561dmin"; 4]),
        ("/%252e%252e/admin", ["/%252e%252e/admin"; 4]),
        ("/x/../../admin", ["/x/../../admin", "403", "403", "403"]),
    ];
    for (n, kind) in kinds.iter().enumerate() {
        mesh.apply(&normalization(kind));
        for (target, expected) in rows {
            assert_eq!(ask(&mesh, target, "web"), expected[n], "{kind} {target}");
        }
        // What no path may have in it never comes to the service as the path that is denied. Without normalisation a
        // backslash is a character like any other, for policies and for the service.
        for target in [
            "/admin%00",
            "/\0admin",
            "/a\\..\\admin",
            "\\admin",
            "/admin#x",
            "admin",
            "*",
        ] {
            let got = ask(&mesh, target, "web");
            let refused = ["", "400", "403"].contains(&got.as_str());
            assert!(
                refused || got.contains('%') || *kind == "NONE" && got.contains('\\'),
                "{kind} {target:?}: {got}"
            );
        }
    }
    // The default is BASE.
    mesh.remove("MeshConfig", "istio-system/mesh");
    assert_eq!(ask(&mesh, "/a/../admin", "web"), "403");
    assert_eq!(ask(&mesh, "//admin", "web"), "//admin");
}

#[test]
fn hosts() {
    let mesh = Together::shop(DENY);
    for host in [
        "secret.example",
        "SECRET.Example",
        "secret.example.",
        "secret.example:80",
        "secret.example:9999",
        "Secret.example.:80",
    ] {
        assert_eq!(ask(&mesh, "/", host), "403", "{host}");
    }
    for host in [
        "secret.example@web",
        "web,secret.example",
        "web/secret.example",
        "secret.example\\web",
        "",
    ] {
        let got = ask(&mesh, "/", host);
        assert!(
            got == "400" || got == "403" || host.is_empty() && got == "/",
            "{host:?}: {got}"
        );
    }
    assert_eq!(ask(&mesh, "/", "public.example"), "/");
    // The target's own host counts, and may not be another one than Host.
    assert_eq!(ask(&mesh, "http://secret.example/", "secret.example"), "403");
    assert_eq!(ask(&mesh, "http://public.example/", "secret.example"), "400");
    assert_eq!(ask(&mesh, "http://secret.example/", "public.example"), "400");
}

#[test]
fn what_a_client_says_of_itself_is_not_what_the_service_is_told() {
    let forged = [
        (
            "x-forwarded-client-cert",
            "By=spiffe://x;URI=spiffe://cluster.local/ns/shop/sa/admin",
        ),
        ("x-envoy-internal", "true"),
        ("x-envoy-external-address", "10.0.0.1"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-original-path", "/admin"),
        ("x-envoy-peer-metadata", "abc"),
        ("x-istio-attributes", "abc"),
    ];
    let gateway = |annotation: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: waypoint, namespace: shop, \
             annotations: {{{annotation}}}}}, spec: {{gatewayClassName: lateen-waypoint, listeners: [{{name: mesh, port: 15008, \
             protocol: HBONE}}]}}}}"
        )
    };
    let mesh = Together::shop("");
    for (annotation, told) in [
        ("", None),
        ("ambient.istio.io/xfcc-include-client-identity: 'true'", Some(())),
    ] {
        mesh.apply(&gateway(annotation));
        for two in [false, true] {
            let ask = forged
                .iter()
                .fold(mesh.get("/"), |ask, (name, value)| ask.header(name, value));
            let ask = ask
                .header("x-forwarded-for", "1.2.3.4")
                .header("X-Forwarded-Client-Cert", "URI=spiffe://y");
            let seen = if two { ask.http2().send() } else { ask.send() }.seen();
            for (name, _) in &forged[1..] {
                assert_eq!(seen.header(name), None, "{name}, HTTP/2: {two}");
            }
            let identity = told.map(|()| {
                "By=spiffe://cluster.local/ns/shop/sa/waypoint;URI=spiffe://cluster.local/ns/shop/sa/client".to_owned()
            });
            assert_eq!(seen.header("x-forwarded-client-cert"), identity, "HTTP/2: {two}");
            // What the client says comes first, where it came from last.
            assert_eq!(
                seen.header("x-forwarded-for").as_deref(),
                Some("1.2.3.4,127.0.0.1"),
                "HTTP/2: {two}"
            );
        }
    }
}

/// Whoever decides sees what a client sends to the proxy alone; the service does not.
#[test]
fn fields_of_one_hop() {
    let mesh = Together::shop(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: shop}, spec: {hosts: [web], http: \
         [{match: [{headers: {upgrade: {exact: websocket}}}], route: [{destination: {host: web-v2}}]}, {route: [{destination: {host: web-v1}}]}]}}",
    );
    let status = |fields: &str| {
        let mut conn = mesh.connect("web:80");
        conn.write(format!("GET / HTTP/1.1\r\nhost: web\r\n{fields}\r\n"));
        conn.read_until("\r\n\r\n")
    };
    const SOCKET: &str = "connection: Upgrade\r\nupgrade: websocket\r\n";
    let socket = status(SOCKET);
    assert!(
        socket.starts_with("HTTP/1.1 101") && socket.contains("x-served-by: web-v2"),
        "{socket}"
    );
    assert!(status("").contains("x-served-by: web-v1"));
    let seen = mesh
        .get("/")
        .header("proxy-authorization", "Basic eDp5")
        .send()
        .seen();
    assert_eq!(seen.header("proxy-authorization"), None);
    for (condition, fields) in [
        ("{key: 'request.headers[upgrade]', values: [websocket]}", SOCKET),
        ("{key: 'request.headers[connection]', values: ['Up*']}", SOCKET),
        (
            "{key: 'request.headers[proxy-authorization]', values: ['*']}",
            "proxy-authorization: Basic eDp5\r\n",
        ),
        (
            "{key: 'request.headers[expect]', values: ['*']}",
            "expect: 100-continue\r\ncontent-length: 1\r\n",
        ),
        (
            "{key: 'request.headers[keep-alive]', values: ['*']}",
            "keep-alive: timeout=5\r\n",
        ),
        (
            "{key: 'request.headers[te]', values: [trailers]}",
            "te: trailers\r\n",
        ),
    ] {
        mesh.apply(&format!(
            "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: none, namespace: shop}}, spec: \
             {{targetRefs: [{{group: '', kind: Service, name: web}}], action: DENY, rules: [{{when: [{condition}]}}]}}}}"
        ));
        let seen = status(fields);
        assert!(seen.starts_with("HTTP/1.1 403"), "{condition}: {seen}");
        let seen = status("");
        assert!(seen.starts_with("HTTP/1.1 200"), "{condition}: {seen}");
    }
}
