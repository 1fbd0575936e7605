//! A Kubernetes cluster of two nodes on this machine, with the mesh and a small application on it, for people to play with:
//! `make cluster`.

mod measure;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lab::cluster::mesh::find_helm;
use lab::cluster::{Audit, Cluster, Lateen, Tools, gateway_api, mesh, plan, tools};
use lab::products::Products;
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
    /// Without the mesh and the application.
    #[arg(long)]
    bare: bool,
    /// Measure how long pods take into the mesh, print the figures, and end.
    #[arg(long, conflicts_with = "bare")]
    measure: bool,
    /// The mesh's programs [default: those beside this one].
    #[arg(long, value_name = "DIR")]
    products: Option<PathBuf>,
    /// A file of values for the charts.
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
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
    let gateway_api = gateway_api::crds(&tools, &arguments.sources)?;
    if arguments.build {
        return Ok(());
    }
    let world = world::enter_world()?;
    if world.rights != Rights::Root {
        bail!("a cluster needs the machine's root: container runtimes and kubelets do");
    }
    world::end_at_signals(|code| code).context("signals cannot be handled")?;
    let values = arguments.values.as_deref().map(std::fs::read_to_string);
    let values = values
        .transpose()
        .context("the file of values")?
        .unwrap_or_default();
    let cluster = match arguments.bare {
        true => Cluster::start(&tools, Audit::NotKept)?,
        false => with_the_mesh(&tools, arguments.products.as_deref(), &values)?,
    };
    // No chart brings them, and no network leads out to where they are.
    let definitions = gateway_api.display().to_string();
    let apply = ["apply", "--server-side", "-f", &definitions];
    cluster.kubectl().run(&apply).context("Gateway API's kinds")?;
    if arguments.measure {
        return measure::run(&cluster);
    }
    print!("{}", cluster.kubectl().run(&["get", "nodes", "-o", "wide"])?);
    say_how_to_look_around(&cluster, &tools, &world);
    if !arguments.bare {
        println!("{TRY}");
    }
    println!("Ctrl-C here takes everything down.");
    loop {
        thread::park();
    }
}

fn say_how_to_look_around(cluster: &Cluster, tools: &Tools, world: &World) {
    let pid = world
        .outer_pid
        .map_or_else(|| "<process id>".to_owned(), |pid| pid.to_string());
    let enter = format!("nsenter --target {pid} --mount --net --pid --ipc --uts");
    let config = cluster.kubectl().config().clone();
    println!("\nFrom another terminal, as root:");
    println!(
        "  {enter} env KUBECONFIG={} PATH={}:$PATH nsenter --net=/run/netns/cp bash",
        config.display(),
        programs(tools)
    );
    println!(
        "There: kubectl get pods -A; names and addresses of pods and Services work too ({}).",
        plan::api_url()
    );
    println!("Logs: /proc/{pid}/root{}/logs", cluster.dir().display());
}

/// What `lateen install` makes of a cluster, and two applications that know nothing of it.
fn with_the_mesh(tools: &Tools, products: Option<&Path>, values: &str) -> Result<Cluster> {
    let products = products.map_or_else(Products::beside_me, Products::in_dir)?;
    let helm = find_helm().context("Helm is missing: scripts/setup.sh cluster")?;
    println!("== making the images");
    let images = mesh::images(&products, mesh::TAG)?;
    println!("== starting the cluster");
    let cluster = Cluster::start(tools, Audit::NotKept)?;
    cluster.image("lab/app:1", &[(&products.path("lab-app"), "/lab-app")])?;
    for (name, image) in &images {
        cluster.load(name, image)?;
    }
    println!("== lateen install");
    Lateen::beside(&cluster, &products, &helm).install(values)?;
    let kubectl = cluster.kubectl();
    // Accounts of namespaces are made by a controller; what comes before them is taken the second time.
    lab::wait::until("the application is taken", STARTS, || kubectl.apply(SHOP).ok())?;
    for deployment in ["deployment/cart", "deployment/web"] {
        kubectl.run(&["-n", "shop", "rollout", "status", deployment, "--timeout=60s"])?;
    }
    Ok(cluster)
}

/// Directories of the programs that people want there.
fn programs(tools: &Tools) -> String {
    let me = env::current_exe().unwrap_or_default();
    let helm = find_helm().unwrap_or_default();
    let dirs = [tools.path("kubectl"), me, helm];
    let dirs = dirs.iter().filter_map(|program| program.parent());
    let dirs: Vec<_> = dirs.map(|dir: &Path| dir.display().to_string()).collect();
    dirs.join(":")
}

const STARTS: Duration = Duration::from_secs(60);
const SHOP: &str = include_str!("shop.yaml");
const TRY: &str = "
To try there:
  kubectl get pods -A -o wide
  kubectl -n istio-system logs -l app=ztunnel --tail=3         # nothing yet: shop is not in the mesh
  kubectl label namespace shop istio.io/dataplane-mode=ambient
  kubectl -n istio-system logs -l app=ztunnel --tail=3         # from now on web and cart by name, over mutual TLS
  lateen status
  lateen node workloads; lateen node certificates; lateen node connections
  kubectl -n street exec passer-by -- /lab-app send cart.shop:9000 --text hello      # in the clear, and answered
  kubectl apply -n shop -f - <<< '{apiVersion: security.istio.io/v1, kind: PeerAuthentication,
      metadata: {name: default}, spec: {mtls: {mode: STRICT}}}'
  kubectl -n street exec passer-by -- /lab-app send cart.shop:9000 --text hello      # refused
  web=$(kubectl -n shop get pods -l app=web -o jsonpath={.items[0].metadata.name})
  lateen explain shop/$web cart.shop.svc.cluster.local:9000
  lateen waypoint apply -n shop --enroll-namespace --wait
  kubectl apply -n shop -f - <<< '{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: no-admin},
      spec: {targetRefs: [{group: \"\", kind: Service, name: cart}], action: DENY,
             rules: [{to: [{operation: {paths: [/admin]}}]}]}}'
  lateen explain shop/$web cart.shop.svc.cluster.local:8080 GET /admin
  lateen uninstall
";
