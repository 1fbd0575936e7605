//! The `istio_dns_*` families, with upstream's names and labels.

use std::time::Duration;

use mesh_dns::{Kind, Transport};
use mesh_model::Workload;
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// The DNS metrics of a process.
#[derive(Clone, Debug)]
pub struct DnsMetrics {
    requests: IntCounterVec,
    upstream_requests: IntCounterVec,
    upstream_failures: IntCounterVec,
    upstream_duration: HistogramVec,
    on_demand: IntCounterVec,
}

/// The labels of a question: type, protocol, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'a>([&'a str; 4]);

impl<'a> Labels<'a> {
    pub(super) fn of(kind: Kind, transport: Transport, client: &'a Workload) -> Self {
        let protocol = match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        Self([
            kind.label(),
            protocol,
            known(&client.canonical_name),
            known(&client.canonical_revision),
        ])
    }
}

impl DnsMetrics {
    /// Registers the families.
    ///
    /// # Panics
    /// Panics when `registry` has families of these names already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let metrics = Self {
            requests: counter("istio_dns_requests_total", "Questions that pods asked", &QUESTION),
            upstream_requests: counter(
                "istio_dns_upstream_requests_total",
                "Questions that were forwarded",
                &QUESTION,
            ),
            upstream_failures: counter(
                "istio_dns_upstream_failures_total",
                "Questions that were forwarded in vain",
                &QUESTION,
            ),
            upstream_duration: HistogramVec::new(
                HistogramOpts::new(
                    "istio_dns_upstream_request_duration_seconds",
                    "How long forwarded questions took",
                )
                .buckets(vec![0.0005, 0.001, 0.01, 0.1, 1.0, 5.0]),
                &QUESTION,
            )
            .expect("constant names are valid"),
            on_demand: counter(
                "istio_on_demand_dns_total",
                "Host names of workloads that connections needed (unstable)",
                &ON_DEMAND,
            ),
        };
        let collectors: [Box<dyn Collector>; 5] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.upstream_requests.clone()),
            Box::new(metrics.upstream_failures.clone()),
            Box::new(metrics.upstream_duration.clone()),
            Box::new(metrics.on_demand.clone()),
        ];
        for collector in collectors {
            registry
                .register(collector)
                .expect("the DNS metrics are registered once");
        }
        metrics
    }

    pub(super) fn asked(&self, labels: Labels<'_>) {
        self.requests.with_label_values(&labels.0).inc();
    }

    pub(super) fn forwarded(&self, labels: Labels<'_>, took: Duration, answered: bool) {
        self.upstream_requests.with_label_values(&labels.0).inc();
        let duration = self.upstream_duration.with_label_values(&labels.0);
        duration.observe(took.as_secs_f64());
        if !answered {
            self.upstream_failures.with_label_values(&labels.0).inc();
        }
    }

    pub(super) fn on_demand(&self, client: &Workload, hostname: &str) {
        let labels = [
            known(&client.workload_name),
            known(&client.canonical_name),
            known(&client.canonical_revision),
            known(client.namespace()),
            hostname,
        ];
        self.on_demand.with_label_values(&labels).inc();
    }
}

fn counter(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, help), labels).expect("constant names are valid")
}

fn known(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

const QUESTION: [&str; 4] = [
    "request_query_type",
    "request_protocol",
    "source_canonical_service",
    "source_canonical_revision",
];
const ON_DEMAND: [&str; 5] = [
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "hostname",
];
