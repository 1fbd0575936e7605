//! Wiring: what is made in which order, which tasks run, how they end.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mesh_certs::client::CaClientSettings;
use mesh_certs::{CaClient, CertManager, WallClock};
use mesh_dataplane::bootstrap::{Server as ControlPlane, connect};
use mesh_dataplane::identities::Patient;
use mesh_grpc::TokenSource;
use mesh_hbone::{HboneOptions, Pool, ReceiveBudget};
use mesh_net::{ListenOptions, listen};
use mesh_quota::Shards;
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::drain::{self, DrainMode, DrainWatcher};
use mesh_runtime::logging::{self, LogControl, LogFormat};
use mesh_runtime::metrics as registry;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::signals::StopSignals;
use mesh_runtime::supervise::{Tasks, supervisor};
use mesh_tls::TlsSettings;
use mesh_tls::service::RootSource;
use mesh_types::Identity;
use mesh_xds::{ClientConfig, NodeInfo, TypeUrl};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;

use crate::args::RateLimitArgs;
use crate::clock::Clock;
use crate::limits::Board;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::pages;
use crate::peers::{Connections, Shard};
use crate::serve::Server;
use crate::service::Service;
use crate::store::Store;
use crate::writer::Writer;

/// Runs one shard until it is told to stop.
///
/// # Errors
/// Fails when it cannot start, or when a task of it fails; the text says why in one line.
pub fn run(args: &RateLimitArgs) -> Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let format = match std::env::var("LOG_FORMAT") {
        Ok(text) => text.parse().map_err(|e| anyhow!("LOG_FORMAT {text:?} {e}"))?,
        Err(_) => LogFormat::Plain,
    };
    let (log, _guard) = logging::init(&filter, format)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    runtime.context("runtime")?.block_on(live(args, &log))
}

async fn live(args: &RateLimitArgs, log: &LogControl) -> Result<()> {
    let mut stop = StopSignals::install().context("signals")?;
    let (tasks, mut failures) = supervisor();
    let (drain, drained) = drain::channel();
    let (pages, pages_shown) = drain::channel();
    let clock = Clock::system();
    let registry = registry::registry("ratelimit", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::new(&registry);
    let readiness = Readiness::new();
    let (store, written) = open(args, &tasks, &clock, &metrics)?;
    let board = Board::default();
    let certs = start_certificates(args, &tasks)?;
    let shown = pages::routes(&store, &board, &clock)
        .merge(mesh_dataplane::certificates::routes(certs.clone()))
        .merge(log.routes())
        .with_index();
    serve_pages(args, &tasks, &pages_shown, shown, &registry, &readiness)?;
    drop(pages_shown);
    let running = start(
        args,
        &tasks,
        &readiness,
        drained,
        certs,
        store.clone(),
        board,
        metrics,
        clock,
    );
    let failure = tokio::select! {
        started = running => match started {
            Err(error) => Some(error),
            Ok(()) => tokio::select! {
                reason = stop.wait() => {
                    tracing::info!("stopping: {reason}");
                    None
                }
                failure = failures.next() => Some(failure.into()),
            },
        },
        reason = stop.wait() => {
            tracing::info!("stopping: {reason}");
            None
        }
        failure = failures.next() => Some(failure.into()),
    };
    let _unready = readiness.block("draining");
    tasks.stopping();
    drain.drain(DrainMode::Graceful, DRAIN).await;
    store.stop();
    // It ends with its last write; what it could not write, it has said.
    let _ = tokio::task::spawn_blocking(move || written.join()).await;
    pages.drain(DrainMode::Immediate, Duration::ZERO).await;
    failure.map_or(Ok(()), Err)
}

/// Reads the log, and starts the thread that writes it.
fn open(
    args: &RateLimitArgs,
    tasks: &Tasks,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Store, std::thread::JoinHandle<()>)> {
    let (log, counters, recovered) = Log::open(&args.data_dir, args.counters, clock.now())?;
    metrics.damaged(recovered.damaged);
    metrics.log_bytes(log.bytes());
    if recovered.damaged > 0 {
        tracing::warn!(
            bytes = recovered.damaged,
            "part of the log was no records: torn by a crash, or damaged"
        );
    }
    tracing::info!(
        records = recovered.records,
        counters = counters.len(),
        "counts read"
    );
    let (store, writer) = Writer::new(log, counters, clock.clone(), metrics.clone());
    let thread = tasks.critical_thread("log of counts", move || writer.run());
    Ok((store, thread.context("thread for the log")?))
}

#[expect(
    clippy::too_many_arguments,
    reason = "this is where everything is put together, once"
)]
async fn start(
    args: &RateLimitArgs,
    tasks: &Tasks,
    readiness: &Readiness,
    drained: DrainWatcher,
    certs: CertManager,
    store: Store,
    board: Board,
    metrics: Metrics,
    clock: Clock,
) -> Result<()> {
    let known = readiness.block("limits");
    let identity = Identity::new(
        args.trust_domain.clone(),
        args.namespace.as_str(),
        args.service_account.as_str(),
    )
    .context("service account")?;
    certs.warm(&identity);
    let certs = Patient::new(certs);
    let mut synced = start_xds(args, tasks, board.clone())?;
    let (shards, own) = shards(args)?;
    let names = Shards::new(shards.iter().map(|shard| shard.name.clone()));
    let names = names.context("--shards names a shard twice")?;
    tracing::info!(shards = ?names.names(), own, %identity, "starting");
    let spawner = tasks.clone();
    let options = HboneOptions::default();
    let pool = Pool::new(
        certs.clone(),
        Rc::new(options.clone()),
        ReceiveBudget::default(),
        move |name, task| drop(spawner.spawn_local(name, task)),
    );
    let own = names
        .names()
        .iter()
        .position(|name| *name == args.shard)
        .unwrap_or_default();
    let peers = Connections::new(
        shards,
        pool,
        identity.clone(),
        args.address,
        args.port,
        tasks.clone(),
    );
    count_counters(tasks, &store, &metrics);
    let service = Service {
        board,
        store,
        shards: names,
        own,
        peers,
        metrics,
        clock: clock.clone(),
    };
    let server = Rc::new(Server {
        service: Rc::new(service),
        certs,
        identity,
        port: args.port,
        tasks: tasks.clone(),
        options,
        budget: ReceiveBudget::default(),
    });
    // Nobody is answered of what was not told yet, nor twice in a second that a process before this one has counted.
    let _ = synced.wait_for(|synced| *synced).await;
    tokio::time::sleep(clock.to_next_second()).await;
    let listener = bind(args.listen, "HBONE")?;
    tracing::info!(address = %args.listen, "serving");
    tasks.critical_local("serve", server.run(listener, drained));
    known.ready();
    Ok(())
}

/// All shards, and this one's name; it is one of them.
fn shards(args: &RateLimitArgs) -> Result<(Vec<Shard>, &str)> {
    if args.shards.is_empty() {
        let alone = Shard {
            name: args.shard.clone(),
            host: args.address.to_string(),
            port: args.listen.port(),
        };
        return Ok((vec![alone], &args.shard));
    }
    match args.shards.iter().any(|shard| shard.name == args.shard) {
        true => Ok((args.shards.clone(), &args.shard)),
        false => bail!("--shard {} is none of --shards", args.shard),
    }
}

fn count_counters(tasks: &Tasks, store: &Store, metrics: &Metrics) {
    let (store, metrics) = (store.clone(), metrics.clone());
    tasks.spawn_local("number of counters", async move {
        loop {
            metrics.counters(store.len());
            tokio::time::sleep(COUNTED_EVERY).await;
        }
    });
}

fn control_plane(args: &RateLimitArgs) -> ControlPlane {
    ControlPlane {
        address: args.control_plane.clone(),
        roots: RootSource::from_setting(&args.root),
        alt_hostname: args.control_plane_name.clone(),
        headers: Vec::new(),
    }
}

fn start_certificates(args: &RateLimitArgs, tasks: &Tasks) -> Result<CertManager> {
    let token = TokenSource::parse(&args.token);
    let tls = TlsSettings::default();
    let channel = connect(&control_plane(args), token, &args.cluster_id, &tls).context("control plane")?;
    let settings = CaClientSettings {
        lifetime: CERTIFICATES,
        // Its token is its own.
        impersonate: false,
        tls,
    };
    let (manager, driver) = CertManager::new(CaClient::new(channel, settings), WallClock::system());
    tasks.critical("certificates", never_ends(driver));
    Ok(manager)
}

/// The service follows what is published for a gateway of its name.
fn start_xds(
    args: &RateLimitArgs,
    tasks: &Tasks,
    board: Board,
) -> Result<tokio::sync::watch::Receiver<bool>> {
    let token = TokenSource::parse(&args.token);
    let tls = TlsSettings::default();
    let channel = connect(&control_plane(args), token, &args.cluster_id, &tls).context("control plane")?;
    let node = NodeInfo::waypoint(
        Some(args.address),
        &args.pod,
        &args.namespace,
        &args.node,
        &args.service_account,
    );
    let node = node.described(env!("CARGO_PKG_VERSION"), &args.cluster_id);
    let types = vec![TypeUrl::QUOTA];
    let (handle, driver) = mesh_xds::client(&ClientConfig { node, types }, channel, board);
    tasks.critical("xds client", never_ends(driver));
    Ok(handle.ready())
}

async fn never_ends(driver: impl Future<Output = Infallible>) -> Result<(), Infallible> {
    match driver.await {}
}

fn serve_pages(
    args: &RateLimitArgs,
    tasks: &Tasks,
    drain: &DrainWatcher,
    pages: Routes,
    registry: &Registry,
    readiness: &Readiness,
) -> Result<()> {
    let serve = |name: &'static str, listener, routes| {
        let server = admin::serve(listener, routes, AdminLimits::default(), drain.clone());
        tasks.critical(name, server);
    };
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), args.admin);
    serve("admin", bind(local, "admin")?, pages);
    serve(
        "metrics",
        bind_any(args.stats, "metrics")?,
        registry::routes(registry),
    );
    serve(
        "readiness",
        bind_any(args.readiness, "readiness")?,
        readiness.routes(),
    );
    Ok(())
}

fn bind_any(port: u16, what: &str) -> Result<TcpListener> {
    bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), what)
}

/// On all addresses of both families, or of IPv4 where there is no other.
fn bind(address: SocketAddr, what: &str) -> Result<TcpListener> {
    let on = |address| listen(&ListenOptions::new(address)).and_then(TcpListener::from_std);
    let bound = on(address).or_else(|error| match address.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => {
            on(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        _ => Err(error),
    });
    bound.with_context(|| format!("{what} server on {address}"))
}

/// How long requests under way may take to finish at a stop.
const DRAIN: Duration = Duration::from_secs(2);
/// istiod's own longest lifetime.
const CERTIFICATES: Duration = Duration::from_secs(24 * 60 * 60);
const COUNTED_EVERY: Duration = Duration::from_secs(5);
