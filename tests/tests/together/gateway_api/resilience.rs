//! Retries, timeouts and shares.

use std::time::Duration;

use super::edge;
use crate::cases::{Via, ask, check, http_route, http_route_of, third, under};
use crate::harness::Together;

// row: HTTPRoute rules.retry
#[test]
fn retries() {
    let rules = [
        under(
            "/three-times",
            "retry: {codes: [500], attempts: 3, backoff: 1ms},",
            "v1",
        ),
        under(
            "/twice",
            "retry: {codes: [500, 502, 503, 504], attempts: 2, backoff: 1ms},",
            "v1",
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let backend = mesh.of("web-v1");
    for (path, failures, with, status, asked) in [
        ("/three-times", 3, 500, 200, 4),
        ("/three-times", 4, 500, 500, 4),
        ("/three-times", 1, 503, 503, 1),
        ("/twice", 2, 500, 200, 3),
        ("/twice", 2, 502, 200, 3),
        ("/twice", 2, 503, 200, 3),
        ("/twice", 2, 504, 200, 3),
        ("/twice", 3, 503, 503, 3),
    ] {
        backend.forget();
        backend.fails(failures, with);
        let answer = mesh.get(path).send();
        let asked_for = backend.requests().len();
        assert_eq!(
            (answer.status, asked_for),
            (status, asked),
            "{path}: {failures} times {with}"
        );
        backend.fails(0, 200);
    }
}

#[test]
fn connections_that_break_are_tried_again() {
    let mesh = Together::shop(&http_route(
        "{retry: {codes: [503], attempts: 3, backoff: 1ms}, backendRefs: [{name: web, port: 80}]}",
    ));
    mesh.of("web-v1").hangs_up(true);
    for _ in 0..20 {
        assert_eq!(mesh.get("/").send().brief(), (200, "web-v2"));
    }
    assert!(!mesh.of("web-v1").requests().is_empty());
}

// row: HTTPRoute rules.timeouts.request
// row: HTTPRoute rules.timeouts.backendRequest
#[test]
fn timeouts() {
    let rules = [
        under("/request", "timeouts: {request: 100ms},", "v1"),
        under("/try", "timeouts: {request: 30s, backendRequest: 100ms},", "v1"),
        under("/never", "timeouts: {request: 0s},", "v1"),
        under(
            "/retried",
            "timeouts: {request: 30s, backendRequest: 200ms}, retry: {codes: [504], attempts: 1, backoff: 1ms},",
            "v1",
        ),
        under(
            "/all-tries",
            "timeouts: {request: 300ms, backendRequest: 200ms}, retry: {codes: [504], attempts: 20, backoff: 1ms},",
            "v1",
        ),
    ];
    let mesh = Together::shop(&http_route(&rules.join(", ")));
    let backend = mesh.of("web-v1");
    check(
        &mesh,
        Via::Mesh,
        &[("GET /request", "v1"), ("GET /try", "v1"), ("GET /never", "v1")],
    );
    backend.takes(Duration::from_secs(40));
    check(&mesh, Via::Mesh, &[("GET /request", "504"), ("GET /try", "504")]);
    backend.forget();
    check(&mesh, Via::Mesh, &[("GET /retried", "504")]);
    assert_eq!(backend.requests().len(), 2);
    backend.forget();
    check(&mesh, Via::Mesh, &[("GET /all-tries", "504")]);
    assert!(
        backend.requests().len() < 4,
        "the request's limit is for all tries together"
    );
    backend.takes(Duration::from_millis(300));
    check(&mesh, Via::Mesh, &[("GET /never", "v1")]);
}

// row: HTTPRoute rules.backendRefs.weight
#[test]
fn weights() {
    let rules = "{backendRefs: [{name: web-v1, port: 80, weight: 70}, {name: web-v2, port: 80, weight: 30}, {name: web-v3, port: 80, weight: 0}]}";
    let mesh = Together::shop("");
    third(&mesh);
    mesh.apply(&http_route(rules));
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", rules));
    for (mesh, via) in [(&mesh, Via::Mesh), (&edge, Via::Listener(80))] {
        let kept = mesh.keep(ask(mesh, via, "GET /"));
        let mut by = std::collections::BTreeMap::<String, usize>::new();
        for _ in 0..500 {
            *by.entry(kept.send(ask(mesh, via, "GET /")).by().to_owned())
                .or_default() += 1;
        }
        assert!((325..=375).contains(&by["web-v1"]), "{by:?}");
        assert_eq!(by["web-v1"] + by["web-v2"], 500, "{by:?}");
    }
}
