//! Istio's standard metrics of requests and connections (Istio, "Istio Standard Metrics"), as a waypoint reports them.
//!
//! # Layout
//! - this file: the names; [`Metrics`], all of a process; what is counted.
//! - [`recorder`]: what one worker counts, without locks and, for what it has seen before, without allocation.
//! - [`plan`]: what users want otherwise: metrics off, labels gone or made of expressions.
//! - `labels`: the labels of a record, in Istio's order.
//! - `series`: one time series of one worker.
//! - `hub`: all series of all workers, summed when scraped, forgotten when idle.
//! - `flows`: connections that are open, whose bytes count while they flow.
//!
//! A series has one writer: the worker that made it. It adds with plain stores, which a scrape reads. Series of several
//! workers with the same labels are one for whoever scrapes, so one is forgotten only when all of them are idle: a sum
//! must not fall.

mod flows;
mod hub;
mod labels;
pub mod plan;
pub mod recorder;
mod series;

use std::sync::Arc;

use prometheus::{IntCounter, Registry};

pub use flows::{ByteCounts, OpenFlow};
pub use plan::MetricPlan;
pub use recorder::{EndRef, Recorder, Sample, ServiceRef};

use hub::{Hub, HubCollector};

/// The metrics of a process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    hub: Arc<Hub>,
}

/// Which metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Metric {
    /// `istio_requests_total`
    Requests,
    /// `istio_request_duration_milliseconds`
    RequestDuration,
    /// `istio_request_bytes`
    RequestBytes,
    /// `istio_response_bytes`
    ResponseBytes,
    /// `istio_request_messages_total`
    RequestMessages,
    /// `istio_response_messages_total`
    ResponseMessages,
    /// `istio_tcp_sent_bytes_total`
    TcpSentBytes,
    /// `istio_tcp_received_bytes_total`
    TcpReceivedBytes,
    /// `istio_tcp_connections_opened_total`
    TcpOpened,
    /// `istio_tcp_connections_closed_total`
    TcpClosed,
}

/// How many metrics there are.
pub const METRICS: usize = 10;

impl Metric {
    /// All of them.
    pub const ALL: [Self; METRICS] = [
        Self::Requests,
        Self::RequestDuration,
        Self::RequestBytes,
        Self::ResponseBytes,
        Self::RequestMessages,
        Self::ResponseMessages,
        Self::TcpSentBytes,
        Self::TcpReceivedBytes,
        Self::TcpOpened,
        Self::TcpClosed,
    ];

    /// Its name in Prometheus.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "istio_requests_total",
            Self::RequestDuration => "istio_request_duration_milliseconds",
            Self::RequestBytes => "istio_request_bytes",
            Self::ResponseBytes => "istio_response_bytes",
            Self::RequestMessages => "istio_request_messages_total",
            Self::ResponseMessages => "istio_response_messages_total",
            Self::TcpSentBytes => "istio_tcp_sent_bytes_total",
            Self::TcpReceivedBytes => "istio_tcp_received_bytes_total",
            Self::TcpOpened => "istio_tcp_connections_opened_total",
            Self::TcpClosed => "istio_tcp_connections_closed_total",
        }
    }

    /// The metric of this name in Prometheus.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    fn help(self) -> &'static str {
        match self {
            Self::Requests => "The total number of requests",
            Self::RequestDuration => "The duration of requests in milliseconds",
            Self::RequestBytes => "The size of requests in bytes, with their heads",
            Self::ResponseBytes => "The size of responses in bytes, with their heads",
            Self::RequestMessages => "The total number of gRPC messages sent by clients",
            Self::ResponseMessages => "The total number of gRPC messages sent by servers",
            Self::TcpSentBytes => "The total number of bytes sent to clients of TCP connections",
            Self::TcpReceivedBytes => "The total number of bytes received from clients of TCP connections",
            Self::TcpOpened => "The total number of TCP connections opened",
            Self::TcpClosed => "The total number of TCP connections closed",
        }
    }

    fn is_histogram(self) -> bool {
        matches!(
            self,
            Self::RequestDuration | Self::RequestBytes | Self::ResponseBytes
        )
    }

    /// Whether it is one of connections that are no HTTP.
    fn is_tcp(self) -> bool {
        matches!(
            self,
            Self::TcpSentBytes | Self::TcpReceivedBytes | Self::TcpOpened | Self::TcpClosed
        )
    }
}

/// Upper bounds of the buckets of all histograms, milliseconds and bytes alike (Envoy's defaults, which Istio keeps).
pub const BUCKETS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

impl Metrics {
    /// Registers everything.
    ///
    /// # Panics
    /// When `registry` has metrics of these names already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self::with_limit(registry, MAX_SERIES)
    }

    /// With another limit of series.
    ///
    /// # Panics
    /// When `registry` has metrics of these names already.
    #[must_use]
    pub fn with_limit(registry: &Registry, series: usize) -> Self {
        let overflowed = IntCounter::new(
            "lateen_metric_series_overflow_total",
            "Series that were not made because there are too many; they count under the value overflow",
        )
        .expect("constant names are valid");
        let hub = Arc::new(Hub::new(series, overflowed.clone()));
        registry
            .register(Box::new(overflowed))
            .expect("metrics are registered once");
        registry
            .register(Box::new(HubCollector::new(hub.clone())))
            .expect("metrics are registered once");
        Self { hub }
    }

    /// What one more worker counts with.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.hub.clone())
    }

    /// Time passes by one [`TICK`]: series that were idle for [`IDLE_TICKS`] are forgotten. To be called by one task of
    /// the process.
    pub fn tick(&self) {
        self.hub.tick();
    }

    /// How many series there are, those of each worker counted.
    #[must_use]
    pub fn series(&self) -> usize {
        self.hub.len()
    }
}

/// How often [`Metrics::tick`] is to be called.
pub const TICK: std::time::Duration = std::time::Duration::from_secs(15);
/// After so many ticks without use a series is forgotten: ten minutes, as Linkerd has it.
pub const IDLE_TICKS: u32 = 40;
/// More than this is more than a scrape should carry; some labels are told by the other end.
const MAX_SERIES: usize = 20_000;

#[cfg(test)]
mod tests;
