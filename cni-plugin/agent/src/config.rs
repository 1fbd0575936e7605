//! Flags and environment of `lateen-node`. Names of variables are upstream's where it has them.
//!
//! # Layout
//! - this file: what every place needs. [`host`]: what of the host it sees and changes. [`cluster`]: what a cluster needs.

pub mod cluster;
pub mod host;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use mesh_grpc::Address;
use mesh_types::ports;

pub use cluster::ClusterConfig;
pub use host::HostConfig;

/// The node agent: brings this node's pods into the mesh and hands them to ztunnel.
#[derive(Parser, Clone, Debug)]
#[command(name = "lateen-node", version, max_term_width = 110, after_help = EXIT_CODES)]
pub struct Config {
    /// This node's name; the agent warns when the token names another node
    #[arg(long, env = "NODE_NAME")]
    pub node_name: Option<String>,

    /// Who says which pods belong to the mesh
    #[arg(long, env = "MEMBERSHIP", value_name = "WHO", default_value = "registration")]
    pub membership: MembershipSetting,

    /// Directory of the socket that the CNI plugin asks (pluginevent.sock) and of the state file
    #[arg(
        long,
        env = "CNI_AGENT_RUN_DIR",
        value_name = "DIR",
        default_value = "/var/run/istio-cni"
    )]
    pub run_dir: PathBuf,

    /// Socket that the CNI plugin asks [default: <run-dir>/pluginevent.sock]
    #[arg(long, env = "CNI_EVENT_SOCKET", value_name = "PATH")]
    pub event_socket: Option<PathBuf>,

    /// State file: the pods that a restart must find again [default: <run-dir>/pods.json]
    #[arg(long, env = "STATE_FILE", value_name = "PATH")]
    pub state_file: Option<PathBuf>,

    /// Socket on which pods are handed to ztunnel
    #[arg(
        long,
        env = "INPOD_UDS",
        value_name = "PATH",
        default_value = "/var/run/ztunnel/ztunnel.sock"
    )]
    pub ztunnel_socket: PathBuf,

    /// Address of the control plane, [https://]host:port
    #[arg(
        long,
        env = "XDS_ADDRESS",
        value_name = "ADDRESS",
        default_value = "istiod.istio-system.svc:15012"
    )]
    pub control_plane: Address,

    /// Roots that the control plane's certificate is checked against: a file, PEM text or SYSTEM
    #[arg(
        long,
        env = "XDS_ROOT_CA",
        value_name = "ROOTS",
        default_value = "./var/run/secrets/istio/root-cert.pem"
    )]
    pub root_ca: String,

    /// Name in the control plane's certificate, when it is not the address's host
    #[arg(long, env = "ALT_XDS_HOSTNAME", value_name = "NAME")]
    pub server_name: Option<String>,

    /// This node's token: a file (read anew for each stream) or the token itself
    #[arg(
        long,
        env = "AUTH_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        default_value = "./var/run/secrets/tokens/istio-token"
    )]
    pub token: String,

    /// The cluster's name
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,

    /// Where /healthz and /readyz are served
    #[arg(
        long,
        env = "HEALTH_ADDRESS",
        value_name = "ADDRESS",
        default_value = "[::]:8000"
    )]
    pub health: SocketAddr,

    /// Where /metrics is served
    #[arg(
        long,
        env = "MONITORING_ADDRESS",
        value_name = "ADDRESS",
        default_value = "[::]:15014"
    )]
    pub monitoring: SocketAddr,

    /// Port of 127.0.0.1 where /pods, /connections, /registration and /logging are served
    #[arg(long, env = "ADMIN_PORT", value_name = "PORT", default_value_t = AGENT_ADMIN_PORT)]
    pub admin_port: u16,

    /// Address that probes of this node have towards pods, IPv4
    #[arg(long, env = "HOST_PROBE_SNAT_IP", value_name = "IP", default_value_t = ports::HOST_PROBE_V4)]
    pub probe_v4: Ipv4Addr,

    /// Address that probes of this node have towards pods, IPv6
    #[arg(long, env = "HOST_PROBE_SNAT_IPV6", value_name = "IP", default_value_t = ports::HOST_PROBE_V6)]
    pub probe_v6: Ipv6Addr,

    /// Whose DNS is captured; off where ztunnel's `ISTIO_META_DNS_CAPTURE` is false
    #[arg(long, env = "AMBIENT_DNS_CAPTURE", value_name = "WHOSE", default_value = "on")]
    pub dns_capture: DnsCaptureSetting,

    /// The nft program
    #[arg(long, env = "NFT_PATH", value_name = "PROGRAM", default_value = "nft")]
    pub nft: String,

    /// How long a starting pod waits for the control plane and ztunnel, in seconds
    #[arg(long, env = "ADD_DEADLINE_SECONDS", value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub add_deadline: u64,

    /// How often rules are compared with what is wanted, in seconds
    #[arg(long, env = "AUDIT_INTERVAL_SECONDS", value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub audit_interval: u64,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a comment here would stand in the help in place of the program's own"
    )]
    pub host: HostConfig,

    #[command(flatten)]
    #[expect(
        missing_docs,
        reason = "a comment here would stand in the help in place of the program's own"
    )]
    pub cluster: ClusterConfig,

    /// Log filter, in the syntax of RUST_LOG
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Log format
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "plain")]
    pub log_format: LogFormatSetting,
}

/// Who says which pods belong to the mesh.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum MembershipSetting {
    /// The control plane, which is told in return what became of them
    Registration,
    /// The API server: labels of pods and namespaces; what became of a pod stands in its annotations. Any control
    /// plane that reads those will do
    Kubernetes,
}

/// Whose DNS is captured.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DnsCaptureSetting {
    /// Nobody's
    Off,
    /// That of pods whose annotation asks for it; upstream's false
    #[value(alias = "false")]
    OnRequest,
    /// Everybody's but that of pods whose annotation refuses it; upstream's true
    #[value(alias = "true")]
    On,
}

/// How a line of the log is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormatSetting {
    /// For people
    Plain,
    /// One JSON object a line
    Json,
}

/// Where the agent's pages for its own machine are, on 127.0.0.1.
pub const AGENT_ADMIN_PORT: u16 = 15010;

impl Config {
    /// The plugin's socket.
    #[must_use]
    pub fn event_socket(&self) -> PathBuf {
        self.event_socket
            .clone()
            .unwrap_or_else(|| self.run_dir.join("pluginevent.sock"))
    }

    /// The state file.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.state_file
            .clone()
            .unwrap_or_else(|| self.run_dir.join("pods.json"))
    }

    /// How long an ADD may take.
    #[must_use]
    pub fn add_deadline(&self) -> Duration {
        Duration::from_secs(self.add_deadline)
    }

    /// How long between two audits.
    #[must_use]
    pub fn audit_interval(&self) -> Duration {
        Duration::from_secs(self.audit_interval)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it was told to stop, and has drained
  1  it could not start, or a part of it that may not end has ended; the last line says why
  2  the command line is wrong";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Config;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Config::command().debug_assert();
    }
}
