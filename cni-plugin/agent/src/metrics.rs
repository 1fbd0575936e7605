//! What the agent counts.

use std::time::Duration;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::enroll::Counts;

/// The agent's metrics. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    took: HistogramVec,
    ztunnel_connected: IntGauge,
    pods: IntGaugeVec,
    repairs: IntCounter,
    cut: IntCounter,
    installs: IntCounterVec,
    install_ready: IntGauge,
}

/// How a request of the plugin ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestOutcome {
    /// Yes.
    Done,
    /// Not now.
    Unavailable,
    /// No.
    Refused,
    /// It made no sense.
    Invalid,
}

/// How a look at the plugin on the host ended; upstream's values of the label `result`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstallOutcome {
    /// It is installed.
    Success,
    /// Its program cannot be copied.
    CopyBinariesFailure,
    /// There is no place for it in the network's configuration, or none that can be written.
    CreateCniConfigFailure,
}

impl Metrics {
    /// Registers the agent's metrics.
    ///
    /// # Panics
    /// Panics when called twice for one registry.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("istio_cni_plugin_requests_total", "Requests of the CNI plugin"),
                &["command", "outcome"],
            )
            .expect("constant names are valid"),
            took: HistogramVec::new(
                HistogramOpts::new(
                    "lateen_node_plugin_request_seconds",
                    "How long requests of the CNI plugin took the agent",
                )
                .buckets(TOOK.to_vec()),
                &["command"],
            )
            .expect("constant names are valid"),
            ztunnel_connected: IntGauge::new("ztunnel_connected", "Connected ztunnels")
                .expect("constant names are valid"),
            pods: IntGaugeVec::new(
                Opts::new("lateen_node_pods", "Pods known on this node"),
                &["state"],
            )
            .expect("constant names are valid"),
            repairs: IntCounter::new(
                "lateen_node_rule_repairs_total",
                "Times that rules were found changed by somebody else and put right",
            )
            .expect("constant names are valid"),
            cut: IntCounter::new(
                "lateen_node_unenroll_cut_connections_total",
                "Connections that were still open when their pod's time for leaving the mesh was over",
            )
            .expect("constant names are valid"),
            installs: IntCounterVec::new(
                Opts::new(
                    "istio_cni_installs_total",
                    "Times that the plugin was put on the host, or could not be",
                ),
                &["result"],
            )
            .expect("constant names are valid"),
            install_ready: IntGauge::new(
                "istio_cni_install_ready",
                "Whether the plugin is installed on the host",
            )
            .expect("constant names are valid"),
        };
        let collectors: [Box<dyn prometheus::core::Collector>; 8] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.took.clone()),
            Box::new(metrics.ztunnel_connected.clone()),
            Box::new(metrics.pods.clone()),
            Box::new(metrics.repairs.clone()),
            Box::new(metrics.cut.clone()),
            Box::new(metrics.installs.clone()),
            Box::new(metrics.install_ready.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect("registered once");
        }
        metrics
    }

    /// A request of the plugin ended, after so long.
    pub fn request(&self, command: &'static str, outcome: RequestOutcome, took: Duration) {
        let outcome = match outcome {
            RequestOutcome::Done => "done",
            RequestOutcome::Unavailable => "unavailable",
            RequestOutcome::Refused => "refused",
            RequestOutcome::Invalid => "invalid",
        };
        self.requests.with_label_values(&[command, outcome]).inc();
        self.took
            .with_label_values(&[command])
            .observe(took.as_secs_f64());
    }

    /// A ztunnel came (1) or went (-1).
    pub fn ztunnels(&self, change: i64) {
        self.ztunnel_connected.add(change);
    }

    /// Rules were put right.
    pub fn repaired(&self) {
        self.repairs.inc();
    }

    /// A pod has left the mesh, and so many of its connections were cut.
    pub fn cut(&self, connections: usize) {
        self.cut.inc_by(u64::try_from(connections).unwrap_or(u64::MAX));
    }

    /// A look at the plugin on the host ended; `counts` where something was done or failed.
    pub fn installed(&self, outcome: InstallOutcome, counts: bool) {
        let (result, ready) = match outcome {
            InstallOutcome::Success => ("SUCCESS", 1),
            InstallOutcome::CopyBinariesFailure => ("COPY_BINARIES_FAILURE", 0),
            InstallOutcome::CreateCniConfigFailure => ("CREATE_CNI_CONFIG_FAILURE", 0),
        };
        self.install_ready.set(ready);
        if counts {
            self.installs.with_label_values(&[result]).inc();
        }
    }

    /// How many pods are where.
    pub fn set_pods(&self, counts: &Counts) {
        for (state, count) in [
            ("enrolled", counts.enrolled),
            ("pending", counts.pending),
            ("outside", counts.outside),
        ] {
            self.pods
                .with_label_values(&[state])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// Seconds. 150 ms is what the start of a pod may take longer by.
const TOOK: [f64; 11] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0];
