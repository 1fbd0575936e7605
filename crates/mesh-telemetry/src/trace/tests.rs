use mesh_model::l7::ServicePort;
use mesh_model::l7::telemetry::{TraceExporter, TraceTag, Tracing};
use mesh_types::NamespacedHostname;

use super::span::Reporter;
use super::*;
use crate::testing::Story;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
    of.iter()
        .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
        .collect()
}

fn tracing(exporter: Option<TraceExporter>, sampling: u32) -> Tracing {
    Tracing {
        exporter,
        sampling,
        disabled: false,
        no_propagation: false,
        tags: Vec::new(),
        not_by_request_id: false,
        no_istio_tags: false,
        path_limit: 0,
    }
}

fn otlp() -> Option<TraceExporter> {
    Some(TraceExporter::OtlpGrpc(collector()))
}

fn zipkin() -> Option<TraceExporter> {
    Some(TraceExporter::Zipkin(collector(), "/api/v2/spans".into()))
}

fn collector() -> ServicePort {
    ServicePort {
        service: NamespacedHostname::new("telemetry", "collector.telemetry.svc.cluster.local"),
        port: 4317,
    }
}

/// 1, 2, 3 and so on.
fn dice() -> impl FnMut() -> u64 {
    let mut n = 0;
    move || {
        n += 1;
        n
    }
}

#[test]
fn traceparent() {
    let came = w3c::parse(TRACEPARENT).unwrap();
    assert_eq!(came.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(came.span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(came.sampled, Some(true));
    let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else";
    assert!(w3c::parse(later).is_some());
    for wrong in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01what",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(w3c::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn b3() {
    let came =
        b3::parse_single("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90").unwrap();
    assert_eq!(came.parent.unwrap().to_string(), "05e3ac9a4f6e3b90");
    assert_eq!(came.sampled, Some(true));
    let short = b3::parse_single("64fe8b2a57d3eff7-e457b5a2e4d86bd1").unwrap();
    assert_eq!(short.trace_id.to_string(), "000000000000000064fe8b2a57d3eff7");
    assert_eq!(short.sampled, None);
    assert_eq!(b3::parse_single("0"), None);
    assert_eq!(b3::parse_single("64fe8b2a57d3eff7-e457b5a2e4d86bd1-x"), None);
    assert_eq!(bare_decision(&headers(&[("b3", "0")])), Some(false));
    assert_eq!(bare_decision(&headers(&[("x-b3-sampled", "1")])), Some(true));
    let multi = headers(&[
        ("x-b3-traceid", "64fe8b2a57d3eff7"),
        ("x-b3-spanid", "e457b5a2e4d86bd1"),
        ("x-b3-flags", "1"),
    ]);
    assert_eq!(extract(&multi).unwrap().sampled, Some(true));
}

#[test]
fn ours_is_the_child_of_the_caller_and_the_parent_of_who_comes_after() {
    let mut request = headers(&[("traceparent", TRACEPARENT), ("tracestate", "vendor=1")]);
    let decision = decide(&tracing(otlp(), 0), &request, dice());
    let span = decision.span.unwrap();
    assert_eq!(span.parent.unwrap().to_string(), "00f067aa0ba902b7");
    assert!(span.sampled, "the caller decided");
    inject(&mut request, &span, decision.inject);
    assert_eq!(
        request["traceparent"],
        format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", span.span_id)
    );
    assert_eq!(request["tracestate"], "vendor=1");
    assert!(!request.contains_key("x-b3-traceid"));
}

#[test]
fn several_formats_are_kept_in_step() {
    let mut request = headers(&[
        ("traceparent", TRACEPARENT),
        ("b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"),
        ("x-b3-traceid", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("x-b3-spanid", "00f067aa0ba902b7"),
        ("x-b3-sampled", "1"),
    ]);
    let decision = decide(&tracing(zipkin(), 0), &request, dice());
    let span = decision.span.unwrap();
    inject(&mut request, &span, decision.inject);
    assert_eq!(
        request["b3"],
        format!(
            "4bf92f3577b34da6a3ce929d0e0e4736-{}-1-00f067aa0ba902b7",
            span.span_id
        )
    );
    assert_eq!(request["x-b3-spanid"], span.span_id.to_string());
    assert_eq!(request["x-b3-parentspanid"], "00f067aa0ba902b7");
    assert_eq!(extract(&request).unwrap().span_id, span.span_id);
}

#[test]
fn who_begins_decides_by_the_dice() {
    let none = HeaderMap::new();
    let yes = decide(&tracing(zipkin(), 10_000), &none, dice());
    let span = yes.span.unwrap();
    assert!(span.sampled && span.parent.is_none());
    assert!(yes.inject.w3c && yes.inject.b3_multi);
    let no = decide(&tracing(otlp(), 0), &none, dice());
    assert!(!no.span.unwrap().sampled);
    assert!(no.inject.w3c, "whoever comes after must not decide again");
    let half = |n: u64| {
        decide(&tracing(otlp(), 5_000), &none, move || n)
            .span
            .unwrap()
            .sampled
    };
    assert!(half(4_999) && !half(5_000));
}

#[test]
fn a_requests_id_decides_where_nobody_else_does() {
    let sampled = |tracing: &Tracing, of: &[(&'static str, &str)]| {
        let decision = decide(tracing, &headers(of), dice());
        decision.span.is_some_and(|span| span.sampled)
    };
    // 0x00001387 is 4,999 of 10,000.
    let id = ("x-request-id", "00001387-ca8e-423b-a736-49838ce316f4");
    assert!(sampled(&tracing(otlp(), 5_000), &[id]));
    assert!(!sampled(&tracing(otlp(), 4_999), &[id]));
    for marked in ['9', 'a', 'b'] {
        let id = id.1.replace("-423b", &format!("-{marked}23b"));
        assert!(sampled(&tracing(otlp(), 0), &[("x-request-id", &id)]));
    }
    assert!(sampled(&tracing(otlp(), 0), &[id, ("x-client-trace-id", "1")]));
    // The context that came counts before it.
    let no = TRACEPARENT.replace("-01", "-00");
    let marked = id.1.replace("-423b", "-923b");
    assert!(!sampled(
        &tracing(otlp(), 10_000),
        &[("x-request-id", &marked), ("traceparent", &no)]
    ));
    let dice_only = Tracing {
        not_by_request_id: true,
        ..tracing(otlp(), 0)
    };
    assert!(!sampled(&dice_only, &[("x-request-id", &marked)]));
    // An id of another kind says nothing: the dice do.
    assert!(sampled(&tracing(otlp(), 2), &[("x-request-id", "order-7")]));
}

#[test]
fn an_id_is_marked_once() {
    for (id, expected) in [
        (
            "00001387-ca8e-423b-a736-49838ce316f4",
            "00001387-ca8e-923b-a736-49838ce316f4",
        ),
        (
            "00001387-ca8e-a23b-a736-49838ce316f4",
            "00001387-ca8e-a23b-a736-49838ce316f4",
        ),
        ("order-7", "order-7"),
    ] {
        let mut headers = headers(&[("x-request-id", id)]);
        request_id::mark(&mut headers);
        assert_eq!(headers["x-request-id"], expected);
    }
}

#[test]
fn what_is_not_reported_stands_between_nobody() {
    let request = headers(&[("traceparent", TRACEPARENT)]);
    assert_eq!(decide(&tracing(None, 10_000), &request, dice()), Decision::PASS);
    let off = Tracing {
        disabled: true,
        ..tracing(otlp(), 10_000)
    };
    assert_eq!(decide(&off, &request, dice()), Decision::PASS);
    let not_sampled = headers(&[("traceparent", &TRACEPARENT.replace("-01", "-00"))]);
    assert_eq!(
        decide(&tracing(otlp(), 10_000), &not_sampled, dice()),
        Decision::PASS
    );
    let undecided = headers(&[("b3", "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1")]);
    let decision = decide(&tracing(otlp(), 0), &undecided, dice());
    let span = decision.span.unwrap();
    assert_eq!(
        span.span_id.to_string(),
        "e457b5a2e4d86bd1",
        "the caller's place is kept"
    );
    assert!(!span.sampled && decision.inject.b3_single);
    let alone = Tracing {
        no_propagation: true,
        ..tracing(otlp(), 10_000)
    };
    let decision = decide(&alone, &request, dice());
    assert!(decision.span.unwrap().sampled && decision.inject.is_empty());
}

#[test]
fn a_span_has_istios_tags_and_those_of_its_user() {
    let story = Story::new();
    let mut settings = tracing(otlp(), 10_000);
    settings.tags = vec![
        ("team".into(), TraceTag::Header("x-team".into(), "none".into())),
        ("none".into(), TraceTag::Header("x-none".into(), "default".into())),
        (
            "where".into(),
            TraceTag::Environment("REGION".into(), "here".into()),
        ),
        ("code".into(), TraceTag::Formatted("<%RESPONSE_CODE%>".into())),
        ("component".into(), TraceTag::Literal("mine".into())),
    ];
    let tracer = Tracer::compile(&settings, |name| (name == "REGION").then(|| "west".to_owned())).unwrap();
    assert!(tracer.needs().request_headers);
    let context = decide(&settings, &HeaderMap::new(), dice()).span.unwrap();
    let mut record = story.record();
    record.response.code = 503;
    record.trace = Some(&context);
    let reporter = Reporter {
        mesh: "cluster.local".into(),
        namespace: "shop".into(),
        ..Reporter::default()
    };
    let span = tracer.span(&record, &reporter).unwrap();
    assert_eq!(span.name, "server.default.svc.cluster.local:9080/*");
    let tag = |name: &str| {
        let mut found = span.tags.iter().filter(|(n, _)| n == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    };
    assert_eq!(tag("http.url"), Some("http://details:9080/details/0?q=1"));
    assert_eq!(tag("http.status_code"), Some("503"));
    assert_eq!(tag("error"), Some("true"));
    assert_eq!(tag("istio.mesh_id"), Some("cluster.local"));
    assert_eq!(tag("istio.source_workload"), Some("productpage-v1"));
    assert_eq!(tag("istio.destination_cluster_id"), Some("server-cluster"));
    assert_eq!(tag("team"), Some("blue"));
    assert_eq!(tag("none"), Some("default"));
    assert_eq!(tag("where"), Some("west"));
    assert_eq!(tag("code"), Some("<503>"));
    assert_eq!(tag("component"), Some("mine"));
    assert_eq!(tag("istio.namespace"), Some("shop"));
}
