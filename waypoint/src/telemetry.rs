//! Where requests and connections are reported: one [`Report`] each, when it is over. Metrics, access logs and traces are
//! made of it; nobody looks anything up again.
//!
//! # Layout
//! - this file: [`Telemetry`], what all workers share.
//! - `report`: [`Report`], one request or connection.
//! - [`reporting`]: [`Reporting`], what one worker tells: it counts, writes and queues, and never waits.
//! - `peer`: who the client is.
//! - `calls`: calls of gRPC that are open.
//! - `deliver`: collectors are reached as other services of the mesh are.

mod calls;
mod deliver;
mod peer;
mod report;
pub mod reporting;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mesh_runtime::supervise::Tasks;
use mesh_telemetry::export::Exported;
use mesh_telemetry::metrics::{Metrics, TICK};
use mesh_telemetry::sink::Files;
use mesh_telemetry::trace::span::Reporter;
use mesh_types::Peer;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::Level;

pub use calls::Call;
pub use report::{Report, RequestLine};
pub(crate) use reporting::Begun;
pub use reporting::Reporting;

/// What all workers share. Clones are the same.
#[derive(Clone)]
pub struct Telemetry {
    refused: IntCounterVec,
    on_trial: IntCounterVec,
    elsewhere: IntCounter,
    buffered: IntGauge,
    observer: Option<Observer>,
    metrics: Metrics,
    exported: Exported,
    files: Files,
    reporter: Arc<Reporter>,
    /// Set when nothing more comes; each worker follows it until it has handed over what it has.
    closing: Arc<watch::Sender<bool>>,
}

/// Sees every report.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

impl Telemetry {
    /// Counts into this registry; logs are written by threads of these tasks.
    ///
    /// # Panics
    /// When the registry has such metrics already.
    #[must_use]
    pub fn new(registry: &Registry, tasks: &Tasks) -> Self {
        let refused = IntCounterVec::new(
            Opts::new(
                "lateen_waypoint_refused_total",
                "Connections and tunnels that were refused before anything was served",
            ),
            &["reason"],
        )
        .expect("constant names are valid");
        let on_trial = IntCounterVec::new(
            Opts::new(
                "lateen_waypoint_authorization_dry_run_total",
                "What authorization policies with istio.io/dry-run would have done",
            ),
            &["would"],
        )
        .expect("constant names are valid");
        for counter in [&refused, &on_trial] {
            registry
                .register(Box::new(counter.clone()))
                .expect("one waypoint counts into a registry");
        }
        let elsewhere = IntCounter::new(
            "lateen_waypoint_other_network_total",
            "Requests and connections without an endpoint, since all of their service's are in other networks",
        )
        .expect("constant names are valid");
        registry
            .register(Box::new(elsewhere.clone()))
            .expect("one waypoint counts into a registry");
        let buffered = IntGauge::new(
            "lateen_waypoint_buffered_bytes",
            "Bytes of bodies that are held: to be sent again, to be copied, or because their client does not take them",
        )
        .expect("constant names are valid");
        registry
            .register(Box::new(buffered.clone()))
            .expect("one waypoint counts into a registry");
        Self {
            refused,
            on_trial,
            elsewhere,
            buffered,
            observer: None,
            metrics: Metrics::new(registry),
            exported: Exported::new(registry),
            files: Files::new(registry, Box::new(writer(tasks.clone()))),
            reporter: Arc::default(),
            closing: Arc::new(watch::Sender::new(false)),
        }
    }

    /// Where it is counted what is held of bodies.
    #[must_use]
    pub fn buffered(&self) -> IntGauge {
        self.buffered.clone()
    }

    /// With somebody who sees every report.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// Access logs for standard output go to this file: several proxies in one process have one each.
    #[must_use]
    pub fn with_standard_output(self, path: &str) -> Self {
        Self {
            files: self.files.with_standard_output(path),
            ..self
        }
    }

    /// In the name of this proxy.
    #[must_use]
    pub fn reported_by(self, reporter: Reporter) -> Self {
        Self {
            reporter: Arc::new(reporter),
            ..self
        }
    }

    /// Starts what makes time pass for metrics: series that nobody uses are forgotten.
    pub fn start(&self, tasks: &Tasks) {
        let metrics = self.metrics.clone();
        tasks.spawn("metrics", async move {
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                metrics.tick();
            }
        });
    }

    /// Nothing more comes: waits until all workers have handed over what they have, collectors have been told, and every
    /// line is written; for each of both no longer than this. Says whether all of it was done.
    pub async fn close(&self, limit: Duration) -> bool {
        self.closing.send_replace(true);
        let handed_over = timeout(limit, self.closing.closed()).await.is_ok();
        self.files.flush(limit) && handed_over
    }

    /// Waits until every line that was handed over is written, but no longer than this; says whether it is. Blocks.
    pub fn flush(&self, limit: Duration) -> bool {
        self.files.flush(limit)
    }

    /// Log files are opened again: somebody has moved them away.
    pub fn reopen(&self) {
        self.files.reopen();
    }

    /// A connection or tunnel that means nothing here. `reason` is the closed word for metrics.
    fn refused(&self, peer: Peer, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
        tracing::event!(target: "access", parent: None, Level::INFO, src.addr = %peer, error = reason, "connection refused");
    }
}

/// Threads that write logs: named, and a process whose log nobody writes any more does not go on as if somebody did.
fn writer(tasks: Tasks) -> impl Fn(String, Box<dyn FnOnce() + Send>) -> io::Result<()> {
    move |name, body| {
        let body = || {
            body();
            Ok::<_, Infallible>(())
        };
        tasks.critical_thread(name, body).map(drop)
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}
