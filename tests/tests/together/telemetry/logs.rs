//! Access logs: where they go, which records, and how these are written.

use serde_json::Value;

use super::{config, file, lines, telemetry};
use crate::harness::Together;

/// A provider that logs into a file of the mesh.
fn provider(mesh: &Together, name: &str, format: &str) -> String {
    let path = file(mesh, name);
    format!(
        "{{name: {name}, envoyFileAccessLog: {{path: {}, logFormat: {{{format}}}}}}}",
        path.display()
    )
}

// row: MeshConfig extensionProviders
// row: Telemetry accessLogging.providers
// row: Telemetry accessLogging.filter.expression
#[test]
fn each_provider_has_its_own_filter_and_format() {
    let mesh = Together::shop("");
    let all = provider(&mesh, "all", "text: \"%REQ(:PATH)% %REQ(X-TEAM)%\\n\"");
    let failed = provider(
        &mesh,
        "failed",
        "labels: {code: '%RESPONSE_CODE%', path: '%REQ(:PATH)%', none: '%REQ(X-NONE)%', both: '%PROTOCOL% %RESPONSE_CODE%'}",
    );
    mesh.apply(&config(&format!("extensionProviders: [{all}, {failed}]")));
    mesh.apply(&telemetry(
        "shop/t",
        "accessLogging: [{providers: [{name: all}]}, {providers: [{name: failed}], filter: {expression: 'response.code >= 500'}}]",
    ));
    for (path, status) in [("/1", "200"), ("/2", "503"), ("/3", "404"), ("/4", "500")] {
        // A retry would be another answer.
        mesh.ask("POST", path)
            .header("say-status", status)
            .header("x-team", "blue")
            .to("web-v1:80")
            .send();
    }
    // Each worker hands its lines over when it has some.
    let mut all = lines(&mesh, &file(&mesh, "all"), 4);
    all.sort();
    assert_eq!(all, ["/1 blue", "/2 blue", "/3 blue", "/4 blue"]);
    let mut failed = lines(&mesh, &file(&mesh, "failed"), 2);
    failed.sort();
    assert_eq!(
        failed,
        [
            r#"{"both":"HTTP/1.1 500","code":500,"none":null,"path":"/4"}"#,
            r#"{"both":"HTTP/1.1 503","code":503,"none":null,"path":"/2"}"#,
        ]
    );
    // Off for one of them, for one service; on for the rest.
    mesh.apply(&telemetry(
        "shop/one",
        "targetRefs: [{kind: Service, group: '', name: web-v1}], accessLogging: [{providers: [{name: failed}], disabled: true}]",
    ));
    mesh.ask("POST", "/5")
        .header("say-status", "500")
        .to("web-v1:80")
        .send();
    mesh.ask("POST", "/6")
        .header("say-status", "500")
        .to("web-v2:80")
        .send();
    assert_eq!(lines(&mesh, &file(&mesh, "all"), 6).len(), 6);
    let failed = lines(&mesh, &file(&mesh, "failed"), 3);
    assert!(
        failed.len() == 3 && failed.iter().any(|line| line.contains("/6")),
        "{failed:?}"
    );
}

/// Istio's default text, each byte of it.
#[test]
fn the_default_text() {
    let mesh = Together::shop(&config("accessLogFile: /dev/stdout"));
    let answer = mesh
        .post("/cart?n=1", "four")
        .to("web-v1:80")
        .header("user-agent", "test/1")
        .header("x-request-id", "7ec25152-ca8e-423b-a736-49838ce316f4")
        .send();
    let line = mesh.log(1).remove(0);
    let parts: Vec<&str> = line.split(' ').collect();
    assert_eq!(parts.len(), 24, "{line}");
    let (time, duration, service_time) = (parts[0], parts[11], parts[12]);
    assert!(
        time.len() == 26 && time.starts_with("[20") && time.ends_with("Z]"),
        "{line}"
    );
    let duration: u64 = duration.parse().unwrap();
    assert!(service_time.parse::<u64>().unwrap() <= duration, "{line}");
    let backend = mesh.of("web-v1");
    let local = parts[19];
    assert!(local.starts_with("127.") && !local.ends_with(":8080"), "{line}");
    let peer = parts[21];
    let expected = format!(
        "{time} \"POST /cart?n=1 HTTP/1.1\" 200 - via_upstream - \"-\" 4 {sent} {duration} {service_time} \"-\" \
         \"test/1\" \"7ec25152-ca8e-423b-a736-49838ce316f4\" \"web-v1\" \"{upstream}:8080\" {cluster} {local} {vip} {peer} - {route}",
        sent = answer.body.len(),
        upstream = backend.ip,
        cluster = parts[18],
        vip = mesh.target("web-v1:80"),
        route = parts[23],
    );
    assert_eq!(line, expected);
    assert!(
        parts[18].contains("web-v1.shop.svc.cluster.local") && parts[18].contains("80"),
        "{line}"
    );
}

/// Istio's default JSON: its keys, their order, and their types.
// row: MeshConfig accessLogEncoding
// row: MeshConfig accessLogFile
#[test]
fn the_default_json() {
    let mesh = Together::shop(&config("accessLogFile: /dev/stdout, accessLogEncoding: JSON"));
    mesh.get("/a").to("web-v1:80").send();
    let line = mesh.log(1).remove(0);
    let value: Value = serde_json::from_str(&line).unwrap();
    let numbers = ["bytes_received", "bytes_sent", "duration", "response_code"];
    let absent = [
        "connection_termination_details",
        "requested_server_name",
        "upstream_transport_failure_reason",
        "user_agent",
    ];
    let keys = [
        "authority",
        "bytes_received",
        "bytes_sent",
        "connection_termination_details",
        "downstream_local_address",
        "downstream_remote_address",
        "duration",
        "method",
        "path",
        "protocol",
        "request_id",
        "requested_server_name",
        "response_code",
        "response_code_details",
        "response_flags",
        "route_name",
        "start_time",
        "upstream_cluster",
        "upstream_host",
        "upstream_local_address",
        "upstream_service_time",
        "upstream_transport_failure_reason",
        "user_agent",
        "x_forwarded_for",
    ];
    let mut at = 0;
    for key in keys {
        let found = line[at..]
            .find(&format!("\"{key}\":"))
            .unwrap_or_else(|| panic!("{key} in {line}"));
        at += found;
        match key {
            _ if numbers.contains(&key) => assert!(value[key].is_u64(), "{key} in {line}"),
            _ if absent.contains(&key) => assert!(value[key].is_null(), "{key} in {line}"),
            "x_forwarded_for" | "route_name" => {}
            _ => assert!(value[key].is_string(), "{key} in {line}"),
        }
    }
    assert_eq!(value.as_object().unwrap().len(), keys.len());
}

// row: MeshConfig accessLogFormat
#[test]
fn a_format_for_the_whole_mesh() {
    let mesh = Together::shop(&config(
        "accessLogFile: /dev/stdout, accessLogFormat: \"%REQ(:METHOD)% %BYTES_RECEIVED% %DOWNSTREAM_PEER_URI_SAN% %FILTER_STATE(upstream_peer:FIELD:namespace)% %CEL(size(request.headers['x-a']))%\\n\"",
    ));
    mesh.post("/", "12").header("x-a", "bcd").send();
    assert_eq!(
        mesh.log(1),
        ["POST 2 spiffe://cluster.local/ns/shop/sa/client shop 3"]
    );
    let wrong = mesh
        .try_apply(&config(
            "accessLogFile: /dev/stdout, accessLogFormat: '%NO_SUCH%'",
        ))
        .unwrap_err();
    assert!(
        wrong[0].contains("accessLogFormat") && wrong[0].contains("%NO_SUCH%"),
        "{wrong:?}"
    );
    assert_eq!(mesh.get("/").send().status, 200, "the last good one stays");
}

/// Times and addresses that exist while somebody is served only.
#[test]
fn what_only_a_real_request_has() {
    let mesh = Together::shop(&config(
        "accessLogFile: /dev/stdout, accessLogFormat: \"%REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %DURATION% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_WIRE_BYTES_RECEIVED% %TRAILER(GRPC-STATUS)% %CONNECTION_TERMINATION_DETAILS%\\n\"",
    ));
    mesh.grpc("/a.B/C").to("web-v1:9090").message("hello").send();
    let line = mesh.log(1).remove(0);
    let parts: Vec<&str> = line.split(' ').collect();
    let numbers: Vec<u64> = parts[..4].iter().map(|text| text.parse().unwrap()).collect();
    assert!(
        numbers[0] <= numbers[3] && numbers[1] + numbers[2] <= numbers[3] + 1,
        "{line}"
    );
    assert!(parts[4].starts_with("127.") && parts[4].contains(':'), "{line}");
    assert!(parts[5].parse::<u64>().unwrap() > 10, "{line}");
    assert_eq!(&parts[6..], ["0", "-"]);
    // Through a tunnel, too.
    mesh.service("api", "app: api");
    mesh.mesh_backend("api-0", "app: api");
    mesh.get("/").to("api:80").send();
    let line = mesh.log(2).remove(1);
    assert!(line.split(' ').nth(4).unwrap().starts_with("127."), "{line}");
    // A connection that was not allowed says so at its end.
    mesh.apply("{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: none, namespace: shop}, spec: {targetRefs: [{kind: Service, group: '', name: web-v1}], action: DENY, rules: [{}]}}");
    drop(mesh.connect("web-v1:9000").rest());
    let line = mesh.log(3).remove(2);
    assert!(
        line.contains("rbac_access_denied_matched_policy[") && line.contains("none"),
        "{line}"
    );
}

/// Whoever switches logging off gets no line, and others do.
// row: Telemetry accessLogging.disabled
#[test]
fn logging_can_be_off() {
    let mesh = Together::shop(&config(
        "accessLogFile: /dev/stdout, accessLogFormat: \"%REQ(:PATH)%\\n\"",
    ));
    mesh.apply(&telemetry(
        "shop/off",
        "targetRefs: [{kind: Service, group: '', name: web-v1}], accessLogging: [{disabled: true}]",
    ));
    mesh.get("/not").to("web-v1:80").send();
    mesh.get("/this").to("web-v2:80").send();
    assert_eq!(mesh.log(1), ["/this"]);
}
