//! The binary: arguments, then [`waypoint::app`].

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use waypoint::admin::BUILD;

/// A request takes and gives back dozens of small pieces of memory and a few larger ones, in bursts as long as there are
/// connections with something to read: `docs/performance.md` has what this gives over the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The waypoint of Lateen: L7 routing, resilience, policy and telemetry.
///
/// Everything is configured by environment variables, which are those of Istio's waypoint.
#[derive(Debug, Parser)]
#[command(name = "lateen-waypoint", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (the default)
    Proxy,
    /// Print what was built, as JSON
    Version,
}

fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::Proxy) {
        Command::Proxy => waypoint::app::run(),
        Command::Version => {
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
