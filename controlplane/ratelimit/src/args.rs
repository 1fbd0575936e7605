//! The command line of `lateen-controlplane ratelimit`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use mesh_grpc::Address;
use mesh_types::TrustDomain;

use crate::peers::Shard;

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RateLimitArgs {
    /// Directory for the log of counts, of this shard alone; made if it is missing.
    #[arg(long, env = "DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// All shards, this one too: the name decides what a shard counts, the host where it is found [default: this one alone].
    #[arg(
        long = "shards",
        env = "SHARDS",
        value_name = "NAME=HOST[:PORT]",
        value_delimiter = ','
    )]
    pub shards: Vec<Shard>,
    /// Which of them this is.
    #[arg(
        long,
        env = "SHARD",
        value_name = "NAME",
        default_value = "lateen-ratelimit-0"
    )]
    pub shard: String,
    /// Counters in memory, about 300 bytes each.
    #[arg(long, env = "COUNTERS", value_name = "NUMBER", default_value_t = 1_000_000)]
    pub counters: usize,
    /// Where tunnels are accepted.
    #[arg(long, value_name = "ADDR", default_value = "[::]:15008")]
    pub listen: SocketAddr,
    /// The port of the service that is asked for within tunnels.
    #[arg(long, value_name = "PORT", default_value_t = 8081)]
    pub port: u16,
    /// Where `/counters` and `/limits` are shown; to this machine alone.
    #[arg(long, env = "ADMIN_PORT", value_name = "PORT", default_value_t = 15000)]
    pub admin: u16,
    /// Where metrics are served.
    #[arg(long, env = "STATS_PORT", value_name = "PORT", default_value_t = 15020)]
    pub stats: u16,
    /// Where the readiness probe is answered.
    #[arg(long, env = "READINESS_PORT", value_name = "PORT", default_value_t = 15021)]
    pub readiness: u16,
    /// The control plane.
    #[arg(
        long,
        env = "XDS_ADDRESS",
        value_name = "URL",
        default_value = "https://istiod.istio-system.svc:15012"
    )]
    pub control_plane: Address,
    /// The root that the control plane's certificate is signed by: a file.
    #[arg(
        long,
        env = "XDS_ROOT_CA",
        value_name = "FILE",
        default_value = "./var/run/secrets/istio/root-cert.pem"
    )]
    pub root: String,
    /// The name in the control plane's certificate, where it is not the host of its address.
    #[arg(long, env = "ALT_XDS_HOSTNAME", value_name = "NAME")]
    pub control_plane_name: Option<String>,
    /// The token that the process shows to the control plane: a file.
    #[arg(
        long,
        env = "AUTH_TOKEN",
        value_name = "FILE",
        default_value = "./var/run/secrets/tokens/istio-token"
    )]
    pub token: String,
    /// The trust domain of every identity.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: TrustDomain,
    /// The cluster's name.
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// Its namespace: the mesh's root namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "istio-system")]
    pub namespace: String,
    /// Its service account.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "lateen-ratelimit")]
    pub service_account: String,
    /// Its pod.
    #[arg(long, env = "POD_NAME", default_value = "lateen-ratelimit-0")]
    pub pod: String,
    /// Its address.
    #[arg(long, env = "INSTANCE_IP", value_name = "IP", default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// Its machine.
    #[arg(long, env = "NODE_NAME", default_value = "")]
    pub node: String,
}
