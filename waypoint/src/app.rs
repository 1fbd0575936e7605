//! Wires everything together: the life of the process, from the environment to the last drained connection.

mod binds;
mod control;
mod servers;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_net::process::{keep_freed_memory, raise_nofile_limit, release_file_pages};
use mesh_runtime::drain::{self, DrainMode};
use mesh_runtime::env::ProcessEnv;
use mesh_runtime::logging::{self, LogControl};
use mesh_runtime::metrics;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::signals::{StopSignals, UserSignal};
use mesh_runtime::supervise::supervisor;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use crate::admin::{self, BUILD};
use crate::config::{self, Config};
use crate::telemetry::Telemetry;
use control::Control;
use mesh_telemetry::trace::span::Reporter;

/// Runs the proxy until it is told to stop. What goes wrong is said on standard error.
#[must_use]
pub fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lateen-waypoint: {error:#}");
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
        gateway = %read.config.node.gateway,
        identity = %read.config.node.identity,
        "waypoint starts"
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
    let telemetry = Telemetry::new(&registry, &tasks).reported_by(reporter(&config));
    telemetry.start(&tasks);
    let mut rotated = UserSignal::install().context("signal handlers")?;
    let reopened = telemetry.clone();
    tasks.spawn("log rotation", async move {
        while rotated.recv().await.is_some() {
            reopened.reopen();
        }
    });
    let readiness = Readiness::new();
    let (pages_drain, pages_watcher) = drain::channel();

    let control = Control::start(&config, &tasks, &telemetry, &readiness)?;
    let pages = admin::routes(control.shown(&config), stop.request())
        .merge(log.routes())
        .with_index();
    servers::start(&tasks, &pages_watcher, config.pages, pages, &registry, &readiness)?;
    drop(pages_watcher);
    let stopping = readiness.clone();

    tasks.spawn_local("memory of the start", forget_start(control.synced()));
    let (stop_binds, binds_stopped) = control.serve_binds(&config, &tasks, &readiness);
    let ended = tokio::select! {
        reason = stop.wait() => {
            tracing::info!(%reason, deadline = ?config.drain, "draining");
            Ok(())
        }
        failure = failures.next() => Err(failure),
    };
    // Whoever still asks is told to go elsewhere.
    let _unready = stopping.block("draining");
    tasks.stopping();
    // The task is gone already only if it failed.
    let _ = stop_binds.send(());
    tokio::select! {
        waited = tokio::time::timeout(config.drain + drain::CUT_GRACE * 2, binds_stopped) => if waited.is_err() {
            tracing::warn!("the drain did not end in time");
        },
        failure = failures.next() => tracing::warn!(%failure, "while draining"),
    }
    pages_drain.drain(DrainMode::Immediate, Duration::ZERO).await;
    if !telemetry.close(FLUSH).await {
        tracing::warn!("not everything was told in time");
    }
    tracing::info!("waypoint ends");
    ended.map_err(anyhow::Error::from)
}

/// What only the start needed of the program is not kept in memory: about a third of what is resident at rest.
async fn forget_start(mut synced: watch::Receiver<bool>) {
    if synced.wait_for(|synced| *synced).await.is_err() {
        return;
    }
    tokio::time::sleep(STARTED).await;
    match release_file_pages() {
        Ok(bytes) => tracing::debug!(bytes, "the pages of the start are let go"),
        Err(error) => tracing::debug!(%error, "the pages of the start stay in memory"),
    }
}

/// Who tells, for collectors of traces and logs.
fn reporter(config: &Config) -> Reporter {
    let node = &config.node;
    let gateway = &node.gateway;
    let address = node.instance_ip.map_or_else(String::new, |ip| ip.to_string());
    Reporter {
        node: format!(
            "waypoint~{address}~{}.{}~{}.svc.{}",
            node.pod_name, node.pod_namespace, node.pod_namespace, node.domain
        )
        .into(),
        canonical_service: gateway.name.clone(),
        canonical_revision: "latest".into(),
        namespace: gateway.namespace.clone(),
        cluster: node.cluster_id.clone(),
        mesh: node.identity.trust_domain().as_str().into(),
    }
}

/// How long the last lines of access logs and the last spans may take.
const FLUSH: Duration = Duration::from_secs(2);
/// For each thread, as ztunnel.
const KEPT_MEMORY: i32 = 4 << 20;
/// After the first configuration: certificates, ports and the first connections to endpoints.
const STARTED: Duration = Duration::from_secs(1);
