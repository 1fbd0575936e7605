//! What the environment says: one structure per room, defaults beside their reasons.
//!
//! Names and meanings are upstream's, so that its Helm chart starts this binary unchanged. What upstream has and this
//! version has not is refused where ignoring it would make the mesh less safe or do something else than asked, and
//! warned about where it would not. `env` reads, `threads` has the rule for the number of workers.

mod env;
mod threads;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mesh_grpc::{Address, TokenSource};
use mesh_hbone::HboneOptions;
use mesh_net::Keepalive;
use mesh_runtime::logging::LogFormat;
use mesh_tls::TlsSettings;
use mesh_tls::service::RootSource;
use mesh_types::{Strng, TrustDomain};
use serde::Serialize;

pub use env::{Read, read};

/// Everything that the environment decides.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Who and where this proxy is.
    pub node: NodeConfig,
    /// How pods are served.
    pub pods: PodsConfig,
    /// Names.
    pub dns: DnsConfig,
    /// HBONE tunables.
    #[serde(skip)]
    pub hbone: HboneOptions,
    /// Answer a CONNECT with labels of the local workload (`ENABLE_RESPONSE_BAGGAGE`).
    pub response_baggage: bool,
    /// TLS between workloads (`COMPLIANCE_POLICY`, `TLS12_ENABLED`, `LATEEN_TLS_GROUPS`).
    #[serde(serialize_with = "tls_as_text")]
    pub tls: TlsSettings,
    /// The discovery service.
    pub xds: ServerConfig,
    /// The certificate authority.
    pub ca: ServerConfig,
    /// The bearer token for both (`AUTH_TOKEN`).
    #[serde(skip)]
    pub token: TokenSource,
    /// The lifetime of certificates that is asked for (`SECRET_TTL`).
    pub secret_ttl: Duration,
    /// How long open connections may take to end after a stop (`CONNECTION_TERMINATION_DEADLINE`).
    pub termination_deadline: Duration,
    /// Threads that carry traffic (`ZTUNNEL_WORKER_THREADS`).
    pub worker_threads: usize,
    /// The log filter (`RUST_LOG`).
    pub log_filter: String,
    /// How log lines look (`LOG_FORMAT`).
    #[serde(skip)]
    pub log_format: LogFormat,
}

/// Who and where this proxy is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// The machine (`NODE_NAME`).
    pub name: Strng,
    /// The cluster (`ISTIO_META_CLUSTER_ID`, `CLUSTER_ID`).
    pub cluster_id: Strng,
    /// The network in which this machine's addresses mean something (`NETWORK`).
    pub network: Strng,
    /// The trust domain of workloads for which the configuration does not say another (`TRUST_DOMAIN`).
    pub trust_domain: TrustDomain,
    /// The proxy's own pod (`POD_NAME`).
    pub pod_name: String,
    /// Its namespace (`POD_NAMESPACE`).
    pub pod_namespace: String,
    /// Its address (`INSTANCE_IP`).
    pub instance_ip: Option<IpAddr>,
    /// What else the discovery service is told (`ISTIO_META_*`).
    pub metadata: Vec<(String, String)>,
}

/// How pods are served.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodsConfig {
    /// The node agent's socket (`INPOD_UDS`).
    pub agent_socket: PathBuf,
    /// Old and new proxy may listen side by side (`INPOD_PORT_REUSE`). Workers share ports either way.
    pub port_reuse: bool,
    /// The mark on every socket in a pod (`PACKET_MARK`).
    pub mark: u32,
    /// Connections to applications come from the client's address (`ENABLE_ORIG_SRC`).
    pub original_source: bool,
    /// Of services that share a name or an address, the namespace to be preferred after the client's own
    /// (`PREFERED_SERVICE_NAMESPACE`, spelt so).
    pub preferred_namespace: Option<Strng>,
    /// Listen for IPv6 too (`IPV6_ENABLED`).
    pub ipv6: bool,
    /// Keep-alive of TCP connections (`KEEPALIVE_*`).
    #[serde(skip)]
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT` (`USER_TIMEOUT_ENABLED`).
    pub user_timeout: Option<Duration>,
}

/// Names.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsConfig {
    /// Where a pod's captured questions arrive (`ISTIO_META_DNS_PROXY_ADDR`); nowhere where DNS is not captured
    /// (`ISTIO_META_DNS_CAPTURE`).
    pub listen: Vec<SocketAddr>,
    /// The domain of the cluster's services (`CLUSTER_DOMAIN`).
    pub cluster_domain: Strng,
    /// Names the servers that are asked what the mesh does not know (`LATEEN_RESOLV_CONF`).
    pub resolv_conf: PathBuf,
}

/// A gRPC server of the control plane.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerConfig {
    /// Where it is.
    #[serde(serialize_with = "as_text")]
    pub address: Address,
    /// Whom to trust there.
    #[serde(serialize_with = "root_as_text")]
    pub root: RootSource,
    /// The name that its certificate must carry, where it is not the host of the address.
    pub alt_hostname: Option<String>,
    /// Headers of every request; they may be secrets.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
}

fn as_text<S: serde::Serializer>(address: &Address, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

fn root_as_text<S: serde::Serializer>(root: &RootSource, serializer: S) -> Result<S::Ok, S::Error> {
    match root {
        RootSource::Path(path) => serializer.collect_str(&path.display()),
        RootSource::Inline(_) => serializer.serialize_str("inline"),
        RootSource::System => serializer.serialize_str("SYSTEM"),
    }
}

fn tls_as_text<S: serde::Serializer>(tls: &TlsSettings, serializer: S) -> Result<S::Ok, S::Error> {
    let groups: Vec<_> = tls.groups.iter().map(|g| g.name()).collect();
    let versions = if tls.tls12 { "TLS 1.3, 1.2" } else { "TLS 1.3" };
    serializer.collect_str(&format_args!("{versions}; {}", groups.join(", ")))
}
