//! What the environment says: names and meanings are those that Istio's injector and Gateway controller give a waypoint
//! (`pilot-agent`'s variables), and ztunnel's for what both have. `env` reads.

mod env;

use std::net::IpAddr;
use std::time::Duration;

use mesh_grpc::{Address, TokenSource};
use mesh_hbone::HboneOptions;
use mesh_runtime::logging::LogFormat;
use mesh_tls::TlsSettings;
use mesh_tls::service::RootSource;
use mesh_types::{Identity, NamespacedName, Strng};
use serde::Serialize;

pub use env::{Read, read};

/// Everything that the environment decides.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Who and where this proxy is.
    pub node: NodeConfig,
    /// HBONE tunables.
    #[serde(skip)]
    pub hbone: HboneOptions,
    /// TLS between workloads.
    #[serde(skip)]
    pub tls: TlsSettings,
    /// The discovery service.
    #[serde(skip)]
    pub xds: ServerConfig,
    /// The certificate authority.
    #[serde(skip)]
    pub ca: ServerConfig,
    /// The bearer token for both (`AUTH_TOKEN`).
    #[serde(skip)]
    pub token: TokenSource,
    /// The lifetime of certificates that is asked for (`SECRET_TTL`).
    pub secret_ttl: Duration,
    /// How long open connections may take to end after a stop.
    pub drain: Duration,
    /// Threads that carry traffic.
    pub worker_threads: usize,
    /// Bytes of bodies that are held at once (`LATEEN_BUFFER_LIMIT`); half of what the container may have if nobody says.
    pub buffer_limit: usize,
    /// Where the pages are served.
    pub pages: Pages,
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
    /// The Gateway that it carries out (`GATEWAY_NAME`, else `ISTIO_META_WORKLOAD_NAME`), in its own namespace.
    #[serde(serialize_with = "gateway_as_text")]
    pub gateway: NamespacedName,
    /// The Service at which it is found (`ISTIO_META_WORKLOAD_NAME`, else as the Gateway): Deployment and Service of a
    /// Gateway have one name, which `gateway.istio.io/name-override` may set.
    pub service: Strng,
    /// Whom it presents itself as (`TRUST_DOMAIN`, `POD_NAMESPACE`, `SERVICE_ACCOUNT`).
    #[serde(serialize_with = "identity_as_text")]
    pub identity: Identity,
    /// The domain of the cluster's services (`CLUSTER_DOMAIN`).
    pub domain: String,
    /// The machine (`ISTIO_META_NODE_NAME`, `NODE_NAME`).
    pub name: String,
    /// The cluster (`ISTIO_META_CLUSTER_ID`).
    pub cluster_id: Strng,
    /// The network in which its addresses mean something (`ISTIO_META_NETWORK`).
    pub network: Strng,
    /// Its pod (`POD_NAME`).
    pub pod_name: String,
    /// Its namespace (`POD_NAMESPACE`).
    pub pod_namespace: String,
    /// Its address (`INSTANCE_IP`).
    pub instance_ip: Option<IpAddr>,
    /// What else the discovery service is told (`ISTIO_META_*`).
    pub metadata: Vec<(String, String)>,
}

/// Where the pages are served; on all addresses, but for the first, which is on loopback only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// For people.
    pub admin: u16,
    /// For Prometheus.
    pub stats: u16,
    /// For probes.
    pub readiness: u16,
}

/// A gRPC server of the control plane.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it is.
    pub address: Address,
    /// Whom to trust there.
    pub root: RootSource,
    /// The name that its certificate must carry, where it is not the host of the address.
    pub alt_hostname: Option<String>,
    /// Headers of every request; they may be secrets.
    pub headers: Vec<(String, String)>,
}

fn gateway_as_text<S: serde::Serializer>(name: &NamespacedName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

fn identity_as_text<S: serde::Serializer>(identity: &Identity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(identity)
}
