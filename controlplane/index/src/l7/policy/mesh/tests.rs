use std::time::Duration;

use controlplane_k8s_api::Kind;
use mesh_model::l7::policy::{PathNormalization, PolicyKind};
use mesh_model::l7::resilience::RetryCondition;
use mesh_model::l7::telemetry::{AccessLogging, LogFormat, LogSink, LoggedTo};

use crate::MeshConfig;
use crate::l7::policy::fixture::{Sent, object};

fn mesh(name: &str, spec: &str) -> String {
    object("lateen.dev/v1alpha1", "MeshConfig", name, &format!("{{{spec}}}"))
}

#[test]
fn a_configuration_that_says_nothing_sends_nothing() {
    let sent = Sent::of(&mesh("istio-system/mesh", ""));
    assert_eq!(sent.keys(), Vec::<&str>::new());
    assert_eq!(
        sent.status(Kind::MeshConfig, "istio-system/mesh"),
        ["Accepted=true Accepted"]
    );
}

#[test]
fn defaults_for_the_whole_mesh() {
    let spec = "accessLogFile: /dev/stdout, accessLogFormat: 'f', pathNormalization: {normalization: MERGE_SLASHES}, defaultHttpRetryPolicy: {attempts: 4, retryOn: '5xx'}, connectTimeout: 2s, localityLbSetting: {enabled: false}";
    let mut sent = Sent::of(&mesh("istio-system/mesh", spec));
    let key = |label: &str| format!("MeshConfig/istio-system/mesh/{label}");
    assert_eq!(sent.targets(&key("retry")), ["the mesh"]);
    assert_eq!(sent.gateways(&key("retry")), ["bank/wp", "shop/wp"]);
    assert_eq!(
        *sent.kind(&key("access-logging")),
        PolicyKind::AccessLogging(AccessLogging {
            sinks: vec![LoggedTo {
                sink: LogSink::File {
                    path: "/dev/stdout".into(),
                    format: LogFormat::Text("f".into()),
                },
                filter: None,
            }],
        })
    );
    assert_eq!(
        *sent.kind(&key("path-normalization")),
        PolicyKind::PathNormalization(PathNormalization::MergeSlashes)
    );
    let PolicyKind::Retry(retry) = sent.kind(&key("retry")) else {
        panic!()
    };
    assert_eq!(
        (retry.attempts, retry.conditions.as_slice()),
        (4, &[RetryCondition::ServerError][..])
    );
    let PolicyKind::Traffic(traffic) = sent.kind(&key("traffic")) else {
        panic!()
    };
    let limits = traffic.settings.limits.as_ref().unwrap();
    assert_eq!(limits.connect_timeout, Some(Duration::from_secs(2)));
    assert_eq!(
        sent.conditions(Kind::MeshConfig, "istio-system/mesh"),
        Vec::<String>::new()
    );
    // What is left out goes.
    sent.set(&mesh("istio-system/mesh", "connectTimeout: 2s"));
    assert_eq!(sent.keys(), [key("traffic")]);
}

#[test]
fn a_json_format_is_an_object_of_texts() {
    let logs = |format: &str| {
        let spec =
            format!("accessLogFile: /dev/stdout, accessLogEncoding: JSON, accessLogFormat: '{format}'");
        let sent = Sent::of(&mesh("istio-system/mesh", &spec));
        let PolicyKind::AccessLogging(logging) = sent.kind("MeshConfig/istio-system/mesh/access-logging")
        else {
            panic!()
        };
        let LogSink::File { format, .. } = &logging.sinks[0].sink else {
            panic!()
        };
        (
            format.clone(),
            sent.conditions(Kind::MeshConfig, "istio-system/mesh").len(),
        )
    };
    let fields = vec![("a".into(), "%PROTOCOL%".into()), ("b".into(), "c".into())];
    assert_eq!(
        logs("{\"b\": \"c\", \"a\": \"%PROTOCOL%\"}"),
        (LogFormat::Json(fields), 0)
    );
    assert_eq!(logs(""), (LogFormat::DefaultJson, 0));
    assert_eq!(logs("{\"a\": 1}"), (LogFormat::DefaultJson, 1));
    assert_eq!(logs("no json"), (LogFormat::DefaultJson, 1));
}

#[test]
fn one_configuration_of_the_root_namespace_counts() {
    let timeout = |name: &str| mesh(name, "connectTimeout: 2s");
    let mut sent =
        Sent::of(&(timeout("shop/mesh") + &timeout("istio-system/b") + &timeout("istio-system/a")));
    assert_eq!(sent.keys(), ["MeshConfig/istio-system/a/traffic"]);
    for name in ["shop/mesh", "istio-system/b"] {
        assert_eq!(sent.status(Kind::MeshConfig, name), ["Accepted=false Conflicted"]);
    }
    sent.remove(Kind::MeshConfig, "istio-system/a");
    assert_eq!(sent.keys(), ["MeshConfig/istio-system/b/traffic"]);
    // Istio's own way to write it.
    sent.remove(Kind::MeshConfig, "istio-system/b");
    sent.set("{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: 'connectTimeout: 3s'}}");
    assert_eq!(sent.keys(), ["MeshConfig/istio-system/istio/traffic"]);
}

#[test]
fn the_configuration_of_the_control_planes_own_revision_counts() {
    let both = [
        mesh("istio-system/istio", "connectTimeout: 1s"),
        mesh("istio-system/istio-canary", "connectTimeout: 2s"),
    ]
    .join("---\n");
    for (revision, counts, other) in [
        ("default", "istio-system/istio", "istio-system/istio-canary"),
        ("canary", "istio-system/istio-canary", "istio-system/istio"),
    ] {
        let config = MeshConfig {
            revision: revision.into(),
            ..MeshConfig::default()
        };
        let sent = Sent::by(config, &both);
        assert_eq!(
            sent.keys(),
            [format!("MeshConfig/{counts}/traffic")],
            "{revision}"
        );
        assert_eq!(
            sent.status(Kind::MeshConfig, other),
            ["Accepted=false Conflicted"]
        );
    }
}

#[test]
fn what_has_no_effect_is_told_by_its_field() {
    let spec = "enableTracing: true, defaultConfig: {tracing: {tlsSettings: {mode: SIMPLE}}}, discoverySelectors: [{matchLabels: {a: b}}], trustDomain: other, rootNamespace: istio-system, trustDomainAliases: ['*.x'], outboundTrafficPolicy: {mode: REGISTRY_ONLY}, extensionProviders: [{name: z, zipkin: {service: a.example.com, port: 1, timeout: 1s}}]";
    let sent = Sent::of(&mesh("istio-system/mesh", spec));
    let told = sent.conditions(Kind::MeshConfig, "istio-system/mesh");
    let fields: Vec<&str> = told.iter().map(|told| told.split(": ").next().unwrap()).collect();
    assert_eq!(
        fields,
        [
            "spec.trustDomain",
            "spec.enableTracing",
            "spec.defaultConfig.tracing.tlsSettings",
            "spec.outboundTrafficPolicy",
            "spec.discoverySelectors",
            "spec.trustDomainAliases[0]",
            "spec.extensionProviders[0].zipkin.timeout"
        ]
    );
}

#[test]
fn tracing_by_default_is_switched_off_by_one_field() {
    let spec = |switch: &str| {
        let spec = "defaultProviders: {tracing: [otel]}, extensionProviders: [{name: otel, opentelemetry: {service: api.shop.svc.cluster.local, port: 80}}]";
        mesh("istio-system/mesh", &format!("{spec}{switch}"))
    };
    let traces = |switch: &str| {
        let sent = Sent::of(&spec(switch));
        match sent.kind("MeshConfig/istio-system/mesh/tracing") {
            PolicyKind::Tracing(tracing) => tracing.exporter.is_some(),
            other => panic!("{other:?}"),
        }
    };
    assert!(traces("") && traces(", enableTracing: true"));
    assert!(!traces(", enableTracing: false"));
}

#[test]
fn a_changed_provider_moves_those_who_name_it() {
    let config = |port: u16| {
        mesh(
            "istio-system/mesh",
            &format!(
                "extensionProviders: [{{name: who, envoyExtAuthzGrpc: {{service: api.shop.svc.cluster.local, port: {port}}}}}, {{name: log, envoyFileAccessLog: {{}}}}]"
            ),
        )
    };
    let custom = object(
        "security.istio.io/v1",
        "AuthorizationPolicy",
        "shop/p",
        "{targetRef: {kind: Service, name: web}, action: CUSTOM, provider: {name: who}, rules: [{}]}",
    );
    let telemetry = object(
        "telemetry.istio.io/v1",
        "Telemetry",
        "shop/t",
        "{accessLogging: [{providers: [{name: log}]}]}",
    );
    let mut sent = Sent::of(&(config(80) + &custom + &telemetry));
    assert_eq!(sent.policies.len(), 2);
    sent.set(&config(81));
    assert_eq!(
        sent.told.into_iter().collect::<Vec<_>>(),
        ["AuthorizationPolicy/shop/p/authorization"]
    );
}
