//! Where spans and log records go: to collectors, in batches, by a task of their own. What a collector does not take in
//! time is dropped and counted; no request waits for any of it.
//!
//! # Layout
//! - this file: [`Destination`], [`Queue`] and [`drive`], the task that empties it.
//! - [`otlp`]: OTLP's messages (OpenTelemetry Protocol 1.x), for gRPC and HTTP.
//! - [`zipkin`]: Zipkin's version 2, in JSON.

pub mod otlp;
pub mod zipkin;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use mesh_model::l7::ServicePort;
use mesh_model::l7::telemetry::TraceExporter;
use mesh_types::Strng;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::trace::Span;
use crate::trace::span::Reporter;
use otlp::LogRecord;

/// A collector, and what it is spoken to in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// Spans.
    Spans(SpanProtocol, ServicePort),
    /// Log records, by OTLP over gRPC.
    Logs(ServicePort),
}

/// What a collector of spans is spoken to in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SpanProtocol {
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP, to this path.
    OtlpHttp(Strng),
    /// Zipkin, to this path.
    Zipkin(Strng),
}

/// How a service of the mesh is reached; the proxy's own upstream does that.
pub trait Deliver {
    /// Calls a method of gRPC with one message, for one message.
    fn grpc(
        &self,
        to: &ServicePort,
        method: &'static str,
        message: Bytes,
    ) -> impl Future<Output = Result<Bytes, DeliveryError>>;

    /// Sends a body; whatever is answered counts by its status.
    fn http(
        &self,
        to: &ServicePort,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> impl Future<Output = Result<http::StatusCode, DeliveryError>>;
}

/// Why something was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// It may work later.
    #[error("{0}")]
    Later(String),
    /// It never will.
    #[error("{0}")]
    Never(String),
}

/// What waits to be sent by one worker to one collector. It stays on its thread.
#[derive(Debug)]
pub struct Queue {
    destination: Destination,
    spans: RefCell<VecDeque<Span>>,
    logs: RefCell<VecDeque<LogRecord>>,
    came: Notify,
    closed: Cell<bool>,
    counts: Counts,
}

/// What became of spans and records. Clones are the same.
#[derive(Clone, Debug)]
pub struct Exported {
    sent: IntCounterVec,
    dropped: IntCounterVec,
}

#[derive(Debug)]
struct Counts {
    sent: IntCounter,
    full: IntCounter,
    refused: IntCounter,
}

impl Exported {
    /// Counts into this registry.
    ///
    /// # Panics
    /// When the registry has such metrics already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter =
                IntCounterVec::new(Opts::new(name, help), labels).expect("constant names are valid");
            registry
                .register(Box::new(counter.clone()))
                .expect("metrics are registered once");
            counter
        };
        Self {
            sent: counter(
                "lateen_telemetry_exported_total",
                "Spans and log records that collectors took",
                &["kind"],
            ),
            dropped: counter(
                "lateen_telemetry_dropped_total",
                "Spans and log records that were dropped: the queue was full, or the collector did not take them",
                &["kind", "reason"],
            ),
        }
    }
}

impl Queue {
    /// For one collector.
    #[must_use]
    pub fn new(destination: Destination, exported: &Exported) -> Rc<Self> {
        let kind = match destination {
            Destination::Spans(..) => "span",
            Destination::Logs(_) => "log",
        };
        Rc::new(Self {
            destination,
            spans: RefCell::default(),
            logs: RefCell::default(),
            came: Notify::new(),
            closed: Cell::new(false),
            counts: Counts {
                sent: exported.sent.with_label_values(&[kind]),
                full: exported.dropped.with_label_values(&[kind, "queue_full"]),
                refused: exported.dropped.with_label_values(&[kind, "not_taken"]),
            },
        })
    }

    /// Adds a span, or drops it.
    pub fn span(&self, span: Span) {
        self.push(&self.spans, span);
    }

    /// Adds a record, or drops it.
    pub fn log(&self, record: LogRecord) {
        self.push(&self.logs, record);
    }

    /// No more comes: what waits is sent at once, and then [`drive`] ends.
    pub fn close(&self) {
        self.closed.set(true);
        self.came.notify_one();
    }

    fn push<T>(&self, queue: &RefCell<VecDeque<T>>, item: T) {
        let mut queue = queue.borrow_mut();
        if queue.len() >= LONGEST {
            self.counts.full.inc();
            return;
        }
        queue.push_back(item);
        if queue.len() == 1 || queue.len() == BATCH {
            self.came.notify_one();
        }
    }

    fn len(&self) -> usize {
        self.spans.borrow().len() + self.logs.borrow().len()
    }

    fn take<T>(queue: &RefCell<VecDeque<T>>) -> Vec<T> {
        let mut queue = queue.borrow_mut();
        let count = queue.len().min(BATCH);
        queue.drain(..count).collect()
    }
}

/// Sends what comes, until the queue is closed. `pause` spreads retries: it gives numbers between 0 and 1.
pub async fn drive(queue: Rc<Queue>, deliver: impl Deliver, reporter: Rc<Reporter>, pause: impl Fn() -> f64) {
    loop {
        while queue.len() == 0 {
            if queue.closed.get() {
                return;
            }
            queue.came.notified().await;
        }
        let linger = match &queue.destination {
            Destination::Spans(SpanProtocol::Zipkin(_), _) => ZIPKIN_LINGER,
            _ => LINGER,
        };
        // More may come, up to a batch.
        let _ = timeout(linger, async {
            while queue.len() < BATCH && !queue.closed.get() {
                queue.came.notified().await;
            }
        })
        .await;
        let (count, message) = encode(&queue, &reporter);
        let mut tries = 0;
        let failure = loop {
            let sent = timeout(PATIENCE, send(&queue.destination, &deliver, message.clone())).await;
            let error = match sent {
                Ok(Ok(())) => break None,
                Ok(Err(error)) => error,
                Err(_) => DeliveryError::Later("it took too long".to_owned()),
            };
            tries += 1;
            if tries >= TRIES || matches!(error, DeliveryError::Never(_)) || queue.closed.get() {
                break Some(error);
            }
            sleep(BACKOFF.mul_f64(f64::from(1_u32 << tries) * (0.5 + pause()))).await;
        };
        match failure {
            None => queue.counts.sent.inc_by(count),
            Some(error) => {
                queue.counts.refused.inc_by(count);
                tracing::warn!(destination = ?queue.destination, count, %error, "a collector did not take telemetry");
            }
        }
    }
}

fn encode(queue: &Queue, reporter: &Reporter) -> (u64, Bytes) {
    match &queue.destination {
        Destination::Logs(_) => {
            let records = Queue::take(&queue.logs);
            (records.len() as u64, otlp::logs(records, reporter))
        }
        Destination::Spans(protocol, _) => {
            let spans = Queue::take(&queue.spans);
            let message = match protocol {
                SpanProtocol::Zipkin(_) => zipkin::spans(&spans, reporter),
                SpanProtocol::OtlpGrpc | SpanProtocol::OtlpHttp(_) => otlp::spans(&spans, reporter),
            };
            (spans.len() as u64, message)
        }
    }
}

async fn send(
    destination: &Destination,
    deliver: &impl Deliver,
    message: Bytes,
) -> Result<(), DeliveryError> {
    let (to, path, content_type) = match destination {
        Destination::Logs(to) => {
            let answer = deliver.grpc(to, otlp::LOGS_METHOD, message).await?;
            return otlp::check_logs(&answer);
        }
        Destination::Spans(SpanProtocol::OtlpGrpc, to) => {
            let answer = deliver.grpc(to, otlp::TRACE_METHOD, message).await?;
            return otlp::check_spans(&answer);
        }
        Destination::Spans(SpanProtocol::OtlpHttp(path), to) => (to, path, "application/x-protobuf"),
        Destination::Spans(SpanProtocol::Zipkin(path), to) => (to, path, "application/json"),
    };
    let status = deliver.http(to, path, content_type, message).await?;
    match status.as_u16() {
        200..=299 => Ok(()),
        // OTLP, "Failures", "Retryable response codes".
        429 | 502..=504 => Err(DeliveryError::Later(format!("the answer is {status}"))),
        _ => Err(DeliveryError::Never(format!("the answer is {status}"))),
    }
}

impl Destination {
    /// Where a policy sends spans.
    #[must_use]
    pub fn of(exporter: &TraceExporter) -> Self {
        match exporter {
            TraceExporter::OtlpGrpc(to) => Self::Spans(SpanProtocol::OtlpGrpc, to.clone()),
            TraceExporter::OtlpHttp(to, path) => {
                Self::Spans(SpanProtocol::OtlpHttp(path.clone()), to.clone())
            }
            TraceExporter::Zipkin(to, path) => Self::Spans(SpanProtocol::Zipkin(path.clone()), to.clone()),
        }
    }
}

/// At most so many wait for one collector on one worker.
const LONGEST: usize = 2048;
/// At most so many are sent at once.
const BATCH: usize = 512;
/// How long the first of a batch waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// The same for Zipkin: Envoy's flush interval.
const ZIPKIN_LINGER: Duration = Duration::from_secs(5);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
