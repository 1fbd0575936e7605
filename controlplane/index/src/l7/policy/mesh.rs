//! What the mesh's configuration says to waypoints and gateways (Istio reference, "Global Mesh Options").
//!
//! It counts from the root namespace alone. What other objects look into ([`MeshSettings`]) is kept apart from what is
//! sent by itself, so that a change of the one does not move the other.

use controlplane_k8s_api::mesh::{
    AccessLogEncoding, ExtensionProvider, MeshConfigSpec, NormalizationType, OutboundMode, ProviderKind,
};
use mesh_model::l7::PolicyKind;
use mesh_model::l7::policy::PathNormalization;
use mesh_model::l7::telemetry::{AccessLogging, LogFormat, LogSink, LoggedTo};
use mesh_model::l7::traffic::{TrafficRules, TrafficSettings};
use mesh_types::Strng;

use super::providers::{self, BUILT_IN_LOG, Providers, STDOUT};
use super::telemetry::Tracer;
use super::traffic::mesh_settings;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason};
use crate::l7::virtual_service::retry::retry;
use crate::trust_domains;

/// What other objects look into.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeshSettings {
    /// Where DestinationRules say nothing.
    pub(crate) traffic: TrafficSettings,
    /// The providers of access logs where no Telemetry names any.
    pub(crate) logs: Vec<Strng>,
    /// What the provider `envoy` stands for.
    pub(crate) built_in_log: LogSink,
    /// What is known of tracing where no Telemetry says.
    pub(crate) tracer: Tracer,
    /// What identities may begin with: the trust domain, then its aliases.
    pub(crate) trust_domains: Vec<Strng>,
}

impl MeshSettings {
    /// Those of a mesh without a configuration.
    pub(crate) fn without(config: &MeshConfig) -> Self {
        Self::of(config, &MeshConfigSpec::default())
    }

    /// What a configuration says.
    pub(crate) fn of(config: &MeshConfig, spec: &MeshConfigSpec) -> Self {
        let trust_domains = trust_domains::of(config, &spec.trust_domain_aliases);
        let logs = match spec.default_providers.access_logging.is_empty() {
            false => spec.default_providers.access_logging.clone(),
            true if spec.access_log_file.is_empty() => Vec::new(),
            true => vec![BUILT_IN_LOG.into()],
        };
        Self {
            traffic: mesh_settings(spec, &mut Vec::new()),
            logs,
            built_in_log: LogSink::File {
                path: match spec.access_log_file.is_empty() {
                    true => STDOUT.into(),
                    false => spec.access_log_file.clone(),
                },
                format: log_format(spec, &mut Vec::new()),
            },
            tracer: Tracer::of_mesh(spec),
            trust_domains,
        }
    }
}

/// What is sent by itself, for the whole mesh.
pub(super) fn policies(
    config: &MeshConfig,
    spec: &MeshConfigSpec,
    settings: &MeshSettings,
    providers: &impl Providers,
    conditions: &mut Vec<Condition>,
) -> Vec<PolicyKind> {
    let mut policies = Vec::new();
    let mut sinks = Vec::new();
    for name in &settings.logs {
        match providers::log_sink(name, providers) {
            Ok(sink) => sinks.push(LoggedTo { sink, filter: None }),
            Err(why) => conditions.push(Condition::at(
                ConditionReason::ReferenceUnresolved,
                "spec.defaultProviders.accessLogging",
                format!("{why}: nothing is logged there"),
            )),
        }
    }
    if !settings.logs.is_empty() {
        policies.push(PolicyKind::AccessLogging(AccessLogging { sinks }));
    }
    let tracing = &spec.default_config.tracing;
    if !spec.default_providers.tracing.is_empty() || tracing.is_some() {
        let tracing = settings
            .tracer
            .resolve("spec.defaultProviders.tracing", providers, conditions);
        policies.push(PolicyKind::Tracing(tracing));
    }
    policies.extend(path_normalization(spec).map(PolicyKind::PathNormalization));
    let trusted = spec.default_config.gateway_topology.num_trusted_proxies;
    policies.extend((trusted > 0).then_some(PolicyKind::TrustedProxies(trusted)));
    let retry = spec.default_http_retry_policy.as_ref().map(retry);
    policies.extend(retry.map(PolicyKind::Retry));
    // Told a second time, so that what is wrong with them is said with the object.
    let traffic = mesh_settings(spec, conditions);
    if traffic != TrafficSettings::default() {
        policies.push(PolicyKind::Traffic(Box::new(TrafficRules {
            settings: traffic,
            ..TrafficRules::default()
        })));
    }
    log_format(spec, conditions);
    without_effect(config, spec, conditions);
    for (i, provider) in spec.extension_providers.iter().enumerate() {
        provider_without_effect(provider, &format!("spec.extensionProviders[{i}]"), conditions);
    }
    policies
}

/// Nothing for the default.
fn path_normalization(spec: &MeshConfigSpec) -> Option<PathNormalization> {
    match spec.path_normalization.normalization {
        NormalizationType::Default => None,
        NormalizationType::None => Some(PathNormalization::None),
        NormalizationType::Base => Some(PathNormalization::Base),
        NormalizationType::MergeSlashes => Some(PathNormalization::MergeSlashes),
        NormalizationType::DecodeAndMergeSlashes => Some(PathNormalization::DecodeAndMergeSlashes),
    }
}

/// How records are written. A JSON format that is no object of texts is passed over.
fn log_format(spec: &MeshConfigSpec, conditions: &mut Vec<Condition>) -> LogFormat {
    let format = &spec.access_log_format;
    match (spec.access_log_encoding, format.trim().is_empty()) {
        (AccessLogEncoding::Text, true) => LogFormat::Default,
        (AccessLogEncoding::Text, false) => LogFormat::Text(format.clone()),
        (AccessLogEncoding::Json, true) => LogFormat::DefaultJson,
        (AccessLogEncoding::Json, false) => match json_fields(format) {
            Ok(fields) => LogFormat::Json(fields),
            Err(why) => {
                let message = format!("{why}: the default format is used");
                let field = "spec.accessLogFormat";
                conditions.push(Condition::at(ConditionReason::Invalid, field, message));
                LogFormat::DefaultJson
            }
        },
    }
}

fn json_fields(text: &str) -> Result<Vec<(Strng, Strng)>, String> {
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| format!("is no JSON object: {e}"))?;
    let field = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(value) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(format!("has a field {name:?} that is not a text")),
    };
    value.into_iter().map(field).collect()
}

fn without_effect(config: &MeshConfig, spec: &MeshConfigSpec, conditions: &mut Vec<Condition>) {
    let domain = config.trust_domain.to_string();
    let differs = |own: &Option<Strng>, given: &str| own.as_ref().is_some_and(|own| own != given);
    let told_at_start = "is told to the control plane at its start, and differs from that: it has no effect";
    let at_start = [
        ("trustDomain", differs(&spec.trust_domain, &domain)),
        (
            "rootNamespace",
            differs(&spec.root_namespace, &config.root_namespace),
        ),
    ];
    let defaults = &spec.default_config;
    let headers = controlplane_k8s_api::mesh::ProxyHeaders::default();
    let none = [
        ("caCertificates", !spec.ca_certificates.is_empty()),
        (
            "enableTracing",
            spec.enable_tracing == Some(true) && spec.default_providers.tracing.is_empty(),
        ),
        (
            "defaultProviders.metrics",
            spec.default_providers
                .metrics
                .iter()
                .any(|name| name != "prometheus"),
        ),
        (
            "defaultConfig.tracing.tlsSettings",
            defaults
                .tracing
                .as_ref()
                .is_some_and(|t| t.tls_settings.is_some()),
        ),
        ("hboneIdleTimeout", spec.hbone_idle_timeout.is_some()),
        (
            "protocolDetectionTimeout",
            spec.protocol_detection_timeout.is_some(),
        ),
        (
            "outboundTrafficPolicy",
            spec.outbound_traffic_policy.mode != OutboundMode::AllowAny,
        ),
        ("dnsRefreshRate", spec.dns_refresh_rate.is_some()),
        (
            "discoverySelectors",
            !config.selects_namespaces && !spec.discovery_selectors.is_empty(),
        ),
        ("meshMTLS", spec.mesh_mtls.is_some()),
        ("tlsDefaults", spec.tls_defaults.is_some()),
        ("defaultConfig.concurrency", defaults.concurrency.is_some()),
        ("defaultConfig.proxyHeaders", defaults.proxy_headers != headers),
        (
            "defaultConfig.gatewayTopology.forwardClientCertDetails",
            defaults.gateway_topology.forward_client_cert_details != <_>::default(),
        ),
        (
            "defaultConfig.connectionSettings",
            defaults.connection_settings.is_some(),
        ),
    ];
    let at_start = at_start.map(|(field, given)| (field, given, told_at_start));
    let none = none.map(|(field, given)| (field, given, "has no effect"));
    for (field, given, message) in at_start.into_iter().chain(none) {
        if given {
            let field = format!("spec.{field}");
            conditions.push(Condition::at(ConditionReason::Unsupported, field, message));
        }
    }
    for (i, alias) in spec.trust_domain_aliases.iter().enumerate() {
        if alias.contains('*') {
            let field = format!("spec.trustDomainAliases[{i}]");
            let message = "is a pattern, of which there can be none for identities: it has no effect";
            conditions.push(Condition::at(ConditionReason::Unsupported, field, message));
        }
    }
}

fn provider_without_effect(provider: &ExtensionProvider, path: &str, conditions: &mut Vec<Condition>) {
    let fields: Vec<(&str, bool)> = match &provider.kind {
        ProviderKind::Zipkin(zipkin) => vec![
            ("zipkin.headers", !zipkin.headers.is_empty()),
            ("zipkin.timeout", zipkin.timeout.is_some()),
            ("zipkin.enable64bitTraceId", zipkin.enable_64bit_trace_id),
            ("zipkin.maxTagLength", zipkin.max_tag_length != 0),
        ],
        ProviderKind::OpenTelemetry(otel) => vec![
            (
                "opentelemetry.http.headers",
                otel.http.as_ref().is_some_and(|http| !http.headers.is_empty()),
            ),
            (
                "opentelemetry.http.timeout",
                otel.http.as_ref().is_some_and(|http| http.timeout.is_some()),
            ),
            (
                "opentelemetry.grpc.initialMetadata",
                otel.grpc
                    .as_ref()
                    .is_some_and(|grpc| !grpc.initial_metadata.is_empty()),
            ),
            (
                "opentelemetry.grpc.timeout",
                otel.grpc.as_ref().is_some_and(|grpc| grpc.timeout.is_some()),
            ),
            ("opentelemetry.maxTagLength", otel.max_tag_length != 0),
        ],
        ProviderKind::FileLog(file) => {
            vec![("envoyFileAccessLog.omitEmptyValues", file.omit_empty_values)]
        }
        ProviderKind::OtelLog(otel) => vec![("envoyOtelAls.logName", !otel.log_name.is_empty())],
        ProviderKind::ExtAuthzHttp(_)
        | ProviderKind::ExtAuthzGrpc(_)
        | ProviderKind::Prometheus
        | ProviderKind::Unsupported(_) => Vec::new(),
    };
    for (field, _) in fields.into_iter().filter(|(_, given)| *given) {
        let field = format!("{path}.{field}");
        conditions.push(Condition::at(
            ConditionReason::Unsupported,
            field,
            "has no effect",
        ));
    }
}

#[cfg(test)]
mod tests;
