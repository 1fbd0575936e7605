//! The cases of Gateway API's own conformance tests, in our words: the same objects attached to a Service, as the mesh
//! tests have them, and to a listener of a gateway. `docs/conformance/gateway-api.md` says which case is which test's.
//!
//! - this file: what the tests share. - [`matching`], [`filters`], [`resilience`], [`references`], [`parents`].

mod filters;
mod matching;
mod parents;
mod references;
mod resilience;

use crate::cases::{Via, check, http_route, http_route_of, third, to};
use crate::harness::Together;

/// What both kinds of parents are held to: the stage, and a route with these rules.
fn both(rules: &str, cases: &[(&str, &str)]) {
    let mesh = Together::shop("");
    third(&mesh);
    mesh.apply(&http_route(rules));
    assert!(mesh.holds("HTTPRoute", "web", "Accepted") && mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
    check(&mesh, Via::Mesh, cases);
    let edge = edge("");
    edge.apply(&http_route_of("web", "{name: edge}", "", rules));
    check(&edge, Via::Listener(80), cases);
}

/// A gateway with a listener on port 80, and others if they are given.
fn edge(listeners: &str) -> Together {
    let edge = Together::gateway(
        "edge",
        &format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: shop}}, \
             spec: {{gatewayClassName: lateen, listeners: [{{name: web, port: 80, protocol: HTTP}}{listeners}]}}}}"
        ),
    );
    backends(&edge);
    edge
}

fn backends(mesh: &Together) {
    for version in ["v1", "v2", "v3"] {
        let name = format!("web-{version}");
        mesh.service(&name, &format!("version: {version}"));
        mesh.backend(&name, &format!("version: {version}"));
    }
}

fn rules(rules: &[(&str, &str)]) -> String {
    let rules = rules
        .iter()
        .map(|(matches, version)| format!("{{matches: [{matches}], {}}}", to(version)));
    rules.collect::<Vec<_>>().join(", ")
}

fn version(value: &str) -> String {
    format!("{{headers: [{{name: version, value: {value}}}]}}")
}
