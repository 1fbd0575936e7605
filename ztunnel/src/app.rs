//! Wires everything together: the life of the process, from the environment to the last drained connection.

mod control;
mod servers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_dataplane::record::Traffic;
use mesh_net::process::{keep_freed_memory, raise_nofile_limit};
use mesh_runtime::drain::{self, DrainMode};
use mesh_runtime::env::ProcessEnv;
use mesh_runtime::logging::{self, LogControl};
use mesh_runtime::metrics;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::signals::StopSignals;
use mesh_runtime::supervise::{Failures, supervisor};
use tokio::runtime::LocalOptions;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::admin::{self, BUILD};
use crate::config::{self, Config};
use control::Control;

/// Runs the proxy until it is told to stop. What goes wrong is said on standard error.
#[must_use]
pub fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ztunnel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> anyhow::Result<()> {
    keep_freed_memory(KEPT_MEMORY);
    let read = config::read(&ProcessEnv).context("environment")?;
    let (log, _written_out) = logging::init(&read.config.log_filter, read.config.log_format)?;
    tracing::info!(
        version = BUILD.version,
        workers = read.config.worker_threads,
        "ztunnel starts"
    );
    for warning in &read.warnings {
        tracing::warn!("{warning}");
    }
    match raise_nofile_limit() {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("control runtime")?;
    let ended = runtime.block_on(live(Arc::new(read.config), log));
    if let Err(error) = &ended {
        tracing::error!("{error:#}");
    }
    ended
}

/// The control thread.
async fn live(config: Arc<Config>, log: LogControl) -> anyhow::Result<()> {
    let mut stop = StopSignals::install().context("signal handlers")?;
    let (tasks, mut failures) = supervisor();
    let registry = metrics::registry(BUILD.component, BUILD.version);
    let traffic = Traffic::new(&registry);
    let readiness = Readiness::new();
    let (servers_drain, servers_watcher) = drain::channel();

    let control = Control::start(&config, &tasks, &registry, &traffic, &readiness)?;
    let pages = admin::routes(control.shown(&config), stop.request())
        .merge(log.routes())
        .with_index();
    servers::start(&tasks, &servers_watcher, pages, &registry, &readiness)?;
    drop(servers_watcher);
    tasks.spawn("metrics eviction", evict(traffic));

    let (stop_pods, pods_stopped) = control.serve_pods(&config, &tasks, &readiness);
    let ended = tokio::select! {
        reason = stop.wait() => {
            tracing::info!(%reason, deadline = ?config.termination_deadline, "draining");
            Ok(())
        }
        failure = failures.next() => Err(failure),
    };
    tasks.stopping();
    drain_pods(&config, stop_pods, pods_stopped, &mut failures).await;
    servers_drain.drain(DrainMode::Immediate, Duration::ZERO).await;
    tracing::info!("ztunnel ends");
    ended.map_err(anyhow::Error::from)
}

async fn drain_pods(
    config: &Config,
    stop: oneshot::Sender<()>,
    stopped: oneshot::Receiver<()>,
    failures: &mut Failures,
) {
    // The manager is gone already only if it failed.
    let _ = stop.send(());
    let deadline = config.termination_deadline + drain::CUT_GRACE * 2;
    tokio::select! {
        waited = timeout(deadline, stopped) => if waited.is_err() {
            tracing::warn!("the drain did not end in time");
        },
        failure = failures.next() => tracing::warn!(%failure, "while draining"),
    }
}

/// Forgets traffic series that nothing was counted in for a while.
async fn evict(traffic: Traffic) {
    let mut ticks = interval_at(Instant::now() + EVICTION_INTERVAL, EVICTION_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let evicted = traffic.evict(Instant::now(), SERIES_TTL);
        if evicted > 0 {
            tracing::debug!(evicted, "traffic series without traffic were forgotten");
        }
    }
}

/// For each thread. Measured: with glibc's own 128 KiB a bulk transfer costs an eighth more CPU time, in page faults for
/// memory that was freed a moment before.
const KEPT_MEMORY: i32 = 4 << 20;
const EVICTION_INTERVAL: Duration = Duration::from_secs(60);
/// Longer than any scrape interval and than most rollouts, shorter than the life of a node.
const SERIES_TTL: Duration = Duration::from_secs(60 * 60);
