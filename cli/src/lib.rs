//! The command line of the mesh: asks its parts what they know, and looks at what its users wrote before they apply it.
//!
//! Each command is a question, a pure function from what was answered to a [`output::View`], and the one place that
//! prints. What a command prints for people is a table; what it prints for programs (`-o json`, `-o yaml`) is data, never
//! the table's text.
//!
//! # Layout
//! - [`args`]: the commands. [`exit`]: what the exit codes mean.
//! - [`ask`]: pages of the mesh's parts: through a cluster's API server, over HTTP, or from a file that was saved.
//! - [`files`]: YAML from files, folders and standard input.
//! - [`validate`]: each object by itself. [`analyze`]: all objects together (pure).
//! - [`explain`]: what would become of a connection or a request (pure).
//! - [`status`]: how the control plane's clients stand (pure). [`node`]: what a node's proxy knows (pure).
//! - [`install`]: installs, upgrades and removes the mesh, by helm.
//! - [`waypoint`]: makes, lists and deletes waypoints.
//! - [`output`]: tables, JSON and YAML.

pub mod analyze;
pub mod args;
pub mod ask;
pub mod exit;
pub mod explain;
pub mod files;
pub mod install;
pub mod node;
pub mod output;
pub mod status;
pub mod validate;
pub mod waypoint;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::CommandFactory as _;
use serde_json::json;

use args::{Cluster, Command, CommandLine, WaypointCommand};
use exit::{Done, Failure};
use install::{Target, Task};
use output::{Format, Table, View};
use waypoint::apply;

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(carry_out_in(command))
}

async fn carry_out_in(line: &CommandLine) -> Result<Done, Failure> {
    let (format, cluster) = (line.output, &line.cluster);
    match &line.command {
        Command::Version(args) => {
            let remote = match args.remote {
                true => Some(ask::dump(&args.place, cluster, None).await?["version"].take()),
                false => None,
            };
            version(remote).print(format)?;
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
            let page = ask::syncz(&args.place, cluster).await?;
            let status = status::Status::read(&page).map_err(Failure::answer)?;
            status.view().print(format)?;
            Ok(Done::unless(status.is_refused()))
        }
        Command::Node(args) => {
            let page = ask::dump(&args.place, cluster, args.node.as_deref()).await?;
            let dump = node::Dump::read(&page).map_err(Failure::answer)?;
            dump.view(args.what, &args.filter).print(format)?;
            Ok(Done::Good)
        }
        Command::Explain(args) => {
            let explained = ask::explain(args, cluster).await?;
            explained.view().print(format)?;
            Ok(Done::unless(explained.passes() == explain::Passes::No))
        }
        Command::Install(args) => installed(Task::Install(args), cluster),
        Command::Upgrade(args) => installed(Task::Upgrade(args), cluster),
        Command::Manifest(args) => installed(Task::Render(&args.release, &args.values), cluster),
        Command::Uninstall(args) => {
            let done = installed(Task::Uninstall(args), cluster)?;
            say(LEFT)?;
            Ok(done)
        }
        Command::Waypoint(what) => {
            waypoints(what, cluster, format).await?;
            Ok(Done::Good)
        }
        Command::Completion(args) => {
            let mut command = CommandLine::command();
            clap_complete::generate(args.shell, &mut command, "lateen", &mut io::stdout());
            Ok(Done::Good)
        }
    }
}

fn installed(task: Task<'_>, cluster: &Cluster) -> Result<Done, Failure> {
    let target = Target {
        system: &cluster.system,
        kubeconfig: cluster.kubeconfig.as_deref(),
        context: cluster.context.as_deref(),
    };
    install::run(task, &target)?;
    Ok(Done::Good)
}

/// What an installation leaves behind on purpose.
const LEFT: &str = "left in the cluster: CRDs and everything of their kinds, labels of namespaces, and the Secret \
                    istio-ca-secret, so that identities survive a new installation";

async fn waypoints(what: &WaypointCommand, cluster: &Cluster, format: Format) -> anyhow::Result<()> {
    if let WaypointCommand::Generate(args) = what {
        // It is meant for `kubectl apply -f -`, which reads no tables.
        let format = if format == Format::Table {
            Format::Yaml
        } else {
            format
        };
        return args.wanted(None).view().print(format);
    }
    let cluster = ask::cluster::Asked::connect(cluster).await?;
    let client = cluster.client();
    let own = client.default_namespace();
    match what {
        WaypointCommand::Generate(_) => {}
        WaypointCommand::Apply(args) => {
            let wanted = args.waypoint.wanted(Some(own));
            let namespace = wanted.namespace.as_deref().unwrap_or(own);
            apply::apply(client, &wanted, args.overwrite).await?;
            say(&format!("waypoint {namespace}/{} is applied", wanted.name))?;
            if args.wait {
                apply::wait(client, &wanted, Duration::from_secs(args.timeout)).await?;
                say(&format!("waypoint {namespace}/{} takes traffic", wanted.name))?;
            }
            // Bound before it takes traffic, the namespace would be refused until it does.
            if args.enroll_namespace {
                apply::enroll(client, namespace, &wanted.name).await?;
                say(&format!(
                    "namespace {namespace} is bound to waypoint {}",
                    wanted.name
                ))?;
            }
        }
        WaypointCommand::List(args) => {
            let namespace = args.namespace.as_deref().unwrap_or(own);
            let found = apply::list(client, Some(namespace).filter(|_| !args.all_namespaces)).await?;
            waypoint::view(&found).print(format)?;
        }
        WaypointCommand::Delete(args) => {
            let namespace = args.namespace.as_deref().unwrap_or(own);
            for name in apply::delete(client, namespace, &args.names).await? {
                say(&format!("waypoint {name} is deleted"))?;
            }
        }
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
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
