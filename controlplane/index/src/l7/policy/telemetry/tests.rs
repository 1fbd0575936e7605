use controlplane_k8s_api::Kind;
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::telemetry::{
    AccessLogging, LogFormat, LogSink, LoggedTo, MetricOverride, Metrics, TraceExporter, TraceTag, Tracing,
};

use crate::l7::policy::fixture::{Sent, object};

fn telemetry(name: &str, spec: &str) -> String {
    object("telemetry.istio.io/v1", "Telemetry", name, &format!("{{{spec}}}"))
}

fn mesh(spec: &str) -> String {
    let providers = "extensionProviders: [{name: json, envoyFileAccessLog: {path: /tmp/log, logFormat: {labels: {a: '%PROTOCOL%'}}}}, {name: text, envoyFileAccessLog: {logFormat: {text: 'x %DURATION%'}}}, {name: otel-log, envoyOtelAls: {service: api.shop.svc.cluster.local, port: 80, logFormat: {text: b, labels: {k: v}}}}, {name: otel, opentelemetry: {service: api.shop.svc.cluster.local, port: 80}}, {name: otel-http, opentelemetry: {service: api.shop.svc.cluster.local, port: 80, http: {path: /v1/traces}}}, {name: zipkin, zipkin: {service: shop/api.shop.svc.cluster.local, port: 80}}]";
    object(
        "lateen.dev/v1alpha1",
        "MeshConfig",
        "istio-system/mesh",
        &format!("{{{providers}, {spec}}}"),
    )
}

fn logging<'s>(sent: &'s Sent, name: &str) -> &'s AccessLogging {
    match sent.kind(&format!("Telemetry/{name}/access-logging")) {
        PolicyKind::AccessLogging(logging) => logging,
        other => panic!("{other:?}"),
    }
}

fn tracing<'s>(sent: &'s Sent, name: &str) -> &'s Tracing {
    match sent.kind(&format!("Telemetry/{name}/tracing")) {
        PolicyKind::Tracing(tracing) => tracing,
        other => panic!("{other:?}"),
    }
}

fn files(logging: &AccessLogging) -> Vec<&str> {
    let path = |logged: &'_ LoggedTo| match &logged.sink {
        LogSink::File { path, .. } => Some(path.as_str().to_owned().leak() as &str),
        LogSink::Otlp { .. } => None,
    };
    logging.sinks.iter().filter_map(path).collect()
}

#[test]
fn levels_are_the_mesh_a_namespace_and_targets() {
    let logs = "accessLogging: [{providers: [{name: json}]}]";
    let sent = Sent::of(
        &(mesh("")
            + &telemetry("istio-system/t", logs)
            + &telemetry("shop/t", logs)
            + &telemetry(
                "shop/web",
                &format!("targetRef: {{kind: Service, name: web}}, {logs}"),
            )),
    );
    for (name, target, gateways) in [
        ("istio-system/t", "the mesh", vec!["bank/wp", "shop/wp"]),
        ("shop/t", "namespace shop", vec!["shop/wp"]),
        (
            "shop/web",
            "service shop/web.shop.svc.cluster.local",
            vec!["shop/wp"],
        ),
    ] {
        let key = format!("Telemetry/{name}/access-logging");
        assert_eq!(sent.targets(&key), [target]);
        assert_eq!(sent.gateways(&key), gateways);
    }
    assert_eq!(
        sent.status(Kind::Telemetry, "shop/t"),
        ["WaypointAccepted=true Accepted"]
    );
}

#[test]
fn every_sort_of_sink() {
    let all = "accessLogging: [{providers: [{name: json}, {name: text}, {name: envoy}, {name: otel-log}, {name: otel}, {name: none}], filter: {expression: 'response.code >= 400'}}]";
    let sent =
        Sent::of(&(mesh("accessLogFile: /dev/stderr, accessLogEncoding: JSON") + &telemetry("shop/t", all)));
    let logging = logging(&sent, "shop/t");
    let filters = logging.sinks.iter().map(|logged| logged.filter.as_deref());
    assert!(filters.eq([Some("response.code >= 400"); 4]), "{logging:?}");
    let sinks: Vec<&LogSink> = logging.sinks.iter().map(|logged| &logged.sink).collect();
    let [json, text, envoy, otel] = sinks.as_slice() else {
        panic!("{logging:?}")
    };
    let file = |path: &str, format| LogSink::File {
        path: path.into(),
        format,
    };
    assert_eq!(
        **json,
        file(
            "/tmp/log",
            LogFormat::Json(vec![("a".into(), "%PROTOCOL%".into())])
        )
    );
    assert_eq!(
        **text,
        file("/dev/stdout", LogFormat::Text("x %DURATION%".into()))
    );
    assert_eq!(**envoy, file("/dev/stderr", LogFormat::DefaultJson));
    assert!(
        matches!(otel, LogSink::Otlp { body, attributes, .. } if body.as_deref() == Some("b") && attributes.len() == 1)
    );
    let told = sent.conditions(Kind::Telemetry, "shop/t");
    assert_eq!(told.len(), 2, "one takes spans, one is nobody: {told:?}");
}

#[test]
fn providers_are_inherited_replaced_and_switched_off() {
    let root = telemetry(
        "istio-system/t",
        "accessLogging: [{providers: [{name: json}, {name: envoy}]}]",
    );
    for (own, expected) in [
        (
            "accessLogging: [{filter: {expression: 'true'}}]",
            vec!["/tmp/log", "/dev/stdout"],
        ),
        ("accessLogging: [{disabled: true}]", vec![]),
        (
            "accessLogging: [{providers: [{name: json}], disabled: true}]",
            vec!["/dev/stdout"],
        ),
        (
            "accessLogging: [{providers: [{name: envoy}]}]",
            vec!["/dev/stdout"],
        ),
        (
            "accessLogging: [{providers: [{name: envoy}]}, {providers: [{name: json}]}]",
            vec!["/dev/stdout", "/tmp/log"],
        ),
    ] {
        let sent = Sent::of(&(mesh("") + &root + &telemetry("shop/t", own)));
        assert_eq!(files(logging(&sent, "shop/t")), expected, "{own}");
    }
    // Not for waypoints, which are servers.
    let client = telemetry(
        "shop/t",
        "accessLogging: [{match: {mode: CLIENT}, disabled: true}]",
    );
    assert!(
        !Sent::of(&(mesh("") + &client))
            .policies
            .contains_key("Telemetry/shop/t/access-logging")
    );
    // What nobody names, the mesh's defaults are.
    let own = telemetry("shop/t", "accessLogging: [{}]");
    let sent = Sent::of(&(mesh("defaultProviders: {accessLogging: [json]}") + &own));
    assert_eq!(files(logging(&sent, "shop/t")), ["/tmp/log"]);
    let sent = Sent::of(&(mesh("accessLogFile: /dev/stdout") + &own));
    assert_eq!(files(logging(&sent, "shop/t")), ["/dev/stdout"]);
}

#[test]
fn each_provider_has_its_own_filter() {
    let root = telemetry(
        "istio-system/t",
        "accessLogging: [{providers: [{name: json}], filter: {expression: connection.mtls}}]",
    );
    let filters = |own: &str| -> Vec<(String, String)> {
        let sent = Sent::of(&(mesh("") + &root + &telemetry("shop/t", &format!("accessLogging: [{own}]"))));
        assert_eq!(
            sent.status(Kind::Telemetry, "shop/t"),
            ["WaypointAccepted=true Accepted"]
        );
        let logging = logging(&sent, "shop/t");
        let paths = files(logging).into_iter().map(str::to_owned);
        let filters = logging
            .sinks
            .iter()
            .map(|logged| logged.filter.as_deref().unwrap_or_default().to_owned());
        paths.zip(filters).collect()
    };
    let (json, envoy) = ("/tmp/log", "/dev/stdout");
    for (own, expected) in [
        // Each its own.
        (
            "{providers: [{name: json}], filter: {expression: connection.mtls}}, {providers: [{name: envoy}], filter: {expression: response.code > 1}}",
            vec![(json, "connection.mtls"), (envoy, "response.code > 1")],
        ),
        // One without a filter takes everything, whatever others do and whatever was above.
        (
            "{providers: [{name: json}]}, {providers: [{name: envoy}], filter: {expression: response.code > 1}}",
            vec![(json, ""), (envoy, "response.code > 1")],
        ),
        // Of the same provider the last counts.
        (
            "{providers: [{name: json}], filter: {expression: connection.mtls}}, {providers: [{name: json}], filter: {expression: response.code > 1}}",
            vec![(json, "response.code > 1")],
        ),
        // Whoever names nobody speaks of those above.
        (
            "{filter: {expression: response.code > 1}}",
            vec![(json, "response.code > 1")],
        ),
        ("{match: {mode: SERVER}}", vec![(json, "connection.mtls")]),
    ] {
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(path, filter)| ((*path).to_owned(), (*filter).to_owned()))
            .collect();
        assert_eq!(filters(own), expected, "{own}");
    }
}

#[test]
fn metrics_are_named_as_prometheus_has_them() {
    let own = "metrics: [{overrides: [{match: {metric: REQUEST_COUNT, mode: SERVER}, disabled: true}, {match: {metric: ALL_METRICS}, tagOverrides: {source_app: {operation: REMOVE}, team: {value: 'request.headers[\"x\"]'}}}, {match: {customMetric: mine}}, {match: {metric: REQUEST_SIZE, mode: CLIENT}, disabled: true}]}, {providers: [{name: json}], overrides: [{disabled: true}]}]";
    let sent = Sent::of(&(mesh("") + &telemetry("shop/t", own)));
    let PolicyKind::Metrics(Metrics { overrides }) = sent.kind("Telemetry/shop/t/metrics") else {
        panic!()
    };
    assert_eq!(
        *overrides,
        [
            MetricOverride {
                metric: Some("istio_requests_total".into()),
                disabled: Some(true),
                tags: Vec::new(),
            },
            MetricOverride {
                metric: None,
                disabled: None,
                tags: vec![
                    ("source_app".into(), None),
                    ("team".into(), Some("request.headers[\"x\"]".into()))
                ],
            },
            MetricOverride {
                metric: Some("mine".into()),
                disabled: None,
                tags: Vec::new(),
            }
        ]
    );
}

#[test]
fn traces_take_from_above_what_is_left_out() {
    let root = telemetry(
        "istio-system/t",
        "tracing: [{providers: [{name: otel}], randomSamplingPercentage: 12.5, customTags: {a: {literal: {value: b}}}}]",
    );
    let own = telemetry(
        "shop/t",
        "tracing: [{disableSpanReporting: true, useRequestIdForTraceSampling: false, enableIstioTags: false}]",
    );
    let sent = Sent::of(&(mesh("") + &root + &own));
    let inherited = tracing(&sent, "shop/t");
    assert_eq!((inherited.sampling, inherited.disabled), (1250, true));
    assert!(inherited.not_by_request_id && inherited.no_istio_tags);
    assert!(matches!(&inherited.exporter, Some(TraceExporter::OtlpGrpc(_))));
    assert_eq!(inherited.tags, [("a".into(), TraceTag::Literal("b".into()))]);
    for (provider, expected) in [("otel-http", "OtlpHttp"), ("zipkin", "Zipkin")] {
        let own = telemetry(
            "shop/t",
            &format!("tracing: [{{providers: [{{name: {provider}}}]}}]"),
        );
        let sent = Sent::of(&(mesh("") + &own));
        let tracing = tracing(&sent, "shop/t");
        assert!(
            format!("{:?}", tracing.exporter).contains(expected),
            "{tracing:?}"
        );
        assert_eq!(tracing.sampling, 100, "one per cent");
    }
    let own = telemetry(
        "shop/t",
        "tracing: [{providers: [{name: none}], disableContextPropagation: true, customTags: {e: {environment: {name: E, defaultValue: d}}, h: {header: {name: X-H}}, f: {formatter: {value: '%PROTOCOL%'}}}}]",
    );
    let sent = Sent::of(&(mesh("defaultConfig: {tracing: {sampling: 100}}") + &own));
    let tracing = tracing(&sent, "shop/t");
    assert_eq!(
        (&tracing.exporter, tracing.sampling, tracing.no_propagation),
        (&None, 10_000, true)
    );
    assert_eq!(
        tracing.tags,
        [
            ("e".into(), TraceTag::Environment("E".into(), "d".into())),
            ("f".into(), TraceTag::Formatted("%PROTOCOL%".into())),
            ("h".into(), TraceTag::Header("x-h".into(), "".into())),
        ]
    );
    let told = sent.conditions(Kind::Telemetry, "shop/t");
    assert_eq!(
        told,
        ["spec.tracing: provider \"none\" is none of the mesh's extensionProviders: no spans are told"]
    );
}

#[test]
fn the_oldest_of_a_namespace_counts() {
    let logs = "accessLogging: [{providers: [{name: json}]}]";
    let sent = Sent::of(&(mesh("") + &telemetry("shop/a", logs) + &telemetry("shop/b", logs)));
    assert_eq!(sent.keys(), ["Telemetry/shop/a/access-logging"]);
    assert_eq!(
        sent.status(Kind::Telemetry, "shop/b"),
        ["WaypointAccepted=false Conflicted"]
    );
}
