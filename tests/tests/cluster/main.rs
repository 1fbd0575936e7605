//! End-to-end tests on a real Kubernetes cluster, on which `lateen install` has put the mesh: charts, images and all.
//!
//! All tests share one cluster, one after the other, each with a namespace of its own. The arguments are libtest's:
//! `cargo test -p mesh-tests --test cluster [FILTER]... [-- --list]`; `--soak MINUTES` runs some of them for that long instead. They need the machine's root, and Go, of whose modules
//! Kubernetes is built once (`LATEEN_KUBERNETES=1.32` for an older one); where either is missing, one line says what was left out. `scripts/tests.sh` runs them in a lane of
//! their own, and tells the lane of all others so (`LATEEN_CLUSTER_TESTS=beside`).

mod absence;
mod authority;
mod catalogue;
mod charts;
mod command_line;
mod diagnosis;
mod enrolment;
mod getting_started;
mod host;
mod mesh;
mod outages;
mod privileges;
mod removal;
mod revisions;
mod rights;
mod scope;
mod security;
mod soak;
mod traffic;
mod upgrade;
mod waypoint;
mod workloads;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::cluster::mesh::find_helm;
use lab::cluster::{Tools, gateway_api, tools};
use lab::products::Products;
use lab::world::{self, Rights};
use tokio::time::Instant;

use mesh::Mesh;

/// A test: a name that is a sentence, and what it does to the mesh.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Mesh) -> Result<()>,
}

/// What is asked for.
enum Job {
    /// These tests, and whether they are all that there are.
    Tests { tests: Vec<Test>, are_all: bool },
    /// Some of them again and again, for so long.
    Soak(Duration),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let job = match job(&arguments) {
        Ok(job) => job,
        Err(error) => {
            println!("{error:#}");
            return ExitCode::from(2);
        }
    };
    match &job {
        Job::Tests { tests, .. } if arguments.iter().any(|a| a == "--list") => {
            tests.iter().for_each(|t| println!("{}: test", t.name));
            return ExitCode::SUCCESS;
        }
        Job::Tests { tests, .. } if tests.is_empty() => return ExitCode::SUCCESS,
        Job::Tests { tests, .. }
            if std::env::var_os("LATEEN_CLUSTER_TESTS").is_some_and(|how| how == "beside") =>
        {
            println!("{} tests on a Kubernetes cluster run beside these", tests.len());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let helm = find_helm();
    let no_helm = "they need Helm (scripts/setup.sh test)";
    if let Some(missing) = tools::missing().or_else(|| helm.is_none().then_some(no_helm)) {
        return job.left_out(missing);
    }
    match run(&job) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            println!("the cluster tests cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn job(arguments: &[String]) -> Result<Job> {
    if let Some(at) = arguments.iter().position(|argument| argument == "--soak") {
        let minutes = arguments
            .get(at + 1)
            .and_then(|minutes| minutes.parse::<u64>().ok());
        let minutes = minutes.context("--soak asks for a number of minutes")?;
        return Ok(Job::Soak(Duration::from_secs(60 * minutes)));
    }
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let tests: Vec<Test> = [
        host::TESTS,
        enrolment::TESTS,
        security::TESTS,
        privileges::TESTS,
        command_line::TESTS,
        diagnosis::TESTS,
        workloads::TESTS,
        outages::TESTS,
        absence::TESTS,
        waypoint::TESTS,
        catalogue::TESTS,
        removal::TESTS,
        scope::TESTS,
        rights::TESTS,
        revisions::LAST,
        host::LAST,
        removal::BY_LATEEN,
        // The earlier version's proxies wait a minute for a root that is new.
        upgrade::LAST,
        authority::LAST,
        removal::BY_HELM,
        charts::LAST,
        getting_started::LAST,
    ]
    .concat();
    let chosen = tests.into_iter();
    let chosen = chosen.filter(|t| filters.is_empty() || filters.iter().any(|f| t.name.contains(f.as_str())));
    Ok(Job::Tests {
        tests: chosen.collect(),
        are_all: filters.is_empty(),
    })
}

impl Job {
    /// Says that it cannot be done here; for tests that is no failure.
    fn left_out(&self, missing: &str) -> ExitCode {
        match self {
            Self::Tests { tests, .. } => {
                println!(
                    "!! LEFT OUT: {} tests on a Kubernetes cluster: {missing}",
                    tests.len()
                );
                ExitCode::SUCCESS
            }
            Self::Soak(_) => {
                println!("no soak: {missing}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether all went well.
fn run(job: &Job) -> Result<bool> {
    let products = Products::beside_me()?;
    let tools = Tools::of_tests()?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
    let gateway_api = gateway_api::crds(&tools, &sources).context("Gateway API's CRDs")?;
    if world::enter()? != Rights::Root {
        return Ok(job.left_out("they need the machine's root") == ExitCode::SUCCESS);
    }
    world::end_at_signals(|code| code)?;
    let start = Instant::now();
    let are_all = matches!(job, Job::Tests { are_all: true, .. });
    let mesh = Mesh::start(&tools, &products, gateway_api, are_all);
    let mut mesh = mesh.context("the mesh is not installed")?;
    println!("\nthe mesh is installed ({:.1}s)", start.elapsed().as_secs_f64());
    match job {
        Job::Tests { tests, .. } => Ok(all_pass(&mut mesh, tests, start)),
        Job::Soak(length) => match soak::run(&mut mesh, *length) {
            Ok(()) => Ok(true),
            Err(error) => {
                println!("{error:#}\n{}", mesh.tell());
                Ok(false)
            }
        },
    }
}

fn all_pass(mesh: &mut Mesh, tests: &[Test], start: Instant) -> bool {
    println!("running {} tests", tests.len());
    let mut failures = Vec::new();
    for test in tests {
        let began = Instant::now();
        let result = (test.run)(mesh);
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!(
            "test {} ... {verdict} ({:.1}s)",
            test.name,
            began.elapsed().as_secs_f64()
        );
        if let Err(error) = result {
            println!("{error:#}\n{}", mesh.tell());
            failures.push(test.name);
        }
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; 0 ignored; 0 measured; 0 filtered out; finished in {:.2}s\n",
        tests.len() - failures.len(),
        failures.len(),
        start.elapsed().as_secs_f64(),
    );
    failures.is_empty()
}
