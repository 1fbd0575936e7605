//! The binary: arguments, then [`ztunnel::app`].

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ztunnel::admin::BUILD;

/// The node proxy of Lateen: mutual TLS and L4 policy for every pod of a node.
///
/// Everything is configured by environment variables, which are those of Istio's ztunnel.
#[derive(Debug, Parser)]
#[command(name = "ztunnel", version)]
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

#[cfg(test)]
mod tests;
