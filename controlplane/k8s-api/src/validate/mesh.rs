//! The mesh's own configuration.

use std::collections::HashSet;

use mesh_types::{Strng, TrustDomain};

use crate::error::FieldPath;
use crate::mesh::{ExtensionProvider, LogFormat, MeshConfig, ProviderHeader, ProviderKind};
use crate::validate::{Check, http, names, networking, telemetry};

pub(super) fn mesh_config(check: &mut Check, config: &MeshConfig) {
    let (spec, path) = (&config.spec, FieldPath::from("spec"));
    if let Some(domain) = &spec.trust_domain {
        check.grammar(path.field("trustDomain"), trust_domain(domain));
    }
    for (i, alias) in spec.trust_domain_aliases.iter().enumerate() {
        check.grammar(path.field("trustDomainAliases").item(i), trust_domain(alias));
    }
    if let Some(namespace) = &spec.root_namespace {
        check.grammar(path.field("rootNamespace"), names::label(namespace));
    }
    for (i, certificates) in spec.ca_certificates.iter().enumerate() {
        if certificates.pem.is_some() == certificates.spiffe_bundle_url.is_some() {
            let reason = "needs exactly one of pem and spiffeBundleUrl";
            check.refuse(path.field("caCertificates").item(i), reason);
        }
    }
    // In JSON the operators stand in texts, and are the same.
    telemetry::format(check, path.field("accessLogFormat"), &spec.access_log_format);
    providers(
        check,
        &path.field("extensionProviders"),
        &spec.extension_providers,
    );
    let defaults = &spec.default_providers;
    for (name, refs) in [
        ("tracing", &defaults.tracing),
        ("metrics", &defaults.metrics),
        ("accessLogging", &defaults.access_logging),
    ] {
        default_providers(
            check,
            &path.field("defaultProviders").field(name),
            refs,
            &spec.extension_providers,
        );
    }
    if let Some(retry) = &spec.default_http_retry_policy {
        networking::retry(check, &path.field("defaultHttpRetryPolicy"), retry);
    }
    for (name, duration) in [
        ("connectTimeout", spec.connect_timeout),
        ("hboneIdleTimeout", spec.hbone_idle_timeout),
        ("dnsRefreshRate", spec.dns_refresh_rate),
    ] {
        check.positive(path.field(name), duration);
    }
    if let Some(locality) = &spec.locality_lb_setting {
        networking::locality(check, &path.field("localityLbSetting"), locality);
    }
    let policy = path.field("defaultTrafficPolicy");
    if let Some(pool) = &spec.default_traffic_policy.connection_pool {
        networking::connection_pool(check, &policy.field("connectionPool"), pool);
    }
    if let Some(outliers) = &spec.default_traffic_policy.outlier_detection {
        networking::outlier_detection(check, &policy.field("outlierDetection"), outliers);
    }
    let config = path.field("defaultConfig");
    if let Some(tracing) = &spec.default_config.tracing {
        let path = config.field("tracing");
        if let Some(percent) = tracing.sampling {
            check.percent(path.field("sampling"), percent);
        }
        for (name, tag) in &tracing.custom_tags {
            telemetry::custom_tag(check, &path.field("customTags").field(name), name, tag);
        }
    }
}

fn trust_domain(text: &str) -> Result<(), String> {
    // Alias patterns of Istio's may begin with `*`.
    let bare = text.strip_prefix("*.").unwrap_or(text);
    bare.parse::<TrustDomain>()
        .map(drop)
        .map_err(|e| format!("{text:?} is no trust domain: {e}"))
}

fn providers(check: &mut Check, path: &FieldPath, providers: &[ExtensionProvider]) {
    let mut seen = HashSet::new();
    for (i, provider) in providers.iter().enumerate() {
        let path = path.item(i);
        if provider.name.is_empty() {
            check.refuse(path.field("name"), "is required");
        }
        if !seen.insert(&provider.name) {
            let reason = format!("{:?} is there twice", provider.name.as_str());
            check.refuse(path.field("name"), reason);
        }
        self::provider(check, &path, &provider.kind);
    }
}

fn provider(check: &mut Check, path: &FieldPath, kind: &ProviderKind) {
    match kind {
        ProviderKind::ExtAuthzHttp(p) => {
            let path = path.field("envoyExtAuthzHttp");
            address(check, &path, &p.service, p.port);
            check.positive(path.field("timeout"), p.timeout);
            status(check, &path, &p.status_on_error);
            if !p.path_prefix.is_empty() && !p.path_prefix.starts_with('/') {
                check.refuse(path.field("pathPrefix"), "does not begin with a slash");
            }
            for (header, value) in &p.include_additional_headers_in_check {
                let field = path.field("includeAdditionalHeadersInCheck").field(header);
                check.grammar(field.clone(), http::header_name(header));
                check.grammar(field, http::header_value(value));
            }
            if p.timeout.is_none() {
                check.warn(path.field("timeout"), LONG_TIMEOUT);
            }
        }
        ProviderKind::ExtAuthzGrpc(p) => {
            let path = path.field("envoyExtAuthzGrpc");
            address(check, &path, &p.service, p.port);
            check.positive(path.field("timeout"), p.timeout);
            status(check, &path, &p.status_on_error);
            if p.timeout.is_none() {
                check.warn(path.field("timeout"), LONG_TIMEOUT);
            }
        }
        ProviderKind::Zipkin(p) => {
            let path = path.field("zipkin");
            address(check, &path, &p.service, p.port);
            headers(check, &path.field("headers"), &p.headers);
        }
        ProviderKind::OpenTelemetry(p) => {
            let path = path.field("opentelemetry");
            address(check, &path, &p.service, p.port);
            if p.http.is_some() && p.grpc.is_some() {
                check.refuse(path.clone(), "may have only one of http and grpc");
            }
            if let Some(settings) = &p.http {
                headers(check, &path.field("http").field("headers"), &settings.headers);
            }
            if let Some(settings) = &p.grpc {
                let path = path.field("grpc").field("initialMetadata");
                headers(check, &path, &settings.initial_metadata);
            }
        }
        ProviderKind::OtelLog(p) => {
            let path = path.field("envoyOtelAls");
            address(check, &path, &p.service, p.port);
            let path = path.field("logFormat");
            telemetry::format(check, path.field("text"), &p.log_format.text);
            for (name, text) in &p.log_format.labels {
                telemetry::format(check, path.field("labels").field(name), text);
            }
        }
        ProviderKind::FileLog(p) => {
            let path = path.field("envoyFileAccessLog").field("logFormat");
            match &p.log_format {
                Some(LogFormat::Text(text)) => telemetry::format(check, path.field("text"), text),
                Some(LogFormat::Labels(labels)) => {
                    for (name, text) in labels {
                        telemetry::format(check, path.field("labels").field(name), text);
                    }
                }
                None => {}
            }
        }
        ProviderKind::Prometheus => {}
        ProviderKind::Unsupported(name) => {
            check.warn(
                path.field(name),
                "has no effect: this kind of provider is not supported",
            );
        }
    }
}

fn address(check: &mut Check, path: &FieldPath, service: &str, port: u16) {
    let (namespace, host) = service
        .split_once('/')
        .map_or((None, service), |(n, h)| (Some(n), h));
    let well_formed = namespace.is_none_or(|n| names::label(n).is_ok())
        && (names::domain(host).is_ok() || names::ip(host).is_ok());
    if !well_formed {
        check.refuse(
            path.field("service"),
            format!("{service:?} is not [<namespace>/]<host name>"),
        );
    }
    check.port(path.field("port"), port);
}

fn status(check: &mut Check, path: &FieldPath, status: &str) {
    let known = status.parse::<u32>().is_ok_and(|s| http::status(s).is_ok());
    if !status.is_empty() && !known {
        let reason = format!("{status:?} is no status from 200 to 599");
        check.refuse(path.field("statusOnError"), reason);
    }
}

fn headers(check: &mut Check, path: &FieldPath, headers: &[ProviderHeader]) {
    for (i, header) in headers.iter().enumerate() {
        let path = path.item(i);
        check.grammar(path.field("name"), http::header_name(&header.name));
        if header.value.is_some() == header.env_name.is_some() {
            check.refuse(path, "needs exactly one of value and envName");
        }
    }
}

fn default_providers(check: &mut Check, path: &FieldPath, refs: &[Strng], providers: &[ExtensionProvider]) {
    for (i, name) in refs.iter().enumerate() {
        let known = BUILT_IN.contains(&name.as_str()) || providers.iter().any(|p| p.name == *name);
        if !known {
            let reason = format!("{:?} is none of the extensionProviders", name.as_str());
            check.refuse(path.item(i), reason);
        }
    }
}

/// Providers that are there without being named (Istio's `prometheus`, and its file log `envoy`).
const BUILT_IN: [&str; 2] = ["prometheus", "envoy"];
const LONG_TIMEOUT: &str =
    "is absent: a request waits up to 600 s for an answer, as upstream has it; 200ms is a good value";
