//! A Kubernetes cluster of two nodes on this machine, for people to play with: `make cluster`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab::cluster::{Cluster, Tools, plan, tools};
use lab::world::{self, Rights, World};

/// Runs a real Kubernetes cluster of two nodes on this machine, in private namespaces of which nothing is left afterwards.
#[derive(Debug, Parser)]
#[command(name = "cluster", version)]
struct Arguments {
    /// The Go modules to build Kubernetes from.
    #[arg(long, value_name = "DIR", default_value = "tests/cluster")]
    sources: PathBuf,
    /// Where what is built from them is kept.
    #[arg(long, value_name = "DIR", default_value = "target/cluster")]
    tools: PathBuf,
    /// Build what a cluster needs, and end.
    #[arg(long)]
    build: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    if !tools::go_is_there() {
        bail!("Go is missing: the cluster's Kubernetes is built from its Go modules (https://go.dev/dl)");
    }
    // Before the private namespaces, from which no registry can be reached.
    let tools = Tools::build(&arguments.sources, &arguments.tools, |what| println!("== {what}"))?;
    if arguments.build {
        return Ok(());
    }
    let world = world::enter_world()?;
    if world.rights != Rights::Root {
        bail!("a cluster needs the machine's root: container runtimes and kubelets do");
    }
    world::end_at_signals(|code| code).context("signals cannot be handled")?;
    let cluster = Cluster::start(&tools)?;
    print!("{}", cluster.kubectl().run(&["get", "nodes", "-o", "wide"])?);
    say_how_to_look_around(&cluster, &tools, &world);
    loop {
        thread::park();
    }
}

fn say_how_to_look_around(cluster: &Cluster, tools: &Tools, world: &World) {
    let pid = world
        .outer_pid
        .map_or_else(|| "<process id>".to_owned(), |pid| pid.to_string());
    let enter = format!("nsenter --target {pid} --mount --net --pid --ipc --uts");
    let (kubectl, config) = (tools.path("kubectl"), cluster.kubectl().config().clone());
    println!("\nFrom another terminal, as root:");
    println!(
        "  {enter} env KUBECONFIG={} PATH={}:$PATH nsenter --net=/run/netns/cp bash",
        config.display(),
        kubectl.parent().unwrap_or(&kubectl).display()
    );
    println!(
        "There: kubectl get pods -A; names and addresses of pods and Services work too ({}).",
        plan::api_url()
    );
    println!("Logs: /proc/{pid}/root{}/logs", cluster.dir().display());
    println!("Ctrl-C here takes everything down.");
}
