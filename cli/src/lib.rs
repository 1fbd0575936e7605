//! The command line of the mesh: asks its parts what they know, and looks at what its users wrote before they apply it.
//!
//! Each command is a question, a pure function from what was answered to a [`output::View`], and the one place that
//! prints. What a command prints for people is a table; what it prints for programs (`-o json`, `-o yaml`) is data, never
//! the table's text.
//!
//! # Layout
//! - [`args`]: the commands. [`exit`]: what the exit codes mean.
//! - [`ask`]: pages of the mesh's parts, over HTTP or from a file that was saved.
//! - [`files`]: YAML from files, folders and standard input.
//! - [`validate`]: each object by itself. [`analyze`]: all objects together (pure).
//! - [`explain`]: what would become of a connection or a request (pure).
//! - [`status`]: how the control plane's clients stand (pure). [`node`]: what a node's proxy knows (pure).
//! - [`output`]: tables, JSON and YAML.

pub mod analyze;
pub mod args;
pub mod ask;
pub mod exit;
pub mod explain;
pub mod files;
pub mod node;
pub mod output;
pub mod status;
pub mod validate;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::CommandFactory as _;
use serde_json::json;

use args::{Command, CommandLine};
use exit::{Done, Failure};
use output::{Table, View};

/// Runs a command to its end; prints what it says, and one line on standard error where it failed.
#[must_use]
pub fn run(command: &CommandLine) -> ExitCode {
    match carry_out(command) {
        Ok(done) => done.into(),
        Err(failure) => {
            // Nobody is left to tell where this cannot be written.
            let _ = writeln!(io::stderr(), "lateen: {failure:#}");
            failure.into()
        }
    }
}

fn carry_out(command: &CommandLine) -> Result<Done, Failure> {
    let format = command.output;
    match &command.command {
        Command::Version(args) => {
            let pages = args.remote.then(|| ask::version(&args.reach)).transpose()?;
            version(pages).print(format)?;
            Ok(Done::Good)
        }
        Command::Validate(args) => {
            let found = validate::validate(&files::read(&args.files)?);
            found.view().print(format)?;
            Ok(Done::unless(found.has_errors()))
        }
        Command::Analyze(args) => {
            let found = analyze::analyze(&files::read(&args.files)?, &args.config());
            let found = found.without(&args.suppress);
            found.view().print(format)?;
            Ok(Done::unless(found.reaches(args.failure_threshold)))
        }
        Command::Status(args) => {
            let page = ask::page(&args.reach, "/debug/syncz")?;
            let status = status::Status::read(&page).map_err(Failure::answer)?;
            status.view().print(format)?;
            Ok(Done::unless(status.is_refused()))
        }
        Command::Node(args) => {
            let page = ask::page(&args.reach, "/config_dump")?;
            let dump = node::Dump::read(&page).map_err(Failure::answer)?;
            dump.view(args.what, &args.filter).print(format)?;
            Ok(Done::Good)
        }
        Command::Explain(args) => {
            let explained = ask::explain(args)?;
            explained.view().print(format)?;
            Ok(Done::unless(explained.passes() == explain::Passes::No))
        }
        Command::Completion(args) => {
            let mut command = CommandLine::command();
            clap_complete::generate(args.shell, &mut command, "lateen", &mut io::stdout());
            Ok(Done::Good)
        }
    }
}

fn version(remote: Option<serde_json::Value>) -> View {
    let client = env!("CARGO_PKG_VERSION");
    let mut table = Table::new(["COMPONENT", "VERSION"]);
    table.row(["client".to_owned(), client.to_owned()]);
    let mut data = json!({ "client": client });
    if let Some(remote) = remote {
        let component = remote["component"].as_str().unwrap_or("unknown").to_owned();
        let version = remote["version"].as_str().unwrap_or("unknown").to_owned();
        table.row([component.clone(), version.clone()]);
        data[component] = version.into();
    }
    View { table, data }
}
