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
//! - [`precheck`]: whether a cluster can take the mesh (pure). [`verify`]: whether what runs is what was installed (pure).
//! - [`install`]: installs, upgrades and removes the mesh, by helm. [`leftovers`]: what stays behind.
//! - [`clock`]: times as parts of the mesh write them. [`check`]: what such looks found. [`objects`]: objects of any kind, rendered and live.
//! - [`waypoint`]: makes, lists, shows and deletes waypoints. [`authz`]: which policies decide about a pod (pure).
//! - [`token`]: tokens of service accounts. [`bug_report`]: what is to be known of a mesh that is not well, without secrets.
//! - [`version`]: what runs in which version (pure). [`metrics`]: what parts count (pure). [`output`]: tables, JSON and YAML.
//! - `tell`: progress, for people.

pub mod analyze;
pub mod args;
pub mod ask;
pub mod authz;
pub mod bug_report;
pub mod check;
pub mod clock;
pub mod exit;
pub mod explain;
pub mod files;
pub mod install;
pub mod leftovers;
pub mod metrics;
pub mod node;
pub mod objects;
pub mod output;
pub mod precheck;
pub mod status;
mod tell;
pub mod token;
pub mod validate;
pub mod verify;
pub mod version;
pub mod waypoint;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;

use analyze::Analysis;
use args::{AnalyzeArgs, AuthzCommand, Cluster, Command, CommandLine};
use ask::cluster::Asked;
use exit::{Done, Failure};
use install::{Target, Task, steps};
use node::What;
use objects::understood;
use output::Format;
use version::Versions;

/// Runs a command to its end; prints what it says, and one line on standard error where it failed.
#[must_use]
pub fn run(command: &CommandLine) -> ExitCode {
    match carry_out(command) {
        Ok(done) => done.into(),
        Err(failure) => {
            // Nobody is left to tell where this cannot be written.
            let _ = writeln!(io::stderr(), "lateen: {}", failure.line());
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
            let versions = match args.client {
                true => Versions::default(),
                false => match ask::versions(&args.place, cluster).await {
                    Err(why) if !args.remote && args.place.is_nowhere() => Versions::unknown(&why),
                    versions => versions?,
                },
            };
            versions.view().print(format)?;
            Ok(Done::Good)
        }
        Command::Validate(args) => {
            let found = written(&args.files)?;
            found.view().print(format)?;
            Ok(Done::unless(found.has_errors()))
        }
        Command::Analyze(args) => {
            let found = analyzed(args, cluster).await?.without(&args.suppress);
            let found = found.about(args.namespace.as_deref());
            found.view().print(format)?;
            Ok(Done::unless(found.reaches(args.failure_threshold)))
        }
        Command::Status(args) => {
            let status = ask::status(&args.place, cluster, now()).await?;
            status.view().print(format)?;
            Ok(Done::unless(!status.is_well()))
        }
        Command::Node(args) => {
            args.check().map_err(Failure::command_line)?;
            let view = match args.what {
                What::Log => node::logs(&ask::logging(args, cluster).await?),
                What::Connections => {
                    let (page, older) = ask::connections(args, cluster).await?;
                    let dump = node::Dump::read(&page).map_err(Failure::answer)?;
                    dump.with(older).view(args.what, &args.filter)
                }
                _ => {
                    let page = ask::dump(&args.place, cluster, args.node.as_deref()).await?;
                    let dump = node::Dump::read(&page).map_err(Failure::answer)?;
                    dump.view(args.what, &args.filter)
                }
            };
            view.print(format)?;
            Ok(Done::Good)
        }
        Command::Explain(args) => {
            let explained = ask::explain(args, cluster).await?;
            explained.view().print(format)?;
            Ok(Done::unless(*explained.passes() == explain::Passes::No))
        }
        Command::Precheck(args) => {
            let asked = Asked::connect(cluster).await?;
            steps::precheck(&asked, &args.release, &args.values, &target(cluster), format).await
        }
        Command::Install(args) => {
            steps::install(&Asked::connect(cluster).await?, args, &target(cluster), format).await
        }
        Command::Upgrade(args) => {
            steps::upgrade(&Asked::connect(cluster).await?, args, &target(cluster), format).await
        }
        Command::Manifest(args) => {
            install::helm::print(Task::Render(&args.release, &args.values), &target(cluster)).await?;
            Ok(Done::Good)
        }
        Command::Uninstall(args) => {
            let asked = Asked::connect(cluster).await?;
            steps::uninstall(&asked, &args.release, args.purge, &target(cluster), format).await
        }
        Command::VerifyInstall(args) => {
            steps::verify_install(&Asked::connect(cluster).await?, args, &target(cluster), format).await
        }
        Command::Waypoint(what) => waypoint::run::run(what, cluster, format).await,
        Command::Authz(AuthzCommand::Check(args)) => {
            let checked = ask::authorizations(args, cluster).await?;
            checked.view().print(format)?;
            Ok(Done::Good)
        }
        Command::Token(args) => {
            let asked = Asked::connect(cluster).await?;
            let token = token::request(asked.client(), args).await?;
            match format {
                // As it is handed on.
                Format::Table => say(token.text())?,
                format => token.view().print(format)?,
            }
            Ok(Done::Good)
        }
        Command::BugReport(args) => {
            args.check().map_err(Failure::command_line)?;
            let asked = Asked::connect(cluster).await?;
            bug_report::write(&asked, args, &target(cluster)).await?;
            Ok(Done::Good)
        }
        Command::Completion(args) => {
            let mut command = CommandLine::command();
            clap_complete::generate(args.shell, &mut command, "lateen", &mut io::stdout());
            Ok(Done::Good)
        }
    }
}

/// The objects of some files.
fn written(files: &[PathBuf]) -> anyhow::Result<validate::Validated> {
    let found = validate::validate(&files::read(files)?);
    if found.is_empty() {
        bail!("{}: there is no object in it", files::shown(files));
    }
    Ok(found)
}

async fn analyzed(args: &AnalyzeArgs, cluster: &Cluster) -> anyhow::Result<Analysis> {
    let config = args.config(&cluster.system);
    let files = args.sources();
    let mut objects = validate::Validated::default();
    if !files.is_empty() {
        objects = written(&files)?;
    }
    if !files.is_empty() && !args.use_cluster {
        return Ok(analyze::analyze(&objects, &config));
    }
    let asked = Asked::connect(cluster).await?;
    let objects = objects.over(understood::objects(asked.client()).await?);
    let own = cluster.context.as_deref().unwrap_or("this cluster");
    let mut clusters = vec![(own.to_owned(), analyze::contexts::services(&objects))];
    for context in &args.remote_contexts {
        let there = Cluster {
            context: Some(context.clone()),
            ..cluster.clone()
        };
        let there = Asked::connect(&there)
            .await
            .with_context(|| format!("context {context}"))?;
        clusters.push((context.clone(), analyze::cluster::services(there.client()).await?));
    }
    let mut found = analyze::analyze(&objects, &config);
    let seen = analyze::cluster::look(&asked).await?;
    found.add(analyze::live::judge(&seen, &objects, &config));
    found.add(analyze::contexts::compare(&clusters));
    Ok(found)
}

fn target(cluster: &Cluster) -> Target<'_> {
    Target {
        system: &cluster.system,
        kubeconfig: cluster.kubeconfig.as_deref(),
        context: cluster.context.as_deref(),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}
