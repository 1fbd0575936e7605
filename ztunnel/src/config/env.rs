//! Reads the environment: every variable of upstream's, each refused, warned about or put where it belongs.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use mesh_grpc::{Address, TokenSource};
use mesh_hbone::HboneOptions;
use mesh_net::Keepalive;
use mesh_runtime::env::{InvalidEnv, Reader, Strings};
use mesh_runtime::logging::LogFormat;
use mesh_tls::service::RootSource;
use mesh_tls::settings::UnknownGroup;
use mesh_tls::{KeyExchangeGroup, TlsSettings};
use mesh_types::{Strng, TrustDomain, ports};

use super::threads::{self, Cores};
use super::{Config, DnsConfig, NodeConfig, PodsConfig, ServerConfig};

/// What was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The configuration.
    pub config: Config,
    /// One sentence for each variable that is set and has no effect.
    pub warnings: Vec<String>,
}

/// Reads everything.
///
/// # Errors
/// Fails with every variable that cannot be used, not only the first.
pub fn read(strings: &dyn Strings) -> Result<Read, InvalidEnv> {
    let mut reader = Reader::new(strings);
    let mut warnings = Vec::new();
    let r = &mut reader;
    unsupported(r, &mut warnings);
    let config = Config {
        node: node(r),
        pods: pods(r),
        dns: dns(r),
        hbone: hbone(r),
        response_baggage: r.flag_or("ENABLE_RESPONSE_BAGGAGE", true),
        tls: tls(r),
        xds: server(r, "XDS"),
        ca: server(r, "CA"),
        token: TokenSource::parse(&r.string_or("AUTH_TOKEN", DEFAULT_TOKEN)),
        // istiod's own longest lifetime by default.
        secret_ttl: r.duration_or("SECRET_TTL", Duration::from_secs(24 * 60 * 60)),
        termination_deadline: termination_deadline(r),
        worker_threads: worker_threads(r),
        log_filter: r.string_or("RUST_LOG", "info"),
        log_format: r.parse_or("LOG_FORMAT", LogFormat::default()),
    };
    let config = reader.finish(config)?;
    Ok(Read { config, warnings })
}

/// Variables of features that this version has not.
fn unsupported(r: &mut Reader<'_>, warnings: &mut Vec<String>) {
    for (key, wanted) in REFUSED_FLAGS {
        if r.flag(key).is_some_and(|set| set == wanted) {
            r.reject(key, format_args!("{wanted} is not supported by this version"));
        }
    }
    for (key, why) in REFUSED {
        if r.string(key).is_some() {
            r.reject(key, format_args!("is not supported by this version: {why}"));
        }
    }
    match r.string("PROXY_MODE").as_deref() {
        None | Some("shared") => {}
        Some("dedicated") => r.reject("PROXY_MODE", "dedicated is not supported by this version"),
        Some(other) => r.reject(
            "PROXY_MODE",
            format_args!("{other:?} is neither shared nor dedicated"),
        ),
    }
    for (key, why) in WITHOUT_EFFECT {
        if r.string(key).is_some() {
            warnings.push(format!("{key} has no effect in this version: {why}"));
        }
    }
}

fn node(r: &mut Reader<'_>) -> NodeConfig {
    let cluster = r
        .string("ISTIO_META_CLUSTER_ID")
        .or_else(|| r.string("CLUSTER_ID"));
    let text = |value: Option<String>| Strng::from(value.unwrap_or_default());
    let mut metadata = r.with_prefix("ISTIO_META_");
    metadata.retain(|(key, _)| key != "DNS_CAPTURE" && key != "DNS_PROXY_ADDR");
    NodeConfig {
        name: text(r.string("NODE_NAME")),
        cluster_id: Strng::from(cluster.unwrap_or_else(|| DEFAULT_CLUSTER_ID.to_owned())),
        network: text(r.string("NETWORK")),
        trust_domain: r.parse_or("TRUST_DOMAIN", TrustDomain::default()),
        pod_name: r.string_or("POD_NAME", ""),
        pod_namespace: r.string_or("POD_NAMESPACE", ""),
        instance_ip: r.parse("INSTANCE_IP"),
        metadata,
    }
}

fn dns(r: &mut Reader<'_>) -> DnsConfig {
    // On unless it is said otherwise, as upstream: pods whose DNS is not captured never ask.
    let capture = r.flag_or("ISTIO_META_DNS_CAPTURE", true);
    let address = r.parse_with("ISTIO_META_DNS_PROXY_ADDR", parse_dns_address);
    let address = address.unwrap_or_else(|| localhost(ports::DNS));
    let domain = r.string_or("CLUSTER_DOMAIN", DEFAULT_CLUSTER_DOMAIN);
    DnsConfig {
        listen: if capture { address } else { Vec::new() },
        cluster_domain: Strng::from(domain.trim_end_matches('.').to_ascii_lowercase()),
        resolv_conf: PathBuf::from(r.string_or("LATEEN_RESOLV_CONF", "/etc/resolv.conf")),
    }
}

/// An address and a port, or `localhost` and a port, which is both families.
fn parse_dns_address(text: &str) -> Result<Vec<SocketAddr>, String> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return port.parse().map(localhost).map_err(|e| format!("port: {e}"));
    }
    match text.parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => Err(format!("{text:?} is neither <ip>:<port> nor localhost:<port>")),
    }
}

fn localhost(port: u16) -> Vec<SocketAddr> {
    let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    both.map(|ip| SocketAddr::new(ip, port)).to_vec()
}

fn pods(r: &mut Reader<'_>) -> PodsConfig {
    let keepalive = keepalive(r);
    let user_timeout = r.flag_or("USER_TIMEOUT_ENABLED", false);
    PodsConfig {
        agent_socket: PathBuf::from(r.string_or("INPOD_UDS", "/var/run/ztunnel/ztunnel.sock")),
        port_reuse: r.flag_or("INPOD_PORT_REUSE", true),
        mark: packet_mark(r),
        // Upstream probes whether it may; here a missing right is an error of each connection and never another source.
        original_source: r.flag_or("ENABLE_ORIG_SRC", true),
        preferred_namespace: r.string("PREFERED_SERVICE_NAMESPACE").map(Strng::from),
        ipv6: r.flag_or("IPV6_ENABLED", true),
        user_timeout: keepalive
            .as_ref()
            .filter(|_| user_timeout)
            .map(Keepalive::user_timeout),
        keepalive,
    }
}

/// The mark is a contract with the rules in the pods, which know one value.
fn packet_mark(r: &mut Reader<'_>) -> u32 {
    let mark = r.parse_or("PACKET_MARK", ports::PACKET_MARK);
    if mark & ports::MARK_MASK != ports::PACKET_MARK {
        let only = ports::PACKET_MARK;
        r.reject(
            "PACKET_MARK",
            format_args!("{mark} is not {only}, the mark that rules in pods exempt"),
        );
    }
    mark
}

fn keepalive(r: &mut Reader<'_>) -> Option<Keepalive> {
    let default = Keepalive::default();
    let settings = Keepalive {
        time: r.duration_or("KEEPALIVE_TIME", default.time),
        interval: r.duration_or("KEEPALIVE_INTERVAL", default.interval),
        retries: r.parse_or("KEEPALIVE_RETRIES", default.retries),
    };
    for (key, value) in [
        ("KEEPALIVE_TIME", settings.time),
        ("KEEPALIVE_INTERVAL", settings.interval),
    ] {
        if value < Duration::from_secs(1) {
            r.reject(key, "is less than a second, the kernel's unit");
        }
    }
    r.flag_or("KEEPALIVE_ENABLED", true).then_some(settings)
}

fn hbone(r: &mut Reader<'_>) -> HboneOptions {
    let default = HboneOptions::default();
    // RFC 9113, 6.5.2 and 6.9.1: what HTTP/2 can express.
    let window = 1..=(1 << 31) - 1;
    let frame = 16_384..=(1 << 24) - 1;
    HboneOptions {
        stream_window: within(r, "HTTP2_STREAM_WINDOW_SIZE", default.stream_window, &window),
        connection_window: within(
            r,
            "HTTP2_CONNECTION_WINDOW_SIZE",
            default.connection_window,
            &window,
        ),
        frame_size: within(r, "HTTP2_FRAME_SIZE", default.frame_size, &frame),
        max_streams_per_connection: within(
            r,
            "POOL_MAX_STREAMS_PER_CONNECTION",
            default.max_streams_per_connection,
            &(1..=usize::MAX),
        ),
        idle_timeout: r.duration_or("POOL_UNUSED_RELEASE_TIMEOUT", default.idle_timeout),
        ..default
    }
}

fn within<T>(r: &mut Reader<'_>, key: &str, default: T, range: &std::ops::RangeInclusive<T>) -> T
where
    T: FromStr<Err: Display> + PartialOrd + Display + Copy,
{
    let value = r.parse_or(key, default);
    if !range.contains(&value) {
        let (start, end) = (range.start(), range.end());
        r.reject(key, format_args!("{value} is not between {start} and {end}"));
    }
    value
}

fn tls(r: &mut Reader<'_>) -> TlsSettings {
    let mut settings = TlsSettings {
        tls12: r.flag_or("TLS12_ENABLED", false),
        ..TlsSettings::default()
    };
    if let Some(groups) = r.parse_with("LATEEN_TLS_GROUPS", parse_groups) {
        settings.groups = groups;
    }
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

/// A list such as `X25519MLKEM768,X25519,P-256`, preferred first.
fn parse_groups(text: &str) -> Result<Vec<KeyExchangeGroup>, UnknownGroup> {
    text.split(',').map(|name| name.trim().parse()).collect()
}

fn server(r: &mut Reader<'_>, which: &str) -> ServerConfig {
    let on_cluster = r.string("KUBERNETES_SERVICE_HOST").is_some();
    let default = if on_cluster {
        DEFAULT_ADDRESS
    } else {
        LOCAL_ADDRESS
    };
    let key = format!("{which}_ADDRESS");
    let text = r.string(&key).unwrap_or_else(|| default.to_owned());
    let address = match text.parse() {
        Ok(address) => address,
        Err(e) => {
            r.reject(&key, e);
            fallback_address()
        }
    };
    ServerConfig {
        address,
        root: RootSource::from_setting(&r.string_or(&format!("{which}_ROOT_CA"), DEFAULT_ROOT)),
        alt_hostname: r.string(&format!("ALT_{which}_HOSTNAME")),
        headers: r.with_prefix(&format!("{which}_HEADER_")),
    }
}

/// Upstream's rule: said outright, or what Kubernetes grants less a margin for the process' own end.
fn termination_deadline(r: &mut Reader<'_>) -> Duration {
    let grace: Option<u64> = r.parse("TERMINATION_GRACE_PERIOD_SECONDS");
    let derived = match grace {
        None => DEFAULT_TERMINATION,
        Some(seconds) if seconds > 10 => Duration::from_secs(seconds - 5),
        Some(seconds) => Duration::from_secs(seconds.saturating_sub(1).max(1)),
    };
    r.duration_or("CONNECTION_TERMINATION_DEADLINE", derived)
}

fn worker_threads(r: &mut Reader<'_>) -> usize {
    let cores = Cores {
        machine: std::thread::available_parallelism().map_or(1, usize::from),
        limit: r
            .parse_with("ZTUNNEL_RESOURCE_CPU_LIMIT", threads::parse_cpus)
            .or_else(|| r.parse_with("ZTUNNEL_CPU_LIMIT", threads::parse_cpus)),
        request: r.parse_with("ZTUNNEL_RESOURCE_CPU_REQUEST", threads::parse_cpus),
    };
    match r.parse("ZTUNNEL_WORKER_THREADS") {
        Some(wanted) => threads::asked(wanted, &cores),
        None => threads::unasked(&cores),
    }
}

/// Stands in for an address that was refused; the refusal ends the process before it is used.
fn fallback_address() -> Address {
    LOCAL_ADDRESS.parse().expect("a constant address parses")
}

/// Flags, and the value that cannot be had.
const REFUSED_FLAGS: [(&str, bool); 4] = [
    ("ENABLE_PROXY", false),
    ("FAKE_CA", true),
    ("XDS_ON_DEMAND", true),
    ("UNSTABLE_ENABLE_SOCKS5", true),
];
const REFUSED: [(&str, &str); 3] = [
    ("CRL_PATH", "revoked certificates would be accepted"),
    ("LOCAL_XDS_PATH", "configuration comes from a control plane only"),
    ("LOCAL_XDS", "configuration comes from a control plane only"),
];
const WITHOUT_EFFECT: [(&str, &str); 2] = [
    ("PROXY_CONFIG", "everything is read from the environment"),
    ("LOCALHOST_APP_TUNNEL", "application tunnels are refused"),
];
const DEFAULT_CLUSTER_DOMAIN: &str = "cluster.local";
const DEFAULT_CLUSTER_ID: &str = "Kubernetes";
const DEFAULT_ADDRESS: &str = "https://istiod.istio-system.svc:15012";
/// Upstream's default outside a cluster.
const LOCAL_ADDRESS: &str = "https://localhost:15012";
const DEFAULT_ROOT: &str = "./var/run/secrets/istio/root-cert.pem";
const DEFAULT_TOKEN: &str = "./var/run/secrets/tokens/istio-token";
const DEFAULT_TERMINATION: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
