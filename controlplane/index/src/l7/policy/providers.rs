//! The providers of the mesh's configuration: who is asked, and who is told.

use controlplane_k8s_api::mesh::{ExtensionProvider, LogFormat as ProviderLogFormat, ProviderKind};
use mesh_model::l7::ServicePort;
use mesh_model::l7::telemetry::{LogFormat, LogSink, TraceExporter};
use mesh_types::{NamespacedHostname, Strng};

/// Which services there are.
pub(super) trait Services {
    /// The service of a host, in any namespace where none is given.
    fn of_host(&self, namespace: Option<&str>, host: &str) -> Option<NamespacedHostname>;
}

/// Which providers there are.
pub(super) trait Providers: Services {
    /// One by its name.
    fn provider(&self, name: &str) -> Option<&ExtensionProvider>;
    /// What the provider `envoy` of access logs stands for.
    fn built_in_log(&self) -> LogSink;
}

/// Where `[<namespace>/]<host>` is.
pub(super) fn service_port(
    service: &str,
    port: u16,
    services: &impl Services,
) -> Result<ServicePort, String> {
    let (namespace, host) = match service.split_once('/') {
        Some((namespace, host)) => (Some(namespace), host),
        None => (None, service),
    };
    if port == 0 {
        return Err(format!("names no port of {service:?}"));
    }
    let found = services.of_host(namespace, &host.to_ascii_lowercase());
    let service =
        found.ok_or_else(|| format!("is {service:?}, which is the host of no Service or ServiceEntry"))?;
    Ok(ServicePort { service, port })
}

/// Where a provider's records of requests go; or why nowhere, as a sentence about the provider.
pub(super) fn log_sink(name: &str, providers: &impl Providers) -> Result<LogSink, String> {
    let Some(provider) = providers.provider(name) else {
        return match name == BUILT_IN_LOG {
            true => Ok(providers.built_in_log()),
            false => Err(unknown(name)),
        };
    };
    match &provider.kind {
        ProviderKind::FileLog(file) => Ok(LogSink::File {
            path: match file.path.is_empty() {
                true => STDOUT.into(),
                false => file.path.clone(),
            },
            format: match &file.log_format {
                None => LogFormat::Default,
                Some(ProviderLogFormat::Text(text)) if text.is_empty() => LogFormat::Default,
                Some(ProviderLogFormat::Text(text)) => LogFormat::Text(text.clone()),
                Some(ProviderLogFormat::Labels(labels)) if labels.is_empty() => LogFormat::DefaultJson,
                Some(ProviderLogFormat::Labels(labels)) => LogFormat::Json(pairs(labels)),
            },
        }),
        ProviderKind::OtelLog(otel) => Ok(LogSink::Otlp {
            service: service_port(&otel.service, otel.port, providers)
                .map_err(|why| format!("provider {name:?} {why}"))?,
            body: Some(otel.log_format.text.clone()).filter(|text| !text.is_empty()),
            attributes: pairs(&otel.log_format.labels),
        }),
        _ => Err(format!("provider {name:?} takes no access logs")),
    }
}

/// Where a provider's spans go; or why nowhere, as a sentence about the provider.
pub(super) fn trace_exporter(name: &str, providers: &impl Providers) -> Result<TraceExporter, String> {
    let provider = providers.provider(name).ok_or_else(|| unknown(name))?;
    let service =
        |host, port| service_port(host, port, providers).map_err(|why| format!("provider {name:?} {why}"));
    let path = |path: &Strng, default: &str| match path.as_str() {
        "" => Ok(Strng::from(default)),
        text if text.starts_with('/') && !text.bytes().any(|b| b.is_ascii_control()) => Ok(path.clone()),
        _ => Err(format!("provider {name:?} has a path that is none: {path:?}")),
    };
    match &provider.kind {
        ProviderKind::Zipkin(zipkin) => Ok(TraceExporter::Zipkin(
            service(&zipkin.service, zipkin.port)?,
            path(&zipkin.path, ZIPKIN_PATH)?,
        )),
        ProviderKind::OpenTelemetry(otel) => {
            let collector = service(&otel.service, otel.port)?;
            match &otel.http {
                Some(http) => Ok(TraceExporter::OtlpHttp(collector, path(&http.path, OTLP_PATH)?)),
                None => Ok(TraceExporter::OtlpGrpc(collector)),
            }
        }
        _ => Err(format!("provider {name:?} takes no spans")),
    }
}

/// Whether a provider asks for metrics itself, as Prometheus does.
pub(super) fn takes_metrics(name: &str, providers: &impl Providers) -> Result<(), String> {
    match providers.provider(name).map(|provider| &provider.kind) {
        Some(ProviderKind::Prometheus) => Ok(()),
        None if name == BUILT_IN_METRICS => Ok(()),
        Some(_) => Err(format!("provider {name:?} takes no metrics")),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> String {
    format!("provider {name:?} is none of the mesh's extensionProviders")
}

fn pairs(map: &std::collections::BTreeMap<Strng, Strng>) -> Vec<(Strng, Strng)> {
    let named = map.iter().filter(|(name, _)| !name.is_empty());
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Providers that are there without being named.
pub(super) const BUILT_IN_LOG: &str = "envoy";
const BUILT_IN_METRICS: &str = "prometheus";
pub(super) const STDOUT: &str = "/dev/stdout";
const ZIPKIN_PATH: &str = "/api/v2/spans";
/// OTLP/HTTP, "OTLP/HTTP Request".
const OTLP_PATH: &str = "/v1/traces";
