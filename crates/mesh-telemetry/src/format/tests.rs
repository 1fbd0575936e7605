use std::time::Duration;

use super::*;
use crate::flags::{ResponseFlag, ResponseFlags};
use crate::record::{Response, Upstream};
use crate::testing::{Story, address};
use mesh_model::l7::request::Metadata;

fn line(format: &LogFormat, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    Format::compile(format).unwrap().write(record, &mut out);
    String::from_utf8(out).unwrap()
}

fn custom(text: &str) -> String {
    let story = Story::new();
    Template::compile(text).unwrap().text(&story.record())
}

/// As Envoy writes it: texts as they are, anything else as JSON.
#[test]
fn what_external_authorization_said() {
    let story = Story::new();
    let said = serde_json::json!({"tier": "gold", "who": {"age": 7.5, "name": "bob"}, "groups": ["a"]});
    let metadata = Metadata::new(said.as_object().unwrap().clone());
    let record = Record {
        metadata: Some(&metadata),
        ..story.record()
    };
    for (path, expected) in [
        (":tier", "gold"),
        (":who:name", "bob"),
        (":who", "{\"age\":7.5,\"name\":\"bob\"}"),
        (":groups", "[\"a\"]"),
        (":tier:name", "-"),
        (":nothing", "-"),
        (":tier):2", "go"),
        (
            "",
            "{\"groups\":[\"a\"],\"tier\":\"gold\",\"who\":{\"age\":7.5,\"name\":\"bob\"}}",
        ),
    ] {
        let end = if path.contains(')') { "%" } else { ")%" };
        let operator = format!("%DYNAMIC_METADATA(envoy.filters.http.ext_authz{path}{end}");
        let template = Template::compile(&operator).unwrap();
        assert_eq!(template.text(&record), expected, "{operator}");
    }
}

/// A line of a real Istio proxy.
#[test]
fn a_request_in_istios_default_text() {
    let story = Story::new();
    let record = Record {
        duration: Duration::from_millis(12),
        service_time: Some(Duration::from_millis(12)),
        request: story.record().request.map(|request| crate::record::Request {
            path: "/details/0",
            ..request
        }),
        ..story.record()
    };
    assert_eq!(
        line(&LogFormat::Default, &record),
        "[2021-12-23T06:24:55.527Z] \"GET /details/0 HTTP/1.1\" 200 - via_upstream - \"-\" 0 178 12 12 \"-\" \
         \"curl/7.52.1\" \"7ec25152-ca8e-923b-a736-49838ce316f4\" \"details:9080\" \"172.17.0.10:80\" \
         outbound|9080||global-sidecar.mesh-operator.svc.cluster.local 172.17.0.11:45194 10.102.66.227:9080 \
         172.17.0.11:40210 - -\n"
    );
}

/// A line of a real Istio proxy for a connection to nowhere.
#[test]
fn a_connection_in_istios_default_text() {
    let story = Story::new();
    let mut flags = ResponseFlags::NONE;
    flags.add(ResponseFlag::NoHealthyUpstream);
    let mut connection = story.record().connection;
    connection.local = address("10.111.90.232:8080");
    connection.peer = address("172.17.121.65:52006");
    let record = Record {
        request: None,
        service_time: None,
        duration: Duration::ZERO,
        sent: 0,
        response: Response {
            flags,
            ..Response::default()
        },
        connection,
        upstream: Upstream {
            cluster: Some("BlackHoleCluster"),
            ..Upstream::default()
        },
        ..story.record()
    };
    assert_eq!(
        line(&LogFormat::Default, &record),
        "[2021-12-23T06:24:55.527Z] \"- - -\" 0 UH - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" BlackHoleCluster - \
         10.111.90.232:8080 172.17.121.65:52006 - -\n"
    );
}

#[test]
fn the_default_json_has_numbers_and_nulls() {
    let story = Story::new();
    assert_eq!(
        line(&LogFormat::DefaultJson, &story.record()),
        "{\"authority\":\"details:9080\",\"bytes_received\":0,\"bytes_sent\":178,\"connection_termination_details\":null,\
         \"downstream_local_address\":\"10.102.66.227:9080\",\"downstream_remote_address\":\"172.17.0.11:40210\",\
         \"duration\":31,\"method\":\"GET\",\"path\":\"/details/0?q=1\",\"protocol\":\"HTTP/1.1\",\
         \"request_id\":\"7ec25152-ca8e-923b-a736-49838ce316f4\",\"requested_server_name\":null,\"response_code\":200,\
         \"response_code_details\":\"via_upstream\",\"response_flags\":\"-\",\"route_name\":null,\
         \"start_time\":\"2021-12-23T06:24:55.527Z\",\
         \"upstream_cluster\":\"outbound|9080||global-sidecar.mesh-operator.svc.cluster.local\",\
         \"upstream_host\":\"172.17.0.10:80\",\"upstream_local_address\":\"172.17.0.11:45194\",\
         \"upstream_service_time\":\"29\",\"upstream_transport_failure_reason\":null,\"user_agent\":\"curl/7.52.1\",\
         \"x_forwarded_for\":null}\n"
    );
}

#[test]
fn json_of_ones_own() {
    let fields = vec![
        ("who\"".into(), "%REQ(X-TEAM)%/%REQ(X-NONE)%".into()),
        ("a".into(), "%RESPONSE_CODE%".into()),
    ];
    let story = Story::new();
    assert_eq!(
        line(&LogFormat::Json(fields), &story.record()),
        "{\"a\":200,\"who\\\"\":\"blue/-\"}\n"
    );
}

#[test]
fn operators() {
    let cases = [
        ("%REQ(X-NONE?X-TEAM)%", "blue"),
        ("%REQ(X-TEAM):2%", "bl"),
        ("%REQ(x-many)%", "a,b"),
        ("%REQ(:PATH):8%|", "/details|"),
        ("%RESP(SERVER)%", "nginx"),
        ("%TRAILER(x)%", "-"),
        ("100%% %PROTOCOL%", "100% HTTP/1.1"),
        (
            "%START_TIME(%Y/%m/%dT%H:%M:%S%z %s)%",
            "2021/12/23T06:24:55+0000 1640240695",
        ),
        ("%START_TIME(%s.%3f)%", "1640240695.527"),
        ("%START_TIME(%b %e %a %j)%", "Dec 23 Thu 357"),
        ("%RESPONSE_TX_DURATION%", "1"),
        ("%RESPONSE_DURATION%", "30"),
        ("%REQUEST_DURATION%", "1"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "172.17.0.11"),
        ("%DOWNSTREAM_LOCAL_PORT%", "9080"),
        ("%DOWNSTREAM_PEER_URI_SAN%", "-"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "1"),
        ("%GRPC_STATUS%", "-"),
        ("%FILTER_STATE(downstream_peer:FIELD:namespace)%", "default"),
        ("%FILTER_STATE(upstream_peer:FIELD:workload)%", "ratings-v1"),
        ("%DYNAMIC_METADATA(istio.mixer:status)%", "-"),
        ("%DYNAMIC_METADATA(envoy.filters.http.ext_authz:tier)%", "-"),
        (
            "%CEL(request.method + ' ' + source.workload)%",
            "GET productpage-v1",
        ),
        ("%TRACE_ID%", "-"),
        ("%ENVIRONMENT(LATEEN_NO_SUCH_VARIABLE)%", "-"),
    ];
    for (format, text) in cases {
        assert_eq!(custom(format), text, "{format}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let error = |text: &str| Template::compile(text).unwrap_err().to_string();
    assert_eq!(error("%NO_SUCH%"), "there is no operator %NO_SUCH%");
    assert_eq!(error("%REQ(A"), "%REQ(A has no % at its end");
    assert_eq!(error("%REQ%"), "%REQ%: it takes the name of a header");
    assert_eq!(error("%REQ(A?B?C)%"), "%REQ(A?B?C)%: two headers at most");
    assert_eq!(
        error("%RESPONSE_CODE(1)%"),
        "%RESPONSE_CODE(1)%: it takes nothing in parentheses"
    );
    assert_eq!(error("%REQ(A):x%"), "%REQ(A):x%: the length is no number");
    assert_eq!(
        error("%START_TIME(%Q)%"),
        "%START_TIME(%Q)%: this is no format of times"
    );
    assert_eq!(error("% %"), "there is no operator % %");
}

#[test]
fn a_denial_names_its_policy() {
    let story = Story::new();
    let mut record = story.record();
    record.response.details = "rbac_access_denied";
    record.response.policy = Some("ns[shop]-policy[deny-all]-rule[0]");
    let text = Template::compile("%RESPONSE_CODE_DETAILS%")
        .unwrap()
        .text(&record);
    assert_eq!(
        text,
        "rbac_access_denied_matched_policy[ns[shop]-policy[deny-all]-rule[0]]"
    );
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let needs = |text: &str| Template::compile(text).unwrap().needs();
    assert_eq!(
        Format::compile(&LogFormat::Default).unwrap().needs(),
        Needs::default()
    );
    assert!(needs("%REQ(X-TEAM)%").request_headers);
    assert!(needs("%RESP(X-TEAM)%").response_headers);
    assert!(needs("%TRAILER(X)%").trailers);
    assert!(needs("%CEL(request.headers['a'])%").request_headers);
}

/// Every operator of the reference list: as text, and alone in JSON, there and not there.
#[test]
fn every_operator_in_text_and_in_json() {
    let story = Story::new();
    let mut there = story.record();
    there.response.termination = Some("rbac access denied");
    there.response.flags.add(ResponseFlag::NoRouteFound);
    there.response.flags.add(ResponseFlag::UpstreamRetryLimitExceeded);
    there.response.grpc_status = Some(14);
    there.upstream.failure = Some("delayed connect error: 111");
    there.connection.server_name = Some("shop.example");
    there.connection.mutual_tls = true;
    there.response.trailers = Some(&story.response_headers);
    there.route = Some("shop/r");
    let source = crate::record::End {
        principal: Some("spiffe://cluster.local/ns/a/sa/b".parse().unwrap()),
        ..story.source.clone()
    };
    there.source = &source;
    let nobody = crate::record::End::default();
    let nothing = Record {
        request: None,
        request_duration: None,
        answered_after: None,
        service_time: None,
        response: Response::default(),
        source: &nobody,
        destination: &nobody,
        upstream: Upstream::default(),
        ..story.record()
    };
    // Operator, as text, as JSON, and the JSON of a connection that nobody answered.
    let rows = [
        (
            "START_TIME",
            "2021-12-23T06:24:55.527Z",
            "\"2021-12-23T06:24:55.527Z\"",
            "\"2021-12-23T06:24:55.527Z\"",
        ),
        ("START_TIME(%s)", "1640240695", "\"1640240695\"", "\"1640240695\""),
        ("REQ(:METHOD)", "GET", "\"GET\"", "null"),
        ("REQ(X-NONE?X-TEAM):3", "blu", "\"blu\"", "null"),
        ("RESP(SERVER)", "nginx", "\"nginx\"", "null"),
        ("RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)", "29", "\"29\"", "null"),
        ("TRAILER(SERVER)", "nginx", "\"nginx\"", "null"),
        ("PROTOCOL", "HTTP/1.1", "\"HTTP/1.1\"", "null"),
        ("RESPONSE_CODE", "200", "200", "0"),
        (
            "RESPONSE_CODE_DETAILS",
            "via_upstream",
            "\"via_upstream\"",
            "null",
        ),
        (
            "CONNECTION_TERMINATION_DETAILS",
            "rbac_access_denied",
            "\"rbac_access_denied\"",
            "null",
        ),
        ("RESPONSE_FLAGS", "NR,URX", "\"NR,URX\"", "\"-\""),
        (
            "RESPONSE_FLAGS_LONG",
            "NoRouteFound,UpstreamRetryLimitExceeded",
            "\"NoRouteFound,UpstreamRetryLimitExceeded\"",
            "null",
        ),
        ("GRPC_STATUS", "Unavailable", "\"Unavailable\"", "null"),
        ("GRPC_STATUS_NUMBER", "14", "14", "null"),
        ("BYTES_RECEIVED", "0", "0", "0"),
        ("BYTES_SENT", "178", "178", "178"),
        ("DOWNSTREAM_WIRE_BYTES_RECEIVED", "120", "120", "120"),
        ("DOWNSTREAM_WIRE_BYTES_SENT", "300", "300", "300"),
        ("DURATION", "31", "31", "31"),
        ("REQUEST_DURATION", "1", "1", "null"),
        ("RESPONSE_DURATION", "30", "30", "null"),
        ("RESPONSE_TX_DURATION", "1", "1", "null"),
        ("UPSTREAM_REQUEST_ATTEMPT_COUNT", "1", "1", "0"),
        ("UPSTREAM_HOST", "172.17.0.10:80", "\"172.17.0.10:80\"", "null"),
        (
            "UPSTREAM_REMOTE_ADDRESS",
            "172.17.0.10:80",
            "\"172.17.0.10:80\"",
            "null",
        ),
        (
            "UPSTREAM_CLUSTER",
            "outbound|9080||global-sidecar.mesh-operator.svc.cluster.local",
            "\"outbound|9080||global-sidecar.mesh-operator.svc.cluster.local\"",
            "null",
        ),
        (
            "UPSTREAM_CLUSTER_RAW",
            "outbound|9080||global-sidecar.mesh-operator.svc.cluster.local",
            "\"outbound|9080||global-sidecar.mesh-operator.svc.cluster.local\"",
            "null",
        ),
        (
            "UPSTREAM_LOCAL_ADDRESS",
            "172.17.0.11:45194",
            "\"172.17.0.11:45194\"",
            "null",
        ),
        (
            "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
            "172.17.0.11",
            "\"172.17.0.11\"",
            "null",
        ),
        ("UPSTREAM_LOCAL_PORT", "45194", "\"45194\"", "null"),
        (
            "UPSTREAM_TRANSPORT_FAILURE_REASON",
            "delayed_connect_error:_111",
            "\"delayed_connect_error:_111\"",
            "null",
        ),
        (
            "UPSTREAM_PEER_URI_SAN",
            "spiffe://cluster.global/ns/default/sa/ratings",
            "\"spiffe://cluster.global/ns/default/sa/ratings\"",
            "null",
        ),
        (
            "DOWNSTREAM_REMOTE_ADDRESS",
            "172.17.0.11:40210",
            "\"172.17.0.11:40210\"",
            "\"172.17.0.11:40210\"",
        ),
        (
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
            "172.17.0.11:40210",
            "\"172.17.0.11:40210\"",
            "\"172.17.0.11:40210\"",
        ),
        (
            "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
            "172.17.0.11",
            "\"172.17.0.11\"",
            "\"172.17.0.11\"",
        ),
        ("DOWNSTREAM_REMOTE_PORT", "40210", "\"40210\"", "\"40210\""),
        (
            "DOWNSTREAM_LOCAL_ADDRESS",
            "10.102.66.227:9080",
            "\"10.102.66.227:9080\"",
            "\"10.102.66.227:9080\"",
        ),
        (
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
            "10.102.66.227",
            "\"10.102.66.227\"",
            "\"10.102.66.227\"",
        ),
        (
            "DOWNSTREAM_PEER_URI_SAN",
            "spiffe://cluster.local/ns/a/sa/b",
            "\"spiffe://cluster.local/ns/a/sa/b\"",
            "null",
        ),
        (
            "REQUESTED_SERVER_NAME",
            "shop.example",
            "\"shop.example\"",
            "null",
        ),
        ("ROUTE_NAME", "shop/r", "\"shop/r\"", "null"),
        ("TRACE_ID", "-", "null", "null"),
        ("SPAN_ID", "-", "null", "null"),
        (
            "FILTER_STATE(downstream_peer:FIELD:workload)",
            "productpage-v1",
            "\"productpage-v1\"",
            "null",
        ),
        ("DYNAMIC_METADATA(istio.mixer:status)", "-", "null", "null"),
        ("ENVIRONMENT(LATEEN_NO_SUCH_VARIABLE)", "-", "null", "null"),
        ("CEL(response.code)", "200", "\"200\"", "\"0\""),
    ];
    for (operator, text, json, absent) in rows {
        let operator = format!("%{operator}%");
        let template = Template::compile(&operator).unwrap();
        assert_eq!(template.text(&there), text, "{operator}");
        let fields = LogFormat::Json(vec![("k".into(), operator.clone().into())]);
        assert_eq!(line(&fields, &there), format!("{{\"k\":{json}}}\n"), "{operator}");
        assert_eq!(
            line(&fields, &nothing),
            format!("{{\"k\":{absent}}}\n"),
            "{operator}"
        );
    }
    let host = Template::compile("%HOSTNAME%").unwrap().text(&there);
    assert!(!host.is_empty() && host != "-");
}
