//! The control plane: discovers, validates, distributes configuration and issues certificates.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use controlplane::args::{Command, CommandLine};
use controlplane::{app, mesh_test, unenroll, waypoints};
use mimalloc::MiMalloc;

/// Objects come large and are kept small, ten thousand at a time: what is kept must not hold the pages of what is not.
/// `docs/performance.md` has what this gives over the C library's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let result = match (line.command, line.serve) {
        (Some(Command::Token(args)), _) => app::print_token(&args),
        (Some(Command::Waypoint(args)), _) => waypoints::print(&args),
        (Some(Command::Ratelimit(args)), _) => controlplane_ratelimit::app::run(&args),
        (Some(Command::Unenroll(args)), _) => unenroll::run(&args),
        (Some(Command::MeshTest(command)), _) => mesh_test::run(&command),
        (Some(Command::Serve(args)), _) => app::serve(&args),
        (None, Some(args)) => app::serve(&args),
        (None, None) => {
            let error = clap::error::ErrorKind::MissingRequiredArgument;
            CommandLine::command()
                .error(error, "--config-dir and --state-dir are needed")
                .exit()
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("lateen-controlplane: {}", one_line(&e));
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes; a cause that its effect quotes already is not said twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.ends_with(&cause) {
            let colon = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{colon}{cause}");
        }
    }
    line
}
