//! The mesh's own configuration.

use crate::cases::{Via, check, http_route};
use crate::harness::Together;

fn config(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{{spec}}}}}"
    )
}

fn deny(path: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: web, namespace: shop}}, spec: {{\
         targetRefs: [{{kind: Service, group: '', name: web}}], action: DENY, rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]}}}}"
    )
}

// row: MeshConfig pathNormalization
#[test]
fn paths_are_normalised_before_anything_is_decided() {
    let mesh = Together::shop(&deny("/admin"));
    let route = |p: &str| {
        http_route(&format!(
            "{{matches: [{{path: {{type: PathPrefix, value: {p}}}}}], backendRefs: [{{name: web-v1, port: 80}}]}}"
        ))
    };
    mesh.apply(&route("/"));
    check(
        &mesh,
        Via::Mesh,
        &[
            ("GET /admin", "403"),
            ("GET /x/../admin", "403"),
            ("GET //admin", "v1"),
        ],
    );
    mesh.apply(&config("pathNormalization: {normalization: MERGE_SLASHES}"));
    check(
        &mesh,
        Via::Mesh,
        &[("GET //admin", "403"), ("GET /%61dmin", "403")],
    );
    mesh.apply(&config(
        "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}",
    ));
    check(
        &mesh,
        Via::Mesh,
        &[("GET //admin", "403"), ("GET /x%2f..%2fadmin", "403")],
    );
    mesh.apply(&config("pathNormalization: {normalization: NONE}"));
    check(
        &mesh,
        Via::Mesh,
        &[("GET /admin", "403"), ("GET /x/../admin", "v1")],
    );
}

// row: MeshConfig defaultHttpRetryPolicy
#[test]
fn what_is_tried_again_where_no_route_says() {
    let route = http_route("{backendRefs: [{name: web-v1, port: 80}]}");
    let mesh = Together::shop(&format!(
        "{route}\n---\n{}",
        config("defaultHttpRetryPolicy: {attempts: 2, retryOn: 5xx}")
    ));
    let asked = || {
        mesh.of("web-v1").forget();
        mesh.of("web-v1").fails(5, 500);
        let status = mesh.get("/").send().status;
        mesh.of("web-v1").fails(0, 500);
        (status, mesh.of("web-v1").requests().len())
    };
    assert_eq!(asked(), (500, 3));
    mesh.apply(&config("defaultHttpRetryPolicy: {attempts: 0}"));
    assert_eq!(asked(), (500, 1));
}

// row: MeshConfig trustDomainAliases
#[test]
fn identities_of_the_old_trust_domain_are_meant_too() {
    let allow = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: web, namespace: shop}, spec: {\
         targetRefs: [{kind: Service, group: '', name: web}], action: ALLOW, rules: [{from: [{source: {principals: [old.example.com/ns/shop/sa/client]}}]}]}}";
    let mesh = Together::shop(allow);
    assert_eq!(mesh.get("/").send().status, 403);
    mesh.apply(&config("trustDomainAliases: [old.example.com]"));
    assert_eq!(mesh.get("/").send().status, 200);
    assert_eq!(mesh.get("/").from("stranger").send().status, 403);
}
