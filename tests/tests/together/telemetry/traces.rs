//! Traces, as their collector gets them: Zipkin's, which people can read.

use std::time::Duration;

use serde_json::Value;

use super::{config, telemetry};
use crate::harness::Together;

/// A mesh whose spans go to a collector of its own.
fn mesh(tracing: &str) -> Together {
    let mesh = Together::shop("");
    mesh.service("collector", "app: collector");
    mesh.backend("collector", "app: collector").answers(202);
    mesh.apply(&config(
        "extensionProviders: [{name: zipkin, zipkin: {service: collector.shop.svc.cluster.local, port: 80}}]",
    ));
    mesh.apply(&telemetry(
        "istio-system/t",
        &format!("tracing: [{{providers: [{{name: zipkin}}], {tracing}}}]"),
    ));
    mesh
}

/// All spans that came, once there are so many.
fn spans(mesh: &Together, count: usize) -> Vec<Value> {
    mesh.until("spans", || {
        let requests = mesh.of("collector").requests();
        let bodies = requests.iter().map(|seen| {
            assert_eq!(
                (seen.method.as_str(), seen.path.as_str()),
                ("POST", "/api/v2/spans")
            );
            serde_json::from_str::<Vec<Value>>(&seen.body).expect("JSON of Zipkin")
        });
        let spans: Vec<Value> = bodies.flatten().collect();
        (spans.len() >= count).then_some(spans)
    })
}

/// The span of a request, by its path.
fn of<'s>(spans: &'s [Value], path: &str) -> &'s Value {
    let found = spans.iter().find(|span| {
        let url = span["tags"]["http.url"].as_str().unwrap_or_default();
        url.ends_with(path)
    });
    found.unwrap_or_else(|| panic!("{path} in {spans:#?}"))
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

// row: Telemetry tracing.providers
// row: Telemetry tracing.randomSamplingPercentage
// row: Telemetry tracing.customTags
#[test]
fn a_span_is_between_its_caller_and_its_endpoint_in_every_format() {
    let mesh = mesh(
        "randomSamplingPercentage: 0, customTags: {where: {literal: {value: here}}, team: {header: {name: X-Team, defaultValue: none}}, \
         variable: {environment: {name: LATEEN_NO_SUCH_VARIABLE, defaultValue: default}}}",
    );
    let came = [
        (
            "/w3c",
            vec![
                ("traceparent", format!("00-{TRACE}-{CALLER}-01")),
                ("tracestate", "a=b".to_owned()),
            ],
        ),
        ("/b3", vec![("b3", format!("{TRACE}-{CALLER}-1"))]),
        (
            "/multi",
            vec![
                ("x-b3-traceid", TRACE.to_owned()),
                ("x-b3-spanid", CALLER.to_owned()),
                ("x-b3-sampled", "1".to_owned()),
            ],
        ),
    ];
    let mut went = Vec::new();
    for (path, headers) in &came {
        let mut ask = mesh.get(path).to("web-v1:80").header("x-team", "blue");
        for (name, value) in headers {
            ask = ask.header(name, value);
        }
        went.push(ask.send().seen());
    }
    // Nobody asked for this one, and none of a hundred is looked at.
    let quiet = mesh.get("/quiet").to("web-v1:80").send().seen();
    let spans = spans(&mesh, 3);
    assert_eq!(spans.len(), 3);
    for (seen, (path, _)) in went.iter().zip(&came) {
        let span = of(&spans, path);
        assert_eq!(
            (span["traceId"].as_str(), span["parentId"].as_str()),
            (Some(TRACE), Some(CALLER)),
            "{span}"
        );
        let id = span["id"].as_str().unwrap();
        let header = |name: &str| {
            seen.header(name)
                .unwrap_or_else(|| panic!("{name} of {path}: {seen:?}"))
        };
        match *path {
            "/w3c" => {
                assert_eq!(header("traceparent"), format!("00-{TRACE}-{id}-01"));
                assert_eq!(header("tracestate"), "a=b");
            }
            "/b3" => assert_eq!(header("b3"), format!("{TRACE}-{id}-1-{CALLER}")),
            _ => {
                assert_eq!(header("x-b3-spanid"), id);
                assert_eq!(header("x-b3-parentspanid"), CALLER);
                assert_eq!(header("x-b3-sampled"), "1");
            }
        }
        let tags = &span["tags"];
        assert_eq!(
            (
                tags["where"].as_str(),
                tags["team"].as_str(),
                tags["variable"].as_str()
            ),
            (Some("here"), Some("blue"), Some("default"))
        );
        assert_eq!(tags["istio.source_namespace"].as_str(), Some("shop"), "{span}");
        // Those that come after know by the id, too, that it is sampled.
        assert_eq!(&header("x-request-id")[14..15], "9");
        assert_eq!(
            tags["guid:x-request-id"].as_str(),
            seen.header("x-request-id").as_deref()
        );
    }
    assert_eq!(&quiet.header("x-request-id").unwrap()[14..15], "4");
    assert_eq!(
        quiet.header("x-b3-sampled").as_deref(),
        Some("0"),
        "whoever comes after throws no dice"
    );
}

// row: Telemetry tracing.useRequestIdForTraceSampling
// row: Telemetry tracing.disableSpanReporting
// row: Telemetry tracing.enableIstioTags
#[test]
fn the_requests_id_decides_where_nobody_else_does() {
    let mesh = mesh("randomSamplingPercentage: 50, enableIstioTags: false");
    // The first eight digits, of 10,000: 4,999 and 5,000.
    let low = "00001387-ca8e-423b-a736-49838ce316f4";
    let high = "00001388-ca8e-423b-a736-49838ce316f4";
    let marked = "00001388-ca8e-a23b-a736-49838ce316f4";
    for (path, id) in [("/high", high), ("/low", low), ("/marked", marked)] {
        let seen = mesh
            .get(path)
            .to("web-v1:80")
            .header("x-request-id", id)
            .send()
            .seen();
        let kept = seen.header("x-request-id").unwrap();
        assert_eq!((&kept[..14], &kept[15..]), (&id[..14], &id[15..]), "it is kept");
    }
    let all = spans(&mesh, 2);
    assert_eq!(all.len(), 2);
    for path in ["/low", "/marked"] {
        let span = of(&all, path);
        assert_eq!(span["tags"]["istio.source_namespace"], Value::Null, "{span}");
        assert_eq!(span["parentId"], Value::Null, "it begins here");
    }
    // A request that is tried twice has one span, as Istio has it, whose id all tries carry.
    mesh.apply(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: r, namespace: shop}, spec: {hosts: [web-v2], \
         http: [{retries: {attempts: 1, retryOn: '503'}, route: [{destination: {host: web-v2}}]}]}}",
    );
    mesh.of("web-v2").fails(1, 503);
    mesh.get("/twice")
        .to("web-v2:80")
        .header("x-client-trace-id", "1")
        .send();
    let tries = mesh.of("web-v2").requests();
    assert_eq!(tries.len(), 2);
    assert_eq!(tries[0].header("x-b3-spanid"), tries[1].header("x-b3-spanid"));
    let all = spans(&mesh, 3);
    assert_eq!(
        of(&all, "/twice")["id"].as_str().map(str::to_owned),
        tries[0].header("x-b3-spanid")
    );
    // What is not reported stands between nobody.
    mesh.apply(&telemetry(
        "shop/quiet",
        "tracing: [{disableSpanReporting: true}]",
    ));
    let came = format!("00-{TRACE}-{CALLER}-01");
    let seen = mesh
        .get("/off")
        .to("web-v1:80")
        .header("traceparent", &came)
        .send()
        .seen();
    assert_eq!(seen.header("traceparent"), Some(came));
}

/// A collector that hangs, and one that is gone: requests are answered, and what is not told is counted.
#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let mesh = mesh("randomSamplingPercentage: 100");
    mesh.of("collector").takes(Duration::from_secs(3600));
    for _ in 0..20 {
        assert_eq!(mesh.get("/hangs").send().status, 200);
    }
    // Its time is over before anything is dropped.
    mesh.until("the collector to be asked", || {
        (!mesh.of("collector").requests().is_empty()).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(mesh.get("/meanwhile").send().status, 200);
    }
    mesh.of("collector").takes(Duration::ZERO);
    mesh.of("collector").answers(400);
    let dropped = mesh.until("what is not taken to be counted", || {
        super::found(
            &mesh,
            "lateen_telemetry_dropped_total",
            &["kind=\"span\"", "reason=\"not_taken\""],
        )
        .filter(|line| super::value(line) > 0)
    });
    assert!(super::value(&dropped) > 0, "{dropped}");
}

/// What the mesh's configuration says of spans, where no Telemetry says otherwise.
// row: MeshConfig defaultConfig.tracing.maxPathTagLength
// row: MeshConfig defaultConfig.tracing.enableIstioTags
#[test]
fn the_meshs_configuration_says_what_tags_hold() {
    let mesh = Together::shop("");
    mesh.service("collector", "app: collector");
    mesh.backend("collector", "app: collector").answers(202);
    let tracing = |tracing: &str| {
        mesh.apply(&config(&format!(
            "extensionProviders: [{{name: zipkin, zipkin: {{service: collector.shop.svc.cluster.local, port: 80}}}}], \
             defaultProviders: {{tracing: [zipkin]}}, defaultConfig: {{tracing: {{sampling: 100{tracing}}}}}"
        )));
    };
    tracing("");
    let long = format!("/{}", "a".repeat(300));
    mesh.get(&long).send();
    tracing(", maxPathTagLength: 5, enableIstioTags: false");
    mesh.get("/abcdefg").send();
    let all = spans(&mesh, 2);
    let usual = of(&all, &long[..256]);
    assert_eq!(usual["tags"]["istio.source_namespace"], "shop", "{usual}");
    let short = of(&all, "/abcd");
    assert_eq!(short["tags"]["istio.source_namespace"], Value::Null, "{short}");
    // What cannot be done is said.
    let told = |spec: &str| {
        mesh.apply(&config(spec));
        mesh.status("MeshConfig", "istio-system/mesh").to_string()
    };
    for (spec, field) in [
        ("enableTracing: true", "spec.enableTracing"),
        (
            "defaultConfig: {tracing: {tlsSettings: {mode: SIMPLE}}}",
            "spec.defaultConfig.tracing.tlsSettings",
        ),
    ] {
        let status = told(spec);
        assert!(status.contains(&format!("{field}: has no effect")), "{status}");
    }
    let status = told("enableTracing: false");
    assert!(!status.contains("enableTracing"), "{status}");
}
