//! The commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::analyze::{Code, Level};
use crate::node::{Filter, What};
use crate::output::Format;

/// Lateen's command line: asks the mesh what it knows, and looks at what you wrote before you apply it.
#[derive(Debug, Parser)]
#[command(name = "lateen", version, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// How the answer is written.
    #[arg(long, short, value_enum, global = true, default_value_t)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print which version this is, and with `--remote` that of a part of the mesh.
    Version(VersionArgs),
    /// Look at each object of some files by itself: is it what its kind asks for?
    Validate(ValidateArgs),
    /// Look at all objects of some files together: does each do what its author meant?
    Analyze(AnalyzeArgs),
    /// Show how each proxy stands with the control plane: what it was sent, took and refused.
    Status(StatusArgs),
    /// Show what a node's proxy knows.
    Node(NodeArgs),
    /// Say what would become of a connection or a request, hop by hop, and which object says so.
    Explain(ExplainArgs),
    /// Print completions for a shell.
    Completion(CompletionArgs),
}

/// Whom to ask.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub struct ControlPlane {
    /// The control plane's monitoring port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:15014")]
    pub url: String,
    /// A page that was saved, instead; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Whom to ask.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub struct Proxy {
    /// The proxy's admin port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:15000")]
    pub url: String,
    /// A page that was saved, instead; `-` for standard input.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Which versions.
#[derive(Clone, Debug, Args)]
pub struct VersionArgs {
    /// Ask a proxy as well.
    #[arg(long)]
    pub remote: bool,
    /// Whom.
    #[command(flatten)]
    pub reach: Proxy,
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
pub struct AnalyzeArgs {
    /// A file of Kubernetes YAML, a directory of such files, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A message that is not shown, such as IST0127.
    #[arg(long, short = 'S', value_name = "CODE", value_delimiter = ',')]
    pub suppress: Vec<Code>,
    /// The least grave message that makes the command fail.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = Level::Error)]
    pub failure_threshold: Level,
    /// The namespace of mesh-wide policies.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub root_namespace: String,
}

/// Whom to ask.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Whom.
    #[command(flatten)]
    pub reach: ControlPlane,
}

/// What is asked of whom.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// What to show.
    #[arg(value_enum)]
    pub what: What,
    /// Which of them.
    #[command(flatten)]
    pub filter: Filter,
    /// Whom to ask.
    #[command(flatten)]
    pub reach: Proxy,
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
    /// The admin port of the ztunnel on the client's node.
    #[command(flatten)]
    pub reach: Proxy,
    /// The admin port of the destination's waypoint, to ask that as well.
    #[arg(long, value_name = "URL")]
    pub waypoint_url: Option<String>,
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
  3  somebody who had to be asked did not answer, or a file cannot be read";
