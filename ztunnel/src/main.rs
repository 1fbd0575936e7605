//! The binary: arguments, then [`ztunnel::app`].

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ztunnel::admin::BUILD;

/// The node proxy of Lateen: mutual TLS and L4 policy for every pod of a node.
///
/// Everything is configured by environment variables, which are those of Istio's ztunnel.
#[derive(Debug, Parser)]
#[command(name = "ztunnel", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the pods of this node (the default)
    Proxy {
        /// What kind of proxy; Istio's manifests say it (`proxy ztunnel`)
        kind: Option<ProxyKind>,
    },
    /// Print what was built, as JSON
    Version,
}

/// There is one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProxyKind {
    Ztunnel,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        None | Some(Command::Proxy { .. }) => ztunnel::app::run(),
        Some(Command::Version) => {
            println!("{}", serde_json::json!(BUILD));
            ExitCode::SUCCESS
        }
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  it was told to stop, and has drained
  1  it could not start, or a part of it that may not end has ended; the last line says why
  2  the command line is wrong";

#[cfg(test)]
mod tests;
