//! What is counted of counting.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of the service. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    decisions: IntCounterVec,
    forwarded: IntCounterVec,
    counters: IntGauge,
    together: IntCounter,
    log_bytes: IntGauge,
    damaged: IntCounter,
    sync: Histogram,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request may pass.
    Ok,
    /// It may, and little is left.
    NearLimit,
    /// It may not.
    OverLimit,
    /// Whoever asked may not ask, or nobody told of what it asks about.
    Refused,
    /// The owner of a count is away, or counts cannot be written.
    Unavailable,
}

impl Metrics {
    /// New ones.
    ///
    /// # Panics
    /// Panics when the registry has metrics of these names already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let vec = |name, help, label| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("constant names are valid")
        };
        let gauge = |name, help| IntGauge::new(name, help).expect("constant names are valid");
        let counter = |name, help| IntCounter::new(name, help).expect("constant names are valid");
        let sync = HistogramOpts::new(
            "lateen_ratelimit_sync_duration_seconds",
            "How long the disk takes to make counts durable",
        )
        .buckets(vec![
            0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
        ]);
        let metrics = Self {
            decisions: vec(
                "lateen_ratelimit_decisions_total",
                "Questions answered, by outcome",
                "outcome",
            ),
            forwarded: vec(
                "lateen_ratelimit_forwarded_total",
                "Questions passed on to the shard that counts, by result",
                "result",
            ),
            counters: gauge("lateen_ratelimit_counters", "Counters in memory"),
            together: counter(
                "lateen_ratelimit_counted_together_total",
                "Requests counted together with others for want of room",
            ),
            log_bytes: gauge("lateen_ratelimit_log_bytes", "Bytes of the log on the disk"),
            damaged: counter(
                "lateen_ratelimit_log_damaged_bytes_total",
                "Bytes of the log that were no records when it was read",
            ),
            sync: Histogram::with_opts(sync).expect("constant names are valid"),
        };
        let all: [Box<dyn prometheus::core::Collector>; 7] = [
            Box::new(metrics.decisions.clone()),
            Box::new(metrics.forwarded.clone()),
            Box::new(metrics.counters.clone()),
            Box::new(metrics.together.clone()),
            Box::new(metrics.log_bytes.clone()),
            Box::new(metrics.damaged.clone()),
            Box::new(metrics.sync.clone()),
        ];
        for collector in all {
            registry.register(collector).expect("each is registered once");
        }
        metrics
    }

    pub(crate) fn decided(&self, outcome: Outcome) {
        let label = match outcome {
            Outcome::Ok => "ok",
            Outcome::NearLimit => "near_limit",
            Outcome::OverLimit => "over_limit",
            Outcome::Refused => "refused",
            Outcome::Unavailable => "unavailable",
        };
        self.decisions.with_label_values(&[label]).inc();
    }

    pub(crate) fn forwarded(&self, answered: bool) {
        let label = if answered { "answered" } else { "failed" };
        self.forwarded.with_label_values(&[label]).inc();
    }

    pub(crate) fn counters(&self, counters: usize) {
        self.counters.set(i64::try_from(counters).unwrap_or(i64::MAX));
    }

    pub(crate) fn together(&self) {
        self.together.inc();
    }

    pub(crate) fn log_bytes(&self, bytes: u64) {
        self.log_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn damaged(&self, bytes: u64) {
        self.damaged.inc_by(bytes);
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.sync.observe(took.as_secs_f64());
    }
}
