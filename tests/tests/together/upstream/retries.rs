//! When a request is tried again, where, and how often.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{raw, read_head, virtual_service};
use crate::harness::Together;

/// How a try ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Status(u16),
    /// A status with a header.
    With(u16, &'static str, &'static str),
    HangsUp,
    /// Later than a try may take.
    Late,
}

fn retries(retry_on: &str) -> String {
    virtual_service(
        "web",
        &format!("retries: {{attempts: 1, perTryTimeout: 500ms, retryOn: '{retry_on}', backoff: 1ms}}"),
    )
}

/// How often each of the two endpoints was asked.
fn asked(mesh: &Together) -> [usize; 2] {
    ["web-v1", "web-v2"].map(|name| mesh.of(name).requests().len())
}

/// Whether a request whose tries all end so is tried again, and then at the other endpoint.
fn is_retried(mesh: &Together, end: End) -> bool {
    let both = ["web-v1", "web-v2"].map(|name| mesh.of(name));
    for backend in &both {
        backend.forget();
        backend.hangs_up(matches!(end, End::HangsUp));
        backend.takes(Duration::from_secs(if matches!(end, End::Late) { 20 } else { 0 }));
        if let End::With(_, name, value) = end {
            backend.says(name, value);
        }
    }
    // Not one that may be repeated: those are free to be sent again on kept connections.
    let mut ask = mesh.post("/", "once");
    if let End::Status(status) | End::With(status, ..) = end {
        ask = ask.header("say-status", &status.to_string());
    }
    ask.send();
    match asked(mesh) {
        [1, 1] => true,
        [1, 0] | [0, 1] => false,
        other => panic!("{end:?}: {other:?}"),
    }
}

// row: VirtualService http.retries
#[test]
fn each_condition_has_its_failures_and_no_others() {
    let mesh = Together::shop("");
    for (retry_on, retried, not) in [
        (
            "5xx",
            vec![End::Status(500), End::Status(599), End::HangsUp, End::Late],
            vec![End::Status(429)],
        ),
        (
            "gateway-error",
            vec![End::Status(502), End::Status(503), End::Status(504), End::HangsUp],
            vec![End::Status(500), End::Status(505)],
        ),
        ("reset", vec![End::HangsUp, End::Late], vec![End::Status(503)]),
        (
            "reset-before-request",
            vec![],
            vec![End::HangsUp, End::Status(503)],
        ),
        (
            "connect-failure",
            vec![],
            vec![End::HangsUp, End::Status(503), End::Late],
        ),
        ("refused-stream", vec![], vec![End::HangsUp, End::Status(503)]),
        (
            "retriable-4xx",
            vec![End::Status(409)],
            vec![End::Status(404), End::Status(503)],
        ),
        (
            "retriable-status-codes",
            vec![],
            vec![End::Status(500), End::Status(503)],
        ),
        (
            "418,connect-failure",
            vec![End::Status(418)],
            vec![End::Status(503), End::HangsUp],
        ),
        ("envoy-ratelimited", vec![], vec![End::Status(429)]),
        // Lists that nobody can give, and another protocol: never.
        ("retriable-headers", vec![], vec![End::Status(503), End::HangsUp]),
        (
            "http3-post-connect-failure",
            vec![],
            vec![End::Status(503), End::HangsUp],
        ),
        ("unavailable", vec![], vec![End::Status(503), End::HangsUp]),
    ] {
        mesh.apply(&retries(retry_on));
        for end in retried {
            assert!(is_retried(&mesh, end), "{retry_on}: {end:?}");
        }
        for end in not {
            assert!(!is_retried(&mesh, end), "{retry_on}: {end:?}");
        }
    }
}

#[test]
fn headers_of_answers_are_conditions() {
    let statuses = [
        ("cancelled", "1"),
        ("deadline-exceeded", "4"),
        ("resource-exhausted", "8"),
        ("internal", "13"),
        ("unavailable", "14"),
    ];
    for (at, (condition, status)) in statuses.into_iter().enumerate() {
        let mesh = Together::shop(&retries(condition));
        assert!(
            is_retried(&mesh, End::With(200, "grpc-status", status)),
            "{condition}"
        );
        let (other, _) = statuses[(at + 1) % statuses.len()];
        mesh.apply(&retries(other));
        assert!(!is_retried(&mesh, End::Status(200)), "{other} for {status}");
    }
    let mesh = Together::shop(&retries("envoy-ratelimited"));
    assert!(is_retried(&mesh, End::With(429, "x-envoy-ratelimited", "true")));
    assert!(!is_retried(&mesh, End::Status(503)));
}

#[test]
fn no_connection_is_a_condition() {
    for (retry_on, flags) in [
        ("connect-failure", "UF,URX"),
        ("reset", "UF,URX"),
        ("retriable-4xx", "UF"),
    ] {
        let mesh = Together::shop("");
        mesh.apply(
            "{apiVersion: v1, kind: Service, metadata: {name: dead, namespace: shop}, spec: {clusterIP: 10.96.1.2, \
             selector: {app: web}, ports: [{name: http, port: 80, targetPort: 7999}]}}",
        );
        mesh.apply(&virtual_service(
            "dead",
            &format!("retries: {{attempts: 1, retryOn: '{retry_on}'}}"),
        ));
        assert_eq!(mesh.get("/").to("dead:80").send().status, 503);
        let line = &mesh.log(1)[0];
        assert!(line.contains(&format!(" 503 {flags} ")), "{retry_on}: {line}");
    }
}

// row: HTTPRoute rules.retry
#[test]
fn an_endpoint_may_ask_for_a_pause_where_the_rule_is_somebodys() {
    let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: one, namespace: shop}, \
                 spec: {parentRefs: [{group: '', kind: Service, name: web-v1}], rules: [{retry: {codes: [503], attempts: 1}, \
                 backendRefs: [{name: web-v1, port: 80}]}]}}";
    let rules = [
        virtual_service("web-v1", "retries: {attempts: 1, retryOn: '503'}"),
        route.to_owned(),
    ];
    for rule in rules {
        let mesh = Together::shop(&rule);
        let backend = mesh.of("web-v1");
        backend.says("retry-after", "1");
        backend.fails(1, 503);
        let begin = Instant::now();
        assert_eq!(mesh.get("/").to("web-v1:80").send().brief(), (200, "web-v1"));
        assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(backend.requests().len(), 2);
    }
}

#[test]
fn who_asks_for_longer_than_anybody_waits_is_left_alone() {
    let mesh = Together::shop(&virtual_service(
        "web-v1",
        "retries: {attempts: 1, retryOn: '503'}",
    ));
    let backend = mesh.of("web-v1");
    backend.says("retry-after", "3600");
    backend.fails(1, 503);
    let answer = mesh.get("/").to("web-v1:80").send();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3600")));
    assert_eq!(backend.requests().len(), 1);
    // Nor for longer than the request may take.
    let mesh = Together::shop(&virtual_service(
        "web-v1",
        "timeout: 5s, retries: {attempts: 1, retryOn: '503'}",
    ));
    let backend = mesh.of("web-v1");
    backend.says("retry-after", "9");
    backend.fails(1, 503);
    assert_eq!(mesh.get("/").to("web-v1:80").send().status, 503);
    assert_eq!(backend.requests().len(), 1);
    // Where nobody asked for retries, the usual ones are as soon as ever.
    let mesh = Together::shop("");
    let backend = mesh.of("web-v1");
    backend.says("retry-after", "3600");
    backend.says("grpc-status", "14");
    mesh.get("/").to("web-v1:80").send();
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn a_pause_is_one_endpoints_unless_it_is_a_limit() {
    let mesh = Together::shop(&virtual_service(
        "web",
        "retries: {attempts: 1, retryOn: '503,429'}",
    ));
    let first = mesh.of("web-v1");
    first.says("retry-after", "3600");
    first.answers(503);
    while first.requests().is_empty() {
        assert_eq!(mesh.get("/").send().brief(), (200, "web-v2"));
    }
    first.forget();
    first.answers(429);
    let mut answer = mesh.get("/").send();
    while first.requests().is_empty() {
        answer = mesh.get("/").send();
    }
    assert_eq!(answer.brief(), (429, "web-v1"), "the limit is the service's");
}

#[test]
fn bodies_are_kept_up_to_64_kib() {
    let mesh = Together::shop(&retries("503"));
    for (length, status, tries) in [(64 * 1024, 200, 2), (64 * 1024 + 1, 503, 1)] {
        let backend = mesh.of("web-v1");
        backend.forget();
        backend.fails(1, 503);
        let body = "x".repeat(length);
        mesh.apply(&virtual_service(
            "web-v1",
            "retries: {attempts: 1, retryOn: '503'}",
        ));
        let answer = mesh.post("/", &body).to("web-v1:80").send();
        let seen = backend.requests();
        assert_eq!((answer.status, seen.len()), (status, tries), "{length} bytes");
        assert!(seen.iter().all(|seen| seen.body == body));
    }
}

#[test]
fn nothing_is_tried_again_once_the_answer_has_begun() {
    let mesh = Together::start("");
    let came = raw(&mesh, "http", |mut stream, _| {
        read_head(&stream);
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).unwrap();
    });
    let retries = "retries: {attempts: 3, retryOn: '5xx,reset,reset-before-request'}";
    mesh.apply(&virtual_service("raw", retries));
    let mut client = mesh.connect("raw:80");
    client.write("GET / HTTP/1.1\r\nhost: raw\r\nconnection: close\r\n\r\n");
    let seen = client.rest();
    assert!(
        seen.starts_with("HTTP/1.1 200") && seen.ends_with("half"),
        "{seen}"
    );
    assert_eq!(came.load(Ordering::SeqCst), 1);
    // Before the first byte it is.
    let mesh = Together::start("");
    let came = raw(&mesh, "http", |stream, _| drop(read_head(&stream)));
    mesh.apply(&virtual_service("raw", retries));
    assert_eq!(mesh.post("/", "").to("raw:80").send().status, 503);
    assert_eq!(came.load(Ordering::SeqCst), 4);
}

#[test]
fn what_an_application_may_have_done_is_not_done_twice_unless_somebody_asks_for_it() {
    let mesh = Together::shop("");
    let backend = mesh.of("web-v1");
    backend.fails(1, 503);
    assert_eq!(mesh.post("/", "once").to("web-v1:80").send().status, 503);
    assert_eq!(backend.requests().len(), 1);
    // What gRPC calls unavailable was not done.
    backend.says("grpc-status", "14");
    mesh.post("/", "more than once").to("web-v1:80").send();
    assert_eq!(backend.requests().len(), 4);
}
