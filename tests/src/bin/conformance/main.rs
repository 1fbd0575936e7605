//! Gateway API's conformance suite on a real cluster with the mesh: `make conformance`.
//!
//! Everything runs on this machine, in private namespaces of which nothing is left: Kubernetes, the mesh as `lateen install`
//! installs it, a waypoint before the suite's Services, and the suite itself beside the API server, from where it reaches
//! what it has to.
//!
//! # Layout
//! - this file: the order of things. [`mesh`]: the mesh and the waypoint. [`suite`]: what the suite is told, and what it says.

mod mesh;
mod suite;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab::cluster::mesh::{TAG, find_helm, images};
use lab::cluster::{Audit, Cluster, GatewayApi, Tools, tools};
use lab::products::Products;
use lab::world::{self, Rights, World};

use mesh::Mesh;
use suite::{Run, Verdict};

/// Runs Gateway API's conformance suite, profiles MESH-HTTP and MESH-GRPC, against the mesh on a cluster of this machine.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Arguments {
    /// The mesh's programs [default: those beside this one].
    #[arg(long, value_name = "DIR")]
    products: Option<PathBuf>,
    /// The Go modules to build Kubernetes and the suite from.
    #[arg(long, value_name = "DIR", default_value = "tests/cluster")]
    sources: PathBuf,
    /// Where what is built from them is kept.
    #[arg(long, value_name = "DIR", default_value = "target/cluster")]
    tools: PathBuf,
    /// Where the report and the logs go.
    #[arg(long, value_name = "DIR", default_value = "out/conformance")]
    out: PathBuf,
    /// Only this test of the suite, such as MeshFrontend; may be repeated. There is no verdict on the whole then.
    #[arg(long = "test", value_name = "NAME")]
    tests: Vec<String>,
    /// Build what is needed, and end.
    #[arg(long)]
    build: bool,
    /// Leave the cluster running afterwards, and say how to look around.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    if let Some(missing) = tools::missing() {
        bail!("the suite runs on a cluster of this machine, and cannot: {missing}");
    }
    // Before the private namespaces, from which no registry can be reached.
    let say: fn(&str) = |what| println!("== {what}");
    let tools = Tools::build(&arguments.sources, &arguments.tools, say)?;
    let api = GatewayApi::build(&tools, &arguments.sources, say)?;
    if arguments.build {
        return Ok(true);
    }
    let products = arguments.products.as_deref();
    let products = products.map_or_else(Products::beside_me, Products::in_dir)?;
    let helm = find_helm().context("Helm is missing: scripts/setup.sh cluster")?;
    fs::create_dir_all(&arguments.out).with_context(|| arguments.out.display().to_string())?;
    let out = arguments.out.canonicalize().context("directory of the report")?;
    let world = world::enter_world()?;
    if world.rights != Rights::Root {
        bail!("a cluster needs the machine's root: container runtimes and kubelets do");
    }
    world::end_at_signals(|code| code).context("signals cannot be handled")?;

    let images = images(&products, TAG)?;
    say("starting a cluster of two nodes");
    let cluster = Cluster::start(&tools, Audit::NotKept)?;
    api.apply_crds(&cluster)?;
    api.load_images(&cluster)?;
    say("installing the mesh");
    let mesh = Mesh::install(cluster, &products, &images, &helm)?;
    mesh.put_waypoint(suite::NAMESPACE)?;
    say("running the suite");
    let verdict = judge(&mesh, &api, &out, &arguments.tests);
    mesh.save_logs(&out);
    if arguments.keep {
        say_how_to_look_around(&mesh, &world);
        loop {
            thread::park();
        }
    }
    verdict
}

/// Runs all of the suite, or its chosen tests one after the other.
fn judge(mesh: &Mesh, api: &GatewayApi, out: &Path, tests: &[String]) -> Result<bool> {
    if tests.is_empty() {
        let verdict = Run::all(api.suite(), out).carry_out(mesh)?;
        println!("\n{verdict}");
        return Ok(verdict.is_conformant());
    }
    let run = |test: &String| Run::only(api.suite(), out, test).carry_out(mesh);
    let verdicts = tests.iter().map(run).collect::<Result<Vec<_>>>()?;
    Ok(verdicts.iter().all(Verdict::is_without_failure))
}

fn say_how_to_look_around(mesh: &Mesh, world: &World) {
    let pid = world
        .outer_pid
        .map_or_else(|| "<process id>".to_owned(), |pid| pid.to_string());
    let config = mesh.cluster().kubectl().config().clone();
    println!("\nFrom another terminal, as root; Ctrl-C here takes everything down:");
    println!(
        "  nsenter --target {pid} --mount --net --pid --ipc --uts env KUBECONFIG={} nsenter --net=/run/netns/cp bash",
        config.display()
    );
}
