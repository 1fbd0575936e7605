//! `make bench`: what the mesh costs at layer 4, and what our waypoint costs at layer 7.
//!
//! # Layout
//! - this file, `measure`, `figures`, `report`: direct TCP, our ztunnel and, where one is named, another ztunnel.
//! - [`l7`]: our waypoint and, where there is one, Envoy.
//!
//! Layer 4: two nodes in namespaces; a client pod on one, a server pod on the other, generator, server and both proxies sharing
//! the machine's processors. Rounds alternate between the variants, and a figure is the median of its rounds, so that a
//! machine that changes its speed changes it for all. The other ztunnel runs in place of ours under the same control
//! plane, agent and CA, with the same environment: access log at info, as JSON; the same key exchange group.

mod figures;
mod l7;
mod measure;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use lab::lab::Options;
use lab::products::Products;
use lab::{Lab, world};

use figures::{Figures, Variant};
use report::Conditions;

/// Measures the mesh against direct TCP and another ztunnel, and the waypoint against Envoy.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    /// Directory of the products (release binaries)
    #[arg(long)]
    products: PathBuf,
    /// What is measured
    #[arg(long, value_enum, default_value_t = Part::All)]
    part: Part,
    /// Another ztunnel, measured beside ours
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Rounds; figures are medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each load
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only loads whose name contains this: throughput-1, throughput-8, requests-1, requests-64, connections, memory;
    /// of layer 7: http1, http2, hbone, memory, changes
    #[arg(long, default_value = "")]
    only: String,
    /// Where the figures of layer 4 go as JSON
    #[arg(long, default_value = "out/bench.json")]
    json: PathBuf,
    /// An Envoy, measured beside our waypoint; without it, the one of out/envoy or of the path
    #[arg(long)]
    envoy: Option<PathBuf>,
    /// Seconds of the load after which the proxies' memory is measured
    #[arg(long, default_value_t = 60.0)]
    memory_seconds: f64,
    /// Changes of one route among ten thousand
    #[arg(long, default_value_t = 300)]
    changes: usize,
    /// Where the figures of layer 7 go as JSON
    #[arg(long, default_value = "out/bench-l7.json")]
    json_l7: PathBuf,
}

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// ztunnel
    L4,
    /// The waypoint
    L7,
    /// Both
    All,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("bench: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    world::enter()?;
    if args.part != Part::L7 {
        layer_4(args)?;
    }
    if args.part != Part::L4 {
        layer_7(args)?;
    }
    Ok(())
}

fn layer_7(args: &Args) -> Result<()> {
    l7::run(&l7::Settings {
        products: &args.products,
        envoy: args.envoy.as_deref(),
        rounds: args.rounds,
        length: Duration::try_from_secs_f64(args.seconds).context("--seconds")?,
        memory_length: Duration::try_from_secs_f64(args.memory_seconds).context("--memory-seconds")?,
        changes: args.changes,
        only: &args.only,
        json: &args.json_l7,
    })
}

fn layer_4(args: &Args) -> Result<()> {
    let products = Products::in_dir(&args.products)?;
    let mut variants = vec![Variant::Direct, Variant::Ours];
    let peer = args
        .peer
        .as_ref()
        .map(|p| p.canonicalize().with_context(|| p.display().to_string()))
        .transpose()?;
    variants.extend(peer.map(Variant::Peer));

    println!("== Starting two nodes");
    let options = Options {
        ztunnel_env: BTreeMap::from([pinned_group()]),
        ..Options::default()
    };
    let mut lab = Lab::start(products, options)?;
    let bench = measure::Bench::prepare(&mut lab, args.seconds)?;
    let mut figures = Figures::default();
    for round in 0..args.rounds {
        // Each round begins with another variant, so that none always follows the same one.
        let first = round % variants.len();
        for variant in variants[first..].iter().chain(&variants[..first]) {
            println!("== Round {} of {}: {variant}", round + 1, args.rounds);
            measure::round(&mut lab, &bench, variant, &args.only, &mut figures)
                .with_context(|| format!("round {}, {variant}", round + 1))?;
        }
    }
    report::print(&figures, &variants);
    let conditions = Conditions {
        rounds: args.rounds,
        seconds: args.seconds,
        tls_group: TLS_GROUP,
    };
    report::write(&figures, &variants, &conditions, &args.json)
}

/// The key exchange is the same for all, whatever each product would choose by itself. Upstream has this one setting for
/// it, and ours means the same.
fn pinned_group() -> (String, String) {
    ("COMPLIANCE_POLICY".to_owned(), "pqc".to_owned())
}

/// What `COMPLIANCE_POLICY=pqc` stands for.
const TLS_GROUP: &str = "X25519MLKEM768";
