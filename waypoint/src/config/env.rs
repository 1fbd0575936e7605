//! Reads the environment.

use std::time::Duration;

use mesh_grpc::{Address, TokenSource};
use mesh_hbone::HboneOptions;
use mesh_runtime::env::{InvalidEnv, Reader, Strings, parse_duration};
use mesh_runtime::logging::LogFormat;
use mesh_tls::service::RootSource;
use mesh_tls::{KeyExchangeGroup, TlsSettings};
use mesh_types::{Identity, NamespacedName, Strng, TrustDomain, ports};
use serde::Deserialize;

use super::{Config, NodeConfig, Pages, ServerConfig};

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The configuration.
    pub config: Config,
    /// One sentence for each variable that is set and has no effect.
    pub warnings: Vec<String>,
}

/// What of `PROXY_CONFIG` has a meaning here (Istio, "ProxyConfig"); a JSON object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ProxyConfig {
    discovery_address: Option<String>,
    concurrency: Option<usize>,
    termination_drain_duration: Option<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, serde_json::Value>,
}

/// Reads everything.
///
/// # Errors
/// Fails with every variable that cannot be used, not only the first.
pub fn read(strings: &dyn Strings) -> Result<Read, InvalidEnv> {
    let mut reader = Reader::new(strings);
    let mut warnings = Vec::new();
    let r = &mut reader;
    let parse = |text: &str| serde_json::from_str::<ProxyConfig>(text);
    let proxy = r.parse_with("PROXY_CONFIG", parse).unwrap_or_default();
    for field in proxy.others.keys() {
        warnings.push(format!("PROXY_CONFIG: {field} has no effect in this version"));
    }
    let config = Config {
        node: node(r),
        hbone: hbone(r),
        tls: tls(r),
        xds: server(r, "XDS", "XDS_ADDRESS", proxy.discovery_address.as_deref()),
        ca: ca(r),
        token: TokenSource::parse(&r.string_or("AUTH_TOKEN", DEFAULT_TOKEN)),
        // istiod's own longest lifetime by default.
        secret_ttl: r.duration_or("SECRET_TTL", Duration::from_secs(24 * 60 * 60)),
        drain: drain(r, &proxy),
        worker_threads: worker_threads(r, &proxy),
        buffer_limit: r
            .parse("LATEEN_BUFFER_LIMIT")
            .unwrap_or_else(crate::body::memory::default_limit),
        pages: Pages {
            admin: r.parse_or("ADMIN_PORT", ports::ADMIN),
            stats: r.parse_or("STATS_PORT", ports::STATS),
            readiness: r.parse_or("READINESS_PORT", ports::READINESS),
        },
        log_filter: r.string_or("RUST_LOG", "info"),
        log_format: r.parse_or("LOG_FORMAT", LogFormat::default()),
    };
    let config = reader.finish(config)?;
    Ok(Read { config, warnings })
}

fn node(r: &mut Reader<'_>) -> NodeConfig {
    let namespace = required(r, "POD_NAMESPACE");
    let gateway = match r.string("GATEWAY_NAME") {
        Some(name) => name,
        None => required(r, "ISTIO_META_WORKLOAD_NAME"),
    };
    let service = r.string("ISTIO_META_WORKLOAD_NAME");
    let service = service.map_or_else(|| gateway.as_str().into(), Strng::from);
    let account = r
        .string("SERVICE_ACCOUNT")
        .or_else(|| r.string("ISTIO_META_SERVICE_ACCOUNT"))
        .unwrap_or_else(|| gateway.clone());
    let trust_domain = r.parse_or("TRUST_DOMAIN", TrustDomain::default());
    let identity = Identity::new(trust_domain, namespace.as_str(), account.as_str());
    let identity = identity.unwrap_or_else(|e| {
        r.reject("SERVICE_ACCOUNT", e);
        fallback_identity()
    });
    let text = |value: Option<String>| value.unwrap_or_default();
    NodeConfig {
        gateway: NamespacedName::new(namespace.as_str(), gateway),
        service,
        identity,
        domain: r.string_or("CLUSTER_DOMAIN", "cluster.local"),
        name: text(r.string("ISTIO_META_NODE_NAME").or_else(|| r.string("NODE_NAME"))),
        cluster_id: r.string_or("ISTIO_META_CLUSTER_ID", "Kubernetes").into(),
        network: Strng::from(text(r.string("ISTIO_META_NETWORK"))),
        pod_name: r.string_or("POD_NAME", ""),
        pod_namespace: namespace,
        instance_ip: r.parse("INSTANCE_IP"),
        metadata: r.with_prefix("ISTIO_META_"),
    }
}

fn required(r: &mut Reader<'_>, key: &str) -> String {
    r.string(key).unwrap_or_else(|| {
        r.reject(key, "is needed");
        "unknown".to_owned()
    })
}

fn hbone(r: &mut Reader<'_>) -> HboneOptions {
    let default = HboneOptions::default();
    HboneOptions {
        stream_window: r.parse_or("PILOT_HBONE_INITIAL_STREAM_WINDOW_SIZE", default.stream_window),
        connection_window: r.parse_or(
            "PILOT_HBONE_INITIAL_CONNECTION_WINDOW_SIZE",
            default.connection_window,
        ),
        ..default
    }
}

fn tls(r: &mut Reader<'_>) -> TlsSettings {
    let mut settings = TlsSettings::default();
    match r.string("COMPLIANCE_POLICY").as_deref() {
        None => {}
        Some("pqc") => settings.groups = vec![KeyExchangeGroup::X25519MlKem768],
        Some(other) => r.reject(
            "COMPLIANCE_POLICY",
            format_args!("{other:?} is not supported, only pqc is"),
        ),
    }
    settings
}

/// Istio's template says `CA_ADDR`, ztunnel's chart `CA_ADDRESS`.
fn ca(r: &mut Reader<'_>) -> ServerConfig {
    let address = r.string("CA_ADDR");
    server(r, "CA", "CA_ADDRESS", address.as_deref())
}

fn server(r: &mut Reader<'_>, which: &str, key: &str, otherwise: Option<&str>) -> ServerConfig {
    let text = r.string(key);
    let text = text.as_deref().or(otherwise).unwrap_or(DEFAULT_ADDRESS);
    // Istio's own variables carry no scheme.
    let with_scheme = match text.contains("://") {
        true => text.to_owned(),
        false => format!("https://{text}"),
    };
    let address = with_scheme.parse().unwrap_or_else(|e| {
        r.reject(key, e);
        fallback_address()
    });
    ServerConfig {
        address,
        root: RootSource::from_setting(&r.string_or(&format!("{which}_ROOT_CA"), DEFAULT_ROOT)),
        alt_hostname: r.string(&format!("ALT_{which}_HOSTNAME")),
        headers: r.with_prefix(&format!("{which}_HEADER_")),
    }
}

/// Said outright, or what Kubernetes grants less a margin for the process' own end, or Istio's own 5 s.
fn drain(r: &mut Reader<'_>, proxy: &ProxyConfig) -> Duration {
    if let Some(said) = r.duration("CONNECTION_TERMINATION_DEADLINE") {
        return said;
    }
    if let Some(said) = &proxy.termination_drain_duration {
        match parse_duration(said) {
            Ok(said) => return said,
            Err(e) => r.reject(
                "PROXY_CONFIG",
                format_args!("terminationDrainDuration {said:?} {e}"),
            ),
        }
    }
    let grace: Option<u64> = r.parse("TERMINATION_GRACE_PERIOD_SECONDS");
    grace.map_or(DEFAULT_DRAIN, |seconds| {
        Duration::from_secs(seconds.saturating_sub(5).max(1))
    })
}

/// `concurrency`, where 0 or nothing means every core that the process may use.
fn worker_threads(r: &mut Reader<'_>, proxy: &ProxyConfig) -> usize {
    let wanted: Option<usize> = r.parse("LATEEN_WORKER_THREADS");
    let limit: Option<usize> = r.parse("ISTIO_CPU_LIMIT");
    let machine = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = limit
        .filter(|n| *n > 0)
        .map_or(machine, |limit| limit.min(machine));
    let count = wanted.or(proxy.concurrency).filter(|n| *n > 0).unwrap_or(cores);
    if count > MAX_THREADS {
        r.reject(
            "PROXY_CONFIG",
            format_args!("concurrency {count} is more than {MAX_THREADS}"),
        );
    }
    count
}

/// Stand in for values that were refused; the refusal ends the process before they are used.
fn fallback_address() -> Address {
    "https://localhost:15012"
        .parse()
        .expect("a constant address parses")
}

fn fallback_identity() -> Identity {
    Identity::new(TrustDomain::default(), "unknown", "unknown").expect("constant names make an identity")
}

const DEFAULT_ADDRESS: &str = "https://istiod.istio-system.svc:15012";
const DEFAULT_ROOT: &str = "./var/run/secrets/istio/root-cert.pem";
const DEFAULT_TOKEN: &str = "./var/run/secrets/tokens/istio-token";
const DEFAULT_DRAIN: Duration = Duration::from_secs(5);
/// More than any machine has cores: a slip of the finger.
const MAX_THREADS: usize = 1024;

#[cfg(test)]
mod tests;
