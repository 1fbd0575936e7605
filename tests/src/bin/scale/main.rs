//! `make scale`: what the control plane costs beside a large cluster, and how fast it tells of a change.
//!
//! A real API server and etcd; pods, Services and nodes as objects whose statuses are written as kubelets would, without
//! kubelets; the control plane as a process of its own; delta xDS streams as ztunnels open them, each with the token of a pod
//! of its own. Generator, streams, API server and control plane share the machine's processors.
//!
//! # Layout
//! - [`crowd`]: the cluster's objects, and their changes.
//! - [`plane`]: the control plane as a process, and what it costs.
//! - [`streams`]: who follows it.
//! - [`sheet`]: the figures, as a table and as JSON.

mod crowd;
mod plane;
mod sheet;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use lab::cluster::{self, Tools, tools};
use lab::world::{self, Rights};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crowd::{Crowd, Size};
use plane::{Plane, Usage};
use sheet::Sheet;
use streams::{Board, Streams};

/// Measures the control plane beside a cluster of thousands of pods.
#[derive(Debug, Parser)]
#[command(name = "scale", version)]
struct Args {
    /// Directory of the products (release binaries)
    #[arg(long)]
    products: PathBuf,
    /// The Go modules to build Kubernetes from
    #[arg(long, value_name = "DIR", default_value = "tests/cluster")]
    sources: PathBuf,
    /// Where what is built from them is kept
    #[arg(long, value_name = "DIR", default_value = "target/cluster")]
    tools: PathBuf,
    /// Pods of the cluster
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// Streams, each of another node
    #[arg(long, default_value_t = 20)]
    streams: usize,
    /// Pods whose readiness changes, one after the other
    #[arg(long, default_value_t = 500)]
    changes: usize,
    /// Changes in a second
    #[arg(long, default_value_t = 10)]
    rate: u32,
    /// Where the figures go as JSON
    #[arg(long, default_value = "out/scale.json")]
    json: PathBuf,
    /// Where the control plane's log goes when the run is over
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    ensure!(
        args.changes <= args.pods,
        "--changes: each is of a pod of its own"
    );
    if !tools::go_is_there() {
        bail!("Go is missing: the API server is built from its Go modules (https://go.dev/dl)");
    }
    // Before the private namespaces, from which no registry can be reached.
    let tools = Tools::build(&args.sources, &args.tools, |what| println!("== {what}"))?;
    let (program, json) = (
        args.products.join("lateen-controlplane").canonicalize(),
        std::path::absolute(&args.json)?,
    );
    let program = program.with_context(|| args.products.display().to_string())?;
    if world::enter()? != Rights::Root {
        bail!("an API server with a network of its own needs the machine's root");
    }
    world::end_at_signals(|code| code).context("signals cannot be handled")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let sheet = runtime.block_on(measure(args, &tools, &program))?;
    println!("\n{}", sheet.render());
    sheet.write(&json)
}

async fn measure(args: &Args, tools: &Tools, program: &std::path::Path) -> Result<Sheet> {
    println!("== Starting etcd and the API server");
    let mut api = cluster::control_plane_alone(tools)?;
    // No kubelet stands behind the nodes: their controllers would take all pods away.
    api.only_controllers("serviceaccount-controller,endpointslice-controller")?;
    let size = Size::of(args.pods, args.streams);
    println!("== Making {size}");
    let crowd = Crowd::make(api.kubectl().config(), size).await?;
    let tokens = (0..args.streams).map(|n| crowd::token(&api.kubectl(), n));
    let tokens: Vec<String> = tokens.collect::<Result<_>>()?;

    println!("== Starting the control plane");
    let began = Instant::now();
    let mut plane = Plane::start(program, api.kubectl().config())?;
    plane.wait_ready()?;
    let mut sheet = Sheet::new(size.to_string());
    sheet.told("from its start until it serves, s", began.elapsed().as_secs_f64());
    settle(&plane).await?;
    sheet.told("RSS without streams, MB", plane.usage()?.rss_mb);

    let board = Board::new(args.streams);
    println!("== Opening {} streams", args.streams);
    let began = Instant::now();
    let streams = Streams::open(&plane, tokens, &board)?;
    streams.all_hold_everything(args.pods).await?;
    sheet.within(
        format!("{} fresh streams hold everything, s", args.streams),
        began.elapsed().as_secs_f64(),
        FRESH_S,
    );
    settle(&plane).await?;

    println!("== {} changes, {} a second", args.changes, args.rate);
    let before = plane.usage()?;
    let began = Instant::now();
    change(args, &crowd, &board).await?;
    let delays = board.all_arrived(PATIENCE).await?;
    let (after, took) = (plane.usage()?, began.elapsed());
    plane.check()?;
    report(&mut sheet, args, &before, &after, took, delays);
    if let Some(log) = &args.log {
        std::fs::write(log, plane.log()).with_context(|| log.display().to_string())?;
    }
    Ok(sheet)
}

fn report(
    sheet: &mut Sheet,
    args: &Args,
    before: &Usage,
    after: &Usage,
    took: Duration,
    mut delays: Vec<Duration>,
) {
    delays.sort();
    let ms = |share: f64| sheet::quantile(&delays, share).as_secs_f64() * 1000.0;
    let what = "from a change's API request to the slowest stream";
    sheet.told(format!("{what}, p50, ms"), ms(0.5));
    sheet.within(format!("{what}, p99, ms"), ms(0.99), PROPAGATION_MS);
    sheet.told(format!("{what}, worst, ms"), ms(1.0));
    let each = (after.cpu - before.cpu).as_secs_f64() * 1000.0 / args.changes as f64;
    sheet.within("CPU time for each change, ms".to_owned(), each, CPU_MS);
    let share = (after.cpu - before.cpu).as_secs_f64() / took.as_secs_f64();
    sheet.told("share of a processor meanwhile", share);
    sheet.within(
        format!("RSS with {} streams, after all changes, MB", args.streams),
        after.rss_mb,
        RSS_MB,
    );
    sheet.told("largest RSS ever, MB", after.peak_mb);
}

/// Changes the readiness of one pod after the other.
async fn change(args: &Args, crowd: &Crowd, board: &Board) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1) / args.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Neighbours serve the same Service: the changes are spread over all of them.
    let stride = args.pods / args.changes;
    for number in 0..args.changes {
        ticks.tick().await;
        let pod = number * stride;
        board.expect(&crowd.resource(pod));
        crowd.make_unready(pod).await?;
    }
    Ok(())
}

/// Waits until the control plane has nothing to do.
async fn settle(plane: &Plane) -> Result<()> {
    let began = Instant::now();
    let mut before = plane.usage()?.cpu;
    loop {
        sleep(QUIET).await;
        let now = plane.usage()?.cpu;
        if now - before <= IDLE {
            return Ok(());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the control plane does not come to rest"
        );
        before = now;
    }
}

const PATIENCE: Duration = Duration::from_secs(120);
const QUIET: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_millis(40);
/// What is asked.
const RSS_MB: f64 = 107.0;
const PROPAGATION_MS: f64 = 100.0;
const CPU_MS: f64 = 4.0;
const FRESH_S: f64 = 2.0;
