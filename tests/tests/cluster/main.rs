//! End-to-end tests on a real Kubernetes cluster, on which `lateen install` has put the mesh: charts, images and all.
//!
//! All tests share one cluster, one after the other, each with a namespace of its own. The arguments are libtest's:
//! `cargo test -p mesh-tests --test cluster [FILTER]... [-- --list]`. They need the machine's root, and Go, of whose modules
//! Kubernetes is built once; where either is missing, one line says what was left out.

mod catalogue;
mod command_line;
mod enrolment;
mod getting_started;
mod host;
mod mesh;
mod outages;
mod removal;
mod rights;
mod security;
mod traffic;
mod upgrade;
mod waypoint;
mod workloads;

use std::path::Path;
use std::process::ExitCode;

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

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let tests: Vec<Test> = [
        host::TESTS,
        enrolment::TESTS,
        security::TESTS,
        command_line::TESTS,
        workloads::TESTS,
        outages::TESTS,
        waypoint::TESTS,
        catalogue::TESTS,
        removal::TESTS,
        rights::TESTS,
        host::LAST,
        removal::BY_LATEEN,
        upgrade::LAST,
        removal::BY_HELM,
        getting_started::LAST,
    ]
    .concat();
    let chosen: Vec<_> = tests
        .into_iter()
        .filter(|t| filters.is_empty() || filters.iter().any(|f| t.name.contains(f.as_str())))
        .collect();
    if arguments.iter().any(|a| a == "--list") {
        chosen.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    let helm = find_helm();
    let no_helm = "they need Helm (scripts/setup.sh test)";
    if let Some(missing) = tools::missing().or_else(|| helm.is_none().then_some(no_helm)) {
        println!(
            "!! LEFT OUT: {} tests on a Kubernetes cluster: {missing}",
            chosen.len()
        );
        return ExitCode::SUCCESS;
    }
    match run(&chosen, filters.is_empty()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            println!("the cluster tests cannot run: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(tests: &[Test], are_all: bool) -> Result<bool> {
    let products = Products::beside_me()?;
    let tools = Tools::of_tests()?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster");
    let gateway_api = gateway_api::crds(&tools, &sources).context("Gateway API's CRDs")?;
    if world::enter()? != Rights::Root {
        println!(
            "!! LEFT OUT: {} tests on a Kubernetes cluster: they need the machine's root",
            tests.len()
        );
        return Ok(true);
    }
    world::end_at_signals(|code| code)?;
    println!("\nrunning {} tests", tests.len());
    let start = Instant::now();
    let mesh = Mesh::start(&tools, &products, gateway_api, are_all);
    let mut mesh = mesh.context("the mesh is not installed")?;
    println!("the mesh is installed ({:.1}s)", start.elapsed().as_secs_f64());
    let mut failures = Vec::new();
    for test in tests {
        let began = Instant::now();
        let result = (test.run)(&mut mesh);
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
    Ok(failures.is_empty())
}
