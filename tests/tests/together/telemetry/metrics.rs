//! Istio's standard metrics, and what users want otherwise.

use super::{found, series, telemetry, value};
use crate::harness::Together;

// row: Telemetry metrics.overrides.tagOverrides
#[test]
fn the_root_namespace_counts_before_a_namespace_and_that_before_targets() {
    let change = |level: &str, more: &str| {
        format!(
            "metrics: [{{overrides: [{{match: {{metric: ALL_METRICS}}, tagOverrides: {{level: {{value: \"'{level}'\"}}{more}}}}}]}}]"
        )
    };
    let removed = ", source_app: {operation: REMOVE}";
    let mesh = Together::shop(&telemetry("istio-system/root", &change("root", removed)));
    mesh.get("/").to("web:80").send();
    let line = series(&mesh, "istio_requests_total", &["level=\"root\""]);
    assert!(
        !line.contains("source_app=") && line.contains("source_workload="),
        "{line}"
    );
    mesh.apply(&telemetry("shop/all", &change("namespace", "")));
    mesh.apply(&telemetry(
        "shop/one",
        &format!(
            "targetRefs: [{{kind: Service, group: '', name: web-v1}}], {}",
            change("service", "")
        ),
    ));
    mesh.get("/").to("web:80").send();
    let line = series(&mesh, "istio_requests_total", &["level=\"namespace\""]);
    assert!(!line.contains("source_app="), "what the root wants stays: {line}");
    mesh.get("/").to("web-v1:80").send();
    let labels = ["level=\"service\"", "destination_service_name=\"web-v1\""];
    series(&mesh, "istio_requests_total", &labels);
    mesh.remove("Telemetry", "one");
    mesh.get("/").to("web-v1:80").send();
    let labels = ["level=\"namespace\"", "destination_service_name=\"web-v1\""];
    series(&mesh, "istio_requests_total", &labels);
    for name in ["root", "all"] {
        let namespace = if name == "root" { "istio-system" } else { "shop" };
        assert!(mesh.holds("Telemetry", &format!("{namespace}/{name}"), "WaypointAccepted"));
    }
}

// row: Telemetry metrics.overrides.disabled
#[test]
fn a_waypoint_is_the_server() {
    for (mode, counted) in [("CLIENT", true), ("SERVER", false), ("CLIENT_AND_SERVER", false)] {
        let spec = format!(
            "metrics: [{{overrides: [{{match: {{metric: REQUEST_COUNT, mode: {mode}}}, disabled: true}}]}}]"
        );
        let mesh = Together::shop(&telemetry("shop/t", &spec));
        mesh.get("/").send();
        series(&mesh, "istio_request_duration_milliseconds_count", &[]);
        assert_eq!(
            found(&mesh, "istio_requests_total", &[]).is_some(),
            counted,
            "{mode}"
        );
    }
}

#[test]
fn each_metric_has_its_own_labels_and_can_be_switched_off_by_itself() {
    let overrides = "{match: {metric: ALL_METRICS}, disabled: true}, \
        {match: {metric: REQUEST_COUNT}, disabled: false, tagOverrides: {method: {value: request.method}, team: {value: \"request.headers['x-team']\"}, destination_version: {operation: REMOVE}}}, \
        {match: {metric: REQUEST_SIZE}, disabled: false}";
    let spec = format!("metrics: [{{providers: [{{name: prometheus}}], overrides: [{overrides}]}}]");
    let mesh = Together::shop(&telemetry("shop/t", &spec));
    mesh.get("/").to("web-v1:80").header("x-team", "blue").send();
    mesh.get("/").to("web-v1:80").send();
    let blue = series(
        &mesh,
        "istio_requests_total",
        &["method=\"GET\"", "team=\"blue\""],
    );
    assert!(!blue.contains("destination_version="), "{blue}");
    series(&mesh, "istio_requests_total", &["team=\"unknown\""]);
    let size = mesh.until("both sizes", || {
        found(&mesh, "istio_request_bytes_count", &["destination_version="]).filter(|line| value(line) == 2)
    });
    assert!(!size.contains("method="), "{size}");
    for off in ["istio_request_duration_milliseconds", "istio_response_bytes"] {
        assert_eq!(found(&mesh, &format!("{off}_count"), &[]), None);
    }
}

#[test]
fn a_conflict_and_what_has_no_effect_are_told() {
    let spec = "metrics: [{reportingInterval: 5s, overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: request.method}}}]}]";
    let mesh = Together::shop(&telemetry("shop/a", spec));
    let told = mesh.status("Telemetry", "a").to_string();
    assert!(
        told.contains("spec.metrics[0].reportingInterval") && told.contains("bytes are counted as they pass"),
        "{told}"
    );
    mesh.apply(&telemetry("shop/b", spec));
    assert_eq!(mesh.reason("Telemetry", "b", "WaypointAccepted"), "Conflicted");
    let wrong = mesh.try_apply(&telemetry(
        "shop/c",
        "metrics: [{overrides: [{tagOverrides: {a: {value: request.nothing}}}]}]",
    ));
    let wrong = wrong.unwrap_err();
    assert!(
        wrong[0].contains("request.nothing") && wrong[0].contains("spec.metrics[0].overrides[0]"),
        "{wrong:?}"
    );
}

#[test]
fn calls_of_grpc_have_their_messages_and_status() {
    let mesh = Together::shop("");
    for _ in 0..3 {
        assert_eq!(
            mesh.grpc("/echo.Echo/Say")
                .to("web-v1:9090")
                .message("hello")
                .send()
                .code,
            0
        );
    }
    mesh.grpc("/echo.Echo/Say")
        .to("web-v1:9090")
        .header("say-status", "404")
        .send();
    let requests = mesh.until("all messages", || {
        found(&mesh, "istio_request_messages_total", &[]).filter(|line| value(line) == 4)
    });
    assert!(
        !requests.contains("response_code") && !requests.contains("request_protocol"),
        "{requests}"
    );
    assert_eq!(value(&series(&mesh, "istio_response_messages_total", &[])), 3);
    let labels = [
        "request_protocol=\"grpc\"",
        "response_code=\"200\"",
        "grpc_response_status=\"2\"",
    ];
    assert_eq!(value(&series(&mesh, "istio_requests_total", &labels)), 1);
    // An answer from here is one of gRPC, too.
    mesh.service("nobody", "app: nobody");
    mesh.grpc("/echo.Echo/Say").to("nobody:9090").send();
    let labels = [
        "response_code=\"200\"",
        "grpc_response_status=\"14\"",
        "response_flags=\"UH\"",
    ];
    series(&mesh, "istio_requests_total", &labels);
}

#[test]
fn connections_are_counted_while_they_are_open() {
    let mesh = Together::shop("");
    let mut open = mesh.connect("web-v1:9000");
    assert_eq!(open.read_until("\n"), "web-v1\n");
    open.write("12345");
    assert_eq!(open.read(5), "12345");
    let labels = [
        "reporter=\"waypoint\"",
        "request_protocol=\"tcp\"",
        "destination_service_name=\"web-v1\"",
    ];
    assert_eq!(
        value(&series(&mesh, "istio_tcp_connections_opened_total", &labels)),
        1
    );
    // A scrape sees what has passed so far: nobody waits for an interval, or for the end.
    assert_eq!(
        value(&series(&mesh, "istio_tcp_received_bytes_total", &labels)),
        5
    );
    assert_eq!(value(&series(&mesh, "istio_tcp_sent_bytes_total", &labels)), 12);
    assert_eq!(found(&mesh, "istio_tcp_connections_closed_total", &[]), None);
    open.write("6");
    open.finish();
    assert_eq!(open.rest(), "6");
    drop(open);
    assert_eq!(
        value(&series(&mesh, "istio_tcp_connections_closed_total", &labels)),
        1
    );
    assert_eq!(
        value(&series(&mesh, "istio_tcp_received_bytes_total", &labels)),
        6
    );
    assert_eq!(value(&series(&mesh, "istio_tcp_sent_bytes_total", &labels)), 13);
}
