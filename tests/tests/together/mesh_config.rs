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

/// What a configuration says of logs, and a line of it.
fn line(mesh: &Together, path: &str) -> String {
    mesh.get(path).send();
    mesh.until("the line of a request", || {
        let log = mesh.log(0);
        log.iter().find(|line| line.contains(path)).cloned()
    })
}

#[test]
fn a_format_that_is_none_leaves_the_one_before_in_force_and_says_so() {
    let mesh = Together::shop_over_grpc(&config(
        "accessLogFile: /dev/stdout, accessLogFormat: \"was %REQ(:PATH)%\\n\"",
    ));
    assert_eq!(line(&mesh, "/first"), "was /first");
    for (spec, field, why) in [
        ("accessLogFormat: \"%NOBODY%\"", "spec.accessLogFormat", "NOBODY"),
        (
            "accessLogFormat: \"%REQ(:PATH\"",
            "spec.accessLogFormat",
            "is no format",
        ),
        (
            "accessLogEncoding: JSON, accessLogFormat: '{\"a\": \"%NOBODY%\"}'",
            "spec.accessLogFormat",
            "NOBODY",
        ),
        (
            "extensionProviders: [{name: own, envoyFileAccessLog: {path: /dev/stdout, logFormat: {text: '%NOBODY%'}}}]",
            "spec.extensionProviders[0].envoyFileAccessLog.logFormat",
            "NOBODY",
        ),
        (
            "defaultConfig: {tracing: {customTags: {a: {formatter: {value: '%NOBODY%'}}}}}",
            "spec.defaultConfig.tracing.customTags.a.formatter.value",
            "NOBODY",
        ),
    ] {
        let told = mesh.try_apply(&config(&format!("accessLogFile: /dev/stdout, {spec}")));
        let told = told.expect_err(spec);
        assert!(told[0].contains(field) && told[0].contains(why), "{told:?}");
        let said = mesh.conditions("MeshConfig", "istio-system/mesh", "lateen.dev/Current");
        let said = said.first().unwrap_or_else(|| panic!("{}", mesh.status_page()));
        assert_eq!(
            (&said["status"], &said["reason"]),
            (&"False".into(), &"LastGood".into())
        );
        let message = said["message"].as_str().unwrap_or_default();
        assert!(
            message.contains("MeshConfig istio-system/mesh")
                && message.contains(field)
                && message.contains(why),
            "{message}"
        );
        let path = format!("/{}", field.len() + why.len());
        assert_eq!(line(&mesh, &path), format!("was {path}"), "{spec}");
    }
    mesh.apply(&config(
        "accessLogFile: /dev/stdout, accessLogFormat: \"is %REQ(:PATH)%\\n\"",
    ));
    assert_eq!(line(&mesh, "/mended"), "is /mended");
    assert!(
        mesh.conditions("MeshConfig", "istio-system/mesh", "lateen.dev/Current")
            .is_empty()
    );
}

#[test]
fn a_format_of_json_that_is_no_object_of_texts_is_the_default_one_and_says_so() {
    let mesh = Together::shop_over_grpc("");
    for format in ["[1]", "{\"a\": 7}", "was %REQ(:PATH)%"] {
        mesh.apply(&config(&format!(
            "accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: '{format}'"
        )));
        let path = format!("/json{}", format.len());
        let line = line(&mesh, &path);
        assert!(
            line.starts_with('{') && line.contains("\"response_code\""),
            "{line}"
        );
        let status = mesh.status("MeshConfig", "istio-system/mesh").to_string();
        assert!(
            status.contains("spec.accessLogFormat") && status.contains("the default format is used"),
            "{status}"
        );
    }
}

// row: MeshConfig defaultConfig.gatewayTopology.numTrustedProxies
#[test]
fn the_client_is_whom_the_first_trusted_proxy_had_a_request_from() {
    let mesh = Together::gateway(
        "edge",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, \
         spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}",
    );
    mesh.service("web-v1", "version: v1");
    mesh.backend("web-v1", "version: v1");
    mesh.apply(&crate::cases::http_route_of(
        "web",
        "{name: edge}",
        "",
        "{backendRefs: [{name: web-v1, port: 80}]}",
    ));
    // Nobody from 9.9.9.9.
    mesh.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: not-nine, namespace: shop}, spec: \
         {targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], action: DENY, rules: [{from: [{source: \
         {remoteIpBlocks: [9.9.9.9]}}]}]}}",
    );
    let status = |lines: &[&str]| {
        let ask = mesh.get("/").at(80);
        let ask = lines
            .iter()
            .fold(ask, |ask, line| ask.header("x-forwarded-for", line));
        ask.send().status
    };
    let trusts = |count: u32| {
        mesh.apply(&config(&format!(
            "defaultConfig: {{gatewayTopology: {{numTrustedProxies: {count}}}}}"
        )));
    };
    // Nobody is believed without being trusted.
    assert_eq!(status(&["9.9.9.9"]), 200);
    trusts(1);
    for (lines, expected) in [
        (&["9.9.9.9"][..], 403),
        (&["1.1.1.1, 9.9.9.9"], 403),
        (&["1.1.1.1", "9.9.9.9"], 403),
        // What stands before is the client's own, and says nothing.
        (&["9.9.9.9, 1.1.1.1"], 200),
        (&["9.9.9.9", "1.1.1.1"], 200),
        (&["9.9.9.9, nobody"], 200),
        (&[], 200),
    ] {
        assert_eq!(status(lines), expected, "{lines:?}");
    }
    trusts(2);
    for (lines, expected) in [
        (&["9.9.9.9, 1.1.1.1"][..], 403),
        (&["2.2.2.2,9.9.9.9", "1.1.1.1"], 403),
        (&["9.9.9.9, 2.2.2.2, 1.1.1.1"], 200),
        // Fewer than there have to be.
        (&["9.9.9.9"], 200),
    ] {
        assert_eq!(status(lines), expected, "{lines:?}");
    }
    // A Gateway says it for itself: on its own object, or on what it has made.
    let own = |gateway: &str| {
        mesh.apply(&format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge, namespace: shop{gateway}, listeners: \
             [{{name: web, port: 80, protocol: HTTP}}]}}}}"
        ));
    };
    let one = "proxy.istio.io/config: '{gatewayTopology: {numTrustedProxies: 1}}'";
    for gateway in [
        format!(", annotations: {{{one}}}}}, spec: {{gatewayClassName: lateen"),
        format!("}}, spec: {{gatewayClassName: lateen, infrastructure: {{annotations: {{{one}}}}}"),
    ] {
        own(&gateway);
        assert_eq!(status(&["9.9.9.9"]), 403, "{gateway}");
        assert_eq!(status(&["9.9.9.9, 1.1.1.1"]), 200, "{gateway}");
    }
    // What says nothing of it, or cannot be read, leaves the mesh's number.
    for text in ["{concurrency: 2}", "{gatewayTopology: "] {
        own(&format!(
            ", annotations: {{proxy.istio.io/config: '{text}'}}}}, spec: {{gatewayClassName: lateen"
        ));
        assert_eq!(status(&["9.9.9.9, 1.1.1.1"]), 403, "{text}");
    }
    // The application is told all of it.
    let seen = mesh
        .get("/")
        .at(80)
        .header("x-forwarded-for", "2.2.2.2")
        .header("x-forwarded-for", "1.1.1.1");
    let seen = seen.send().seen().header("x-forwarded-for").unwrap_or_default();
    assert!(seen.starts_with("2.2.2.2,1.1.1.1,127."), "{seen}");
}

#[test]
fn nobody_in_the_mesh_is_believed_about_who_a_client_is() {
    let mesh = Together::shop(&config(
        "defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}",
    ));
    mesh.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: nine, namespace: shop}, spec: \
         {targetRefs: [{group: '', kind: Service, name: web}], rules: [{from: [{source: {remoteIpBlocks: [9.9.9.9]}}]}]}}",
    );
    assert_eq!(
        mesh.get("/").header("x-forwarded-for", "9.9.9.9").send().status,
        403
    );
}
