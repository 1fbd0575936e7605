//! The binary: arguments, then [`ztunnel::app`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
    Proxy,
    /// Print what was built, as JSON
    Version,
}

fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::Proxy) {
        Command::Proxy => ztunnel::app::run(),
        Command::Version => {
            println!("{}", serde_json::json!(BUILD));
            ExitCode::SUCCESS
        }
    }
}
