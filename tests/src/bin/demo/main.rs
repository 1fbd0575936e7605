//! A mesh of two nodes on this machine, what it does, what happens when something about it changes, and what a waypoint
//! adds to it.
//!
//! # Layout
//! - this file: the command line, the order of things, the verdict.
//! - [`cast`]: the lab, its pods and the files that the control plane reads.
//! - [`needs`]: what the machine must have. [`programs`]: nginx, redis, postgres and the lab's own servers.
//! - [`flow`]: one program that calls another, and what it said.
//! - [`evidence`]: what the proxies' logs say of it; [`facts`]: the same as a row of a table.
//! - [`held`]: a connection that stays open; [`load`]: new ones all the time.
//! - [`traffic`]: act 1. [`changes`]: act 2, configuration. [`restarts`]: act 2, parts that restart under load.
//! - [`waypoint`]: act 3, rules about requests.
//! - [`screen`]: lines for people. [`keep`]: how to look around.

mod cast;
mod changes;
mod evidence;
mod facts;
mod flow;
mod held;
mod keep;
mod load;
mod needs;
mod programs;
mod restarts;
mod screen;
mod traffic;
mod waypoint;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use clap::Parser;
use lab::products::Products;
use lab::world::{self, World};
use tokio::time::Instant;

use cast::Cast;
use screen::{Findings, say};

/// Runs a two-node mesh with real programs on this machine, in private namespaces of which nothing is left afterwards.
#[derive(Parser)]
#[command(name = "demo", version)]
struct Args {
    /// The directory with the built products (default: where this program lies).
    #[arg(long, value_name = "DIR")]
    products: Option<PathBuf>,
    /// The directory with the YAML to run.
    #[arg(long, value_name = "DIR", default_value = "examples")]
    examples: PathBuf,
    /// Leave the mesh running at the end, say how to look around, and end with Ctrl-C.
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let world = match needs::check().and_then(|()| world::enter_world()) {
        Ok(world) => world,
        Err(e) => {
            eprintln!("demo: {e:#}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(e) = world::end_at_signals(farewell) {
        eprintln!("demo: signals cannot be handled: {e}");
        return ExitCode::FAILURE;
    }
    match run(&args, &world) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("demo: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, world: &World) -> Result<bool> {
    let products = match &args.products {
        Some(dir) => Products::in_dir(dir),
        None => Products::beside_me(),
    }?;
    let start = Instant::now();
    let mut cast = Cast::start(products, &args.examples, world.rights)?;
    let mut acts = vec![traffic::act(&cast)?];
    let mut second = changes::act(&mut cast)?;
    restarts::act(&mut cast, &mut second)?;
    acts.push(second);
    let (stage, third) = waypoint::act(&mut cast, &args.examples)?;
    acts.push(third);
    let good = verdict(&acts, &cast, start);
    if args.keep {
        KEEPING.store(true, Ordering::Relaxed);
        keep::print(&cast, &stage, world)?;
        loop {
            thread::park();
        }
    }
    Ok(good)
}

fn verdict(acts: &[Findings], cast: &Cast, start: Instant) -> bool {
    screen::heading("Summary");
    for act in acts {
        act.print();
    }
    for sentence in cast.left_out() {
        screen::note(&format!("Left out: {sentence}"));
    }
    screen::note(&format!(
        "All of it took {:.0} s. Everything ran in private namespaces; when this program ends, nothing of it is left.",
        start.elapsed().as_secs_f64()
    ));
    acts.iter().all(Findings::good)
}

/// Says goodbye; with Ctrl-C a mesh that is left running ends as it should.
fn farewell(code: i32) -> i32 {
    if KEEPING.load(Ordering::Relaxed) {
        say("\nThe mesh is taken down.");
        return 0;
    }
    say("\nInterrupted: the mesh is taken down.");
    code
}

static KEEPING: AtomicBool = AtomicBool::new(false);
