//! The commands. `meaning`: what their arguments come to, and which of them have nothing to do with each other (pure).

mod meaning;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::analyze::code::{Code, Level};
use crate::install::standing::DEFAULT_SYSTEM;
use crate::install::{Installation, Release, Removal, Values, VerifyArgs};
use crate::node::{Filter, What};
use crate::output::Format;
use crate::waypoint::Traffic;

/// Lateen's command line: asks the mesh what it knows, and looks at what you wrote before you apply it.
#[derive(Debug, Parser)]
#[command(name = "lateen", version, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// How the answer is written.
    #[arg(long, short, value_enum, global = true, default_value_t)]
    pub output: Format,
    /// The cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print which version this is, and beside it those of the control plane and of the proxies.
    Version(VersionArgs),
    /// Look at each object of some files by itself: is it what its kind asks for?
    Validate(ValidateArgs),
    /// Look at all objects of some files, or of a cluster, together: does each do what its author meant?
    Analyze(AnalyzeArgs),
    /// Show how each proxy stands with the control plane: what it was sent, took and refused.
    ///
    /// Exits with 1 where a proxy runs and is not connected, refuses something, has not answered for 10 s what it was sent (STALE
    /// for a moment is how every change goes), or has a certificate that has ended.
    Status(StatusArgs),
    /// Show what a node's proxy knows.
    Node(NodeArgs),
    /// Say what would become of a connection or a request, hop by hop, and which object says so.
    Explain(ExplainArgs),
    /// Look whether a cluster can take the mesh: versions, rights, other meshes, its network, its platform.
    Precheck(PrecheckArgs),
    /// Install the mesh into a cluster.
    Install(Installation),
    /// Bring an installed mesh to this version, or change its values.
    Upgrade(Installation),
    /// Remove the mesh; CRDs, what you wrote, and the root of its certificates stay, and are listed.
    Uninstall(Removal),
    /// Look whether what runs is what was installed, and works; before an installation, whether there can be one.
    VerifyInstall(VerifyArgs),
    /// Print what would be installed.
    Manifest(ManifestArgs),
    /// Say which policies decide about what comes to a pod, and where.
    #[command(subcommand)]
    Authz(AuthzCommand),
    /// Print a token of a service account, as proxies and agents show one to the control plane.
    Token(TokenArgs),
    /// Write down what is to be known of a mesh that is not well: objects, statuses, configurations, logs. No secrets.
    BugReport(BugReportArgs),
    /// Make, list and delete waypoints.
    #[command(subcommand)]
    Waypoint(WaypointCommand),
    /// Print completions for a shell.
    Completion(CompletionArgs),
}

/// The cluster, where a command asks one.
#[derive(Clone, Debug, Args)]
pub struct Cluster {
    /// How to reach the cluster [default: $KUBECONFIG, ~/.kube/config, or the pod's own account]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Which of its contexts.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace that the mesh itself runs in.
    #[arg(long, global = true, value_name = "NAMESPACE", default_value = DEFAULT_SYSTEM)]
    pub system: String,
}

/// A part of the mesh outside of a cluster, to be asked instead.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
pub struct Place {
    /// Ask what serves its pages here, such as http://127.0.0.1:15000, and no cluster.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Read a page that was saved, and ask nobody; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// A control plane outside of a cluster, of which more than one page is read.
#[derive(Clone, Debug, Default, Args)]
pub struct Elsewhere {
    /// Ask the control plane that serves its pages here, such as http://127.0.0.1:15014, and no cluster.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Which versions.
#[derive(Clone, Debug, Args)]
pub struct VersionArgs {
    /// Only this program's own version; nobody is asked.
    #[arg(long, conflicts_with = "remote")]
    pub client: bool,
    /// The mesh has to answer; otherwise a cluster that cannot be asked is no failure.
    #[arg(long)]
    pub remote: bool,
    /// A proxy or a control plane, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
}

/// What to look at.
#[derive(Clone, Debug, Args)]
pub struct ValidateArgs {
    /// A file of Kubernetes YAML, a directory of such files, or `-` for standard input.
    #[arg(long = "filename", short = 'f', value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
}

/// What to look at, and what to pass over.
#[derive(Clone, Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("sources").multiple(true))]
pub struct AnalyzeArgs {
    /// A file of Kubernetes YAML, a directory of such files, or `-` for standard input; the cluster where none is named.
    #[arg(value_name = "FILE", group = "sources")]
    pub files: Vec<PathBuf>,
    /// The same, as other commands name files.
    #[arg(long = "filename", short = 'f', value_name = "FILE", group = "sources")]
    pub named: Vec<PathBuf>,
    /// Look at the files as if they were in the cluster already.
    #[arg(long, requires = "sources")]
    pub use_cluster: bool,
    /// Only messages about objects of this namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// A message that is not shown, such as IST0127.
    #[arg(long, short = 'S', value_name = "CODE", value_delimiter = ',')]
    pub suppress: Vec<Code>,
    /// The least grave message that makes the command fail.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Error)]
    pub failure_threshold: Level,
    /// The namespace of mesh-wide policies [default: that of --system]
    #[arg(long, value_name = "NAMESPACE")]
    pub root_namespace: Option<String>,
    /// Further contexts of the kubeconfig, whose Services are compared with the cluster's.
    #[arg(long, value_name = "CONTEXT", value_delimiter = ',')]
    pub remote_contexts: Vec<String>,
}

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// The control plane, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
}

/// What is asked of whom.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// What to show.
    #[arg(value_enum)]
    pub what: What,
    /// The node whose ztunnel is asked [default: the first that has one; for the log, all].
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// With `log`: what to log from now on, such as debug or access=off,ztunnel=trace.
    #[arg(long, value_name = "FILTER")]
    pub level: Option<String>,
    /// With `log`: back to what it was started with.
    #[arg(long)]
    pub reset: bool,
    /// Which of them.
    #[command(flatten)]
    pub filter: Filter,
    /// The proxy, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
}

/// Who asks for what.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The client: its address, or <namespace>/<pod>.
    pub from: String,
    /// The destination, as the client dials it: <address>:<port> or <host>:<port>.
    pub to: String,
    /// The request's method; without it, it is about a connection.
    #[arg(requires = "path")]
    pub method: Option<String>,
    /// The request's path.
    pub path: Option<String>,
    /// A header of the request, `name:value`.
    #[arg(long = "header", short = 'H', value_name = "NAME:VALUE", requires = "path")]
    pub headers: Vec<String>,
    /// What the request's token says, a JSON object such as {"iss": "https://example.com"}; it is taken as verified.
    #[arg(long, value_name = "JSON", requires = "path", value_parser = claims)]
    pub claims: Option<String>,
    /// The ztunnel of the client's node, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
    /// A file, or a directory, with the PeerAuthentications, the destination's Pod and whatever binds it to a waypoint, where
    /// they are in no cluster.
    #[arg(long = "filename", short = 'f', value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The admin port of the destination's waypoint [default: in a cluster, its pod is asked]
    #[arg(long, value_name = "URL")]
    pub waypoint_url: Option<String>,
}

/// What the charts would be given.
#[derive(Clone, Debug, Args)]
pub struct PrecheckArgs {
    /// As which release.
    #[command(flatten)]
    pub release: Release,
    /// With which values.
    #[command(flatten)]
    pub values: Values,
}

/// What would be installed.
#[derive(Clone, Debug, Args)]
pub struct ManifestArgs {
    /// As which release.
    #[command(flatten)]
    pub release: Release,
    /// With which values.
    #[command(flatten)]
    pub values: Values,
}

/// What is asked about policies.
#[derive(Clone, Debug, Subcommand)]
pub enum AuthzCommand {
    /// List the policies that decide about what comes to a pod, and where each does.
    Check(AuthzArgs),
}

/// About whom.
#[derive(Clone, Debug, Args)]
pub struct AuthzArgs {
    /// The pod: <namespace>/<name>.
    pub pod: String,
    /// The ztunnel of its node, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
    /// The admin port of its waypoint [default: in a cluster, its pods are asked]
    #[arg(long, value_name = "URL")]
    pub waypoint_url: Option<String>,
}

/// Whose token.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The service account.
    #[arg(default_value = "default")]
    pub account: String,
    /// Its namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Whom it is meant for.
    #[arg(long, value_name = "AUDIENCE", default_value = "istio-ca")]
    pub audience: String,
    /// For how many seconds it is good; API servers give at least 600.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub duration: u64,
}

/// What is written down, and where.
#[derive(Clone, Debug, Args)]
pub struct BugReportArgs {
    /// The archive; made anew.
    #[arg(long, value_name = "FILE", default_value = "lateen-bug-report.tar.gz")]
    pub archive: PathBuf,
    /// How many seconds ago logs begin.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub since: u64,
    /// How many seconds ago logs end.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub until: u64,
    /// Which namespaces' objects, waypoints and messages, beside the mesh's own.
    #[command(flatten)]
    pub namespaces: Namespaces,
    /// As which release the mesh was installed.
    #[command(flatten)]
    pub release: Release,
}

/// Which namespaces.
#[derive(Clone, Debug, Default, Args)]
pub struct Namespaces {
    /// Only these namespaces, beside the mesh's own.
    #[arg(
        long = "namespace",
        short = 'n',
        value_name = "NAMESPACE",
        value_delimiter = ','
    )]
    pub included: Vec<String>,
    /// Not these namespaces; the mesh's own is always there.
    #[arg(long = "exclude-namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    pub excluded: Vec<String>,
}

/// What is done with waypoints.
#[derive(Clone, Debug, Subcommand)]
pub enum WaypointCommand {
    /// Print a waypoint's Gateway, ready for `kubectl apply -f -`.
    Generate(WaypointArgs),
    /// Make a waypoint, or change the one of this name.
    Apply(WaypointApplyArgs),
    /// Show the waypoints of a namespace, or of all.
    List(WaypointListArgs),
    /// Show how waypoints stand: their conditions, their proxies, and what the control plane told those.
    Status(WaypointNamesArgs),
    /// Show what a waypoint carries out: its routes, and the policies that are attached.
    Routes(WaypointRoutesArgs),
    /// Delete waypoints; what is bound to them is refused from then on, until it is bound elsewhere or to nothing.
    Delete(WaypointDeleteArgs),
}

/// A waypoint.
#[derive(Clone, Debug, Args)]
pub struct WaypointArgs {
    /// Its name.
    #[arg(long, default_value = "waypoint")]
    pub name: String,
    /// Its namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Whose traffic it takes.
    #[arg(long = "for", value_enum, value_name = "TRAFFIC")]
    pub traffic: Option<Traffic>,
    /// The revision of the control plane that serves it.
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
}

/// A waypoint, and what else is done.
#[derive(Clone, Debug, Args)]
pub struct WaypointApplyArgs {
    /// Which.
    #[command(flatten)]
    pub waypoint: WaypointArgs,
    /// Bind the whole namespace to it, as soon as it takes traffic.
    #[arg(long)]
    pub enroll_namespace: bool,
    /// Take fields over that somebody else has set, and a namespace that is bound to another waypoint.
    #[arg(long)]
    pub overwrite: bool,
    /// Wait until it takes traffic; what binds the namespace does so anyway.
    #[arg(long, short)]
    pub wait: bool,
    /// Bind the namespace at once: what is sent to it is refused until the waypoint takes traffic.
    #[arg(long, conflicts_with = "wait", requires = "enroll_namespace")]
    pub no_wait: bool,
    /// For how many seconds to wait.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 90,
        conflicts_with = "no_wait"
    )]
    pub timeout: u64,
}

/// Of which namespace.
#[derive(Clone, Debug, Args)]
pub struct WaypointListArgs {
    /// The namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// Every namespace; so it is with --url, where none is named.
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// A control plane outside of a cluster, to be asked instead.
    #[command(flatten)]
    pub elsewhere: Elsewhere,
}

/// Which.
#[derive(Clone, Debug, Args)]
pub struct WaypointNamesArgs {
    /// Their names; all of the namespace where none is named.
    pub names: Vec<String>,
    /// Their namespace; with --url every one, where none is named.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// A control plane outside of a cluster, to be asked instead.
    #[command(flatten)]
    pub elsewhere: Elsewhere,
}

/// Whose.
#[derive(Clone, Debug, Args)]
pub struct WaypointRoutesArgs {
    /// The waypoint's name.
    #[arg(default_value = "waypoint")]
    pub name: String,
    /// Its namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
    /// The proxy, where it is in no cluster.
    #[command(flatten)]
    pub place: Place,
}

/// Which.
#[derive(Clone, Debug, Args)]
pub struct WaypointDeleteArgs {
    /// Their names.
    #[arg(required = true)]
    pub names: Vec<String>,
    /// Their namespace.
    #[arg(long, short)]
    pub namespace: Option<String>,
}

/// For whom.
#[derive(Clone, Debug, Args)]
pub struct CompletionArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  what was asked for was done, and all is well
  1  what was asked for was done, and something is not well
  2  the command line is wrong
  3  it could not be done: somebody who had to be asked did not answer or refused, a file cannot be
     read, helm gave up, or somebody told us to stop";

/// Claims are an object; what else may be in it is for the waypoint to say.
fn claims(text: &str) -> Result<String, String> {
    let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    match read {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(format!("{why}; write a JSON object of the token's claims")),
    }
}
