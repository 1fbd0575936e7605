//! The command line.

mod platform;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use controlplane_ca::caller::{ServiceAccount, is_name};
use controlplane_ca::token;
use controlplane_index::waypoint::deployment::Settings;
use controlplane_ratelimit::args::RateLimitArgs;
use mesh_kube::Access;
use mesh_runtime::env::parse_duration;
use mesh_types::{Strng, TrustDomain};

pub use platform::Platform;

/// Lateen's control plane: reads Kubernetes YAML, tells proxies over xDS, registers workloads, issues certificates.
#[derive(Debug, Parser)]
#[command(
    name = "lateen-controlplane",
    version,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct CommandLine {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// `serve`'s own.
    #[command(flatten)]
    pub serve: Option<ServeArgs>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the control plane (this is also what happens when no command is named).
    Serve(Box<ServeArgs>),
    /// Print a token for a service account on a node.
    Token(TokenArgs),
    /// Print what the waypoints among some Gateways become in a cluster: accounts, Deployments and Services.
    Waypoint(WaypointArgs),
    /// Run one shard of the mesh's own rate-limit service.
    Ratelimit(Box<RateLimitArgs>),
    /// Take every namespace and pod of a cluster out of the mesh, and wait until they are.
    Unenroll(UnenrollArgs),
    /// One end of the check that `helm test` runs.
    #[command(subcommand, hide = true)]
    MeshTest(MeshTestCommand),
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Directory of Kubernetes YAML files; watched.
    #[arg(
        long,
        env = "CONFIG_DIR",
        value_name = "DIR",
        required_unless_present = "source"
    )]
    pub config_dir: Option<PathBuf>,
    /// Where objects come from; with `kube`, those of --config-dir count beside the cluster's.
    #[arg(long, env = "CONFIG_SOURCE", value_enum)]
    pub source: Option<Source>,
    /// The cluster's kubeconfig [default: the pod's own access, else KUBECONFIG or ~/.kube/config].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// Where an operator's own authority is mounted: the files of Istio's Secret `cacerts`, or tls.crt, tls.key, ca.crt.
    #[arg(long, value_name = "DIR", default_value = "/etc/cacerts")]
    pub cacerts: PathBuf,
    /// Where a serving certificate of an operator's own is mounted: tls.crt, tls.key; without one, our own root signs one.
    #[arg(long, value_name = "DIR", default_value = "/var/run/secrets/istiod/tls")]
    pub serving_certificate: PathBuf,
    /// Whether Secrets are read, but for that of our own root: without a right to any there is nothing to ask for.
    #[arg(
        long,
        env = "READ_SECRETS",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new(),
        default_value_t = true,
        value_name = "BOOL"
    )]
    pub read_secrets: bool,
    /// Whether the root stands in a ClusterTrustBundle, too, where the API server has those.
    #[arg(
        long,
        env = "ENABLE_CLUSTER_TRUST_BUNDLE_API",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new(),
        default_value_t = true,
        value_name = "BOOL"
    )]
    pub cluster_trust_bundle: bool,
    /// The only namespaces whose Secrets are read, with a right in each of them [default: all, if a role lets it].
    #[arg(
        long,
        env = "SECRET_NAMESPACES",
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub secret_namespaces: Vec<String>,
    /// The control plane's own name: that of its Service and of its service account.
    #[arg(
        long,
        env = "CONTROL_PLANE_NAME",
        value_name = "NAME",
        default_value = "istiod"
    )]
    pub name: String,
    /// The pod that this process runs in, and its uid: with both, another replica takes over as soon as that pod is gone.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// See `--pod-name`.
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pub pod_uid: Option<String>,
    /// This control plane's revision: of configuration that names one in its label `istio.io/rev`, its own counts.
    #[arg(long, env = "REVISION", value_name = "NAME", default_value = "default")]
    pub revision: String,
    /// Directory for the root, the token key, last good configuration and registrations; made if it is missing.
    #[arg(long, env = "STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Where xDS, certificate signing and registration are served, over TLS.
    #[arg(long, value_name = "ADDR", default_value = "[::]:15012")]
    pub listen: SocketAddr,
    /// Where metrics and health are served; the debug pages are only shown to this machine.
    #[arg(long, value_name = "ADDR", default_value = "[::]:15014")]
    pub monitoring: SocketAddr,
    /// The trust domain of every identity.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: TrustDomain,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub domain: String,
    /// The cluster's name, first part of every workload's uid.
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// The namespace of mesh-wide policies, and of the control plane's own names.
    #[arg(
        long,
        env = "ROOT_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "istio-system"
    )]
    pub root_namespace: String,
    /// Service accounts of node proxies: they may ask for the identities of their node's workloads.
    #[arg(
        long = "trusted-node-account",
        env = "CA_TRUSTED_NODE_ACCOUNTS",
        value_name = "NS/NAME",
        value_delimiter = ',',
        default_value = "istio-system/ztunnel"
    )]
    pub trusted_node_accounts: Vec<ServiceAccount>,
    /// Service accounts of node agents: they may register their node's workloads.
    #[arg(
        long = "registration-account",
        env = "REGISTRATION_ACCOUNTS",
        value_name = "NS/NAME",
        value_delimiter = ',',
        default_value = "istio-system/istio-cni"
    )]
    pub registration_accounts: Vec<ServiceAccount>,
    /// Further names or addresses that the serving certificate carries.
    #[arg(
        long = "serving-name",
        env = "ISTIOD_CUSTOM_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub serving_names: Vec<String>,
    /// The image that waypoints run; without it nothing is made of Gateways.
    #[arg(long, env = "WAYPOINT_IMAGE", value_name = "IMAGE")]
    pub waypoint_image: Option<String>,
    /// When nodes fetch that image: Always, IfNotPresent or Never.
    #[arg(
        long,
        env = "WAYPOINT_IMAGE_PULL_POLICY",
        value_name = "POLICY",
        value_parser = ["", "Always", "IfNotPresent", "Never"]
    )]
    pub waypoint_image_pull_policy: Option<String>,
    /// Secrets with which nodes may fetch that image, in the namespace of each waypoint.
    #[arg(
        long = "waypoint-image-pull-secret",
        env = "WAYPOINT_IMAGE_PULL_SECRETS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub waypoint_image_pull_secrets: Vec<String>,
    /// What the cluster is, where that matters to waypoints: on OpenShift they name no user.
    #[arg(
        long,
        env = "WAYPOINT_PLATFORM",
        value_name = "PLATFORM",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub waypoint_platform: Platform,
    /// Where waypoints find the control plane [default: istiod.<root namespace>.svc:15012].
    #[arg(long, env = "WAYPOINT_CONTROL_PLANE", value_name = "HOST:PORT")]
    pub waypoint_control_plane: Option<String>,
    /// The network of waypoints whose Gateway names none.
    #[arg(long, env = "NETWORK", value_name = "NAME", default_value = "")]
    pub network: String,
    /// Have workloads behind a waypoint let in nobody else, but whom an ALLOW policy lets in.
    #[arg(
        long,
        env = "PILOT_AUTO_ALLOW_WAYPOINT_POLICY",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new(),
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        value_name = "BOOL"
    )]
    pub allow_from_waypoints: bool,
    /// Take a taint off nodes once the mesh's agent on them is ready.
    #[arg(
        long,
        env = "PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS",
        action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new(),
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        value_name = "BOOL"
    )]
    pub untaint_nodes: bool,
    /// The key of that taint.
    #[arg(
        long,
        env = "NODE_TAINT",
        value_name = "KEY",
        default_value = "cni.istio.io/not-ready"
    )]
    pub node_taint: String,
    /// What selects the agents' pods, in the root namespace.
    #[arg(
        long,
        env = "NODE_AGENTS",
        value_name = "SELECTOR",
        default_value = "k8s-app=istio-cni-node"
    )]
    pub node_agents: String,
    /// How long a node's workloads stay healthy without a word from its agent.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = lease)]
    pub lease: Duration,
    /// How long a replica in a cluster serves on at a stop, until the Service leads nobody to it any more.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub leave: Duration,
    /// How long requests under way may take to finish at a stop.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub grace: Duration,
}

/// Where objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// A directory of YAML files.
    Files,
    /// A cluster's API server.
    Kube,
}

impl ServeArgs {
    /// How the cluster is reached; nothing where it is no source.
    #[must_use]
    pub fn access(&self) -> Option<Access> {
        if self.source != Some(Source::Kube) {
            return None;
        }
        if self.kubeconfig.is_none() && self.kube_context.is_none() {
            return Some(Access::detect());
        }
        Some(Access::Kubeconfig {
            path: self.kubeconfig.clone(),
            context: self.kube_context.clone(),
        })
    }

    /// What is the same for every waypoint; nothing where none are to be made.
    #[must_use]
    pub fn waypoints(&self) -> Option<Settings> {
        let image = self.waypoint_image.as_deref().filter(|image| !image.is_empty())?;
        let policy = self.waypoint_image_pull_policy.as_deref();
        let control_plane = self.waypoint_control_plane.clone();
        let control_plane =
            control_plane.unwrap_or_else(|| format!("istiod.{}.svc:15012", self.root_namespace));
        Some(Settings {
            image: image.into(),
            image_pull_policy: policy.filter(|policy| !policy.is_empty()).map(Into::into),
            image_pull_secrets: names(&self.waypoint_image_pull_secrets),
            user: self.waypoint_platform.pod_user(),
            control_plane: control_plane.into(),
            cluster_id: self.cluster_id.as_str().into(),
            cluster_domain: self.domain.as_str().into(),
            trust_domain: self.trust_domain.clone(),
            network: self.network.as_str().into(),
            revision: self.revision.as_str().into(),
            ..Settings::default()
        })
    }
}

/// What the token says.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The control plane's state directory.
    #[arg(long, env = "STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,
    /// Whom the token speaks for.
    #[arg(long, value_name = "NS/NAME")]
    pub service_account: ServiceAccount,
    /// The one node that its bearer may act for.
    #[arg(long, value_name = "NODE", value_parser = node_name)]
    pub node: String,
    /// The pod that the token is bound to.
    #[arg(long, value_name = "NAME", value_parser = pod_name, requires = "pod_uid")]
    pub pod: Option<String>,
    /// That pod's uid.
    #[arg(long, value_name = "UID", requires = "pod")]
    pub pod_uid: Option<String>,
    /// How long the token is good for, such as 90s, 12h, 30d.
    #[arg(long, value_name = "DURATION", default_value = "12h", value_parser = token_ttl)]
    pub ttl: Duration,
}

/// Which waypoints, and what is the same for all of them.
#[derive(Clone, Debug, Args)]
pub struct WaypointArgs {
    /// A file with Gateways and their classes, a directory of such files, or `-` for standard input.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How they are written.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Manifest,
    /// The image that holds `lateen-waypoint` [default: lateen/waypoint:<this version>].
    #[arg(long, env = "WAYPOINT_IMAGE", value_name = "IMAGE")]
    pub image: Option<String>,
    /// When nodes fetch the image: Always, IfNotPresent or Never.
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub image_pull_policy: Option<String>,
    /// A Secret with which nodes may fetch the image; can be given more than once.
    #[arg(long = "image-pull-secret", value_name = "NAME", value_delimiter = ',')]
    pub image_pull_secrets: Vec<String>,
    /// What the cluster is: on OpenShift waypoints name no user.
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub platform: Platform,
    /// Where waypoints find the control plane.
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "istiod.istio-system.svc:15012"
    )]
    pub control_plane: String,
    /// The trust domain of every identity.
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: TrustDomain,
    /// The cluster's DNS domain.
    #[arg(long, default_value = "cluster.local")]
    pub domain: String,
    /// The cluster's name.
    #[arg(long, env = "CLUSTER_ID", default_value = "Kubernetes")]
    pub cluster_id: String,
    /// The network of waypoints whose Gateway names none.
    #[arg(long, default_value = "")]
    pub network: String,
    /// The control plane's revision.
    #[arg(long, default_value = "default")]
    pub revision: String,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub struct UnenrollArgs {
    /// How long agents may take to let go of all pods.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub patience: Duration,
}

/// One end of a check.
#[derive(Clone, Debug, Subcommand)]
pub enum MeshTestCommand {
    /// Say back what is said.
    Serve(MeshTestServeArgs),
    /// Say something, and hear whether it comes back.
    Dial(MeshTestDialArgs),
}

/// Where.
#[derive(Clone, Copy, Debug, Args)]
pub struct MeshTestServeArgs {
    /// The address.
    #[arg(long, value_name = "ADDR", default_value = "[::]:8080")]
    pub listen: SocketAddr,
}

/// To whom.
#[derive(Clone, Debug, Args)]
pub struct MeshTestDialArgs {
    /// The server.
    #[arg(value_name = "HOST:PORT")]
    pub to: String,
    /// It must not answer.
    #[arg(long)]
    pub refused: bool,
    /// How long to go on until it answers.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub patience: Duration,
}

/// How objects are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Manifest {
    /// YAML documents.
    #[default]
    Yaml,
    /// A `List` of objects.
    Json,
}

/// Of a list; an empty variable of the environment is a list of one empty name.
pub(crate) fn names(list: &[String]) -> Vec<Strng> {
    let named = list.iter().filter(|name| !name.is_empty());
    named.map(|name| name.as_str().into()).collect()
}

fn lease(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        lease if lease < Duration::from_secs(1) => Err("a lease is at least 1s".to_owned()),
        lease => Ok(lease),
    }
}

fn token_ttl(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        ttl if ttl < Duration::from_secs(1) || ttl > token::MAX_TTL => {
            Err("a token may live from 1s to 366d".to_owned())
        }
        ttl => Ok(ttl),
    }
}

fn node_name(text: &str) -> Result<String, &'static str> {
    let ok = is_name(text);
    ok.then(|| text.to_owned()).ok_or("is no node's name")
}

fn pod_name(text: &str) -> Result<String, &'static str> {
    let ok = is_name(text);
    ok.then(|| text.to_owned()).ok_or("is no pod's name")
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it was told to stop, and has drained; another command did what it was to do
  1  it could not start, or a part of it that may not end has ended; another command failed, and the last line says why
     (unenroll: a pod is still in the mesh after its patience)
  2  the command line is wrong";

#[cfg(test)]
mod tests;
