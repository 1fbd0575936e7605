//! What is logged, counted and traced (Istio, "Telemetry" and mesh configuration, `extensionProviders`).

mod wire;

use mesh_types::Strng;

use super::ServicePort;

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessLogging {
    /// Where to; none at all switches logging off.
    pub sinks: Vec<LoggedTo>,
}

/// Where records go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedTo {
    /// Where to.
    pub sink: LogSink,
    /// Only what this CEL expression is true of.
    pub filter: Option<Strng>,
}

/// Where log records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogSink {
    /// To a file, or standard output (`/dev/stdout`).
    File {
        /// Its path.
        path: Strng,
        /// How records are written.
        format: LogFormat,
    },
    /// To a collector, by OTLP.
    Otlp {
        /// Where it is.
        service: ServicePort,
        /// The body, with operators.
        body: Option<Strng>,
        /// Attributes: name, value with operators.
        attributes: Vec<(Strng, Strng)>,
    },
}

/// How a record is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// As Istio does unless told otherwise.
    #[default]
    Default,
    /// As Istio does in JSON unless told otherwise.
    DefaultJson,
    /// A text with operators (`%REQ(:METHOD)%`).
    Text(Strng),
    /// JSON: key, value with operators.
    Json(Vec<(Strng, Strng)>),
}

/// What is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// In this order.
    pub overrides: Vec<MetricOverride>,
}

/// A change of metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricOverride {
    /// The name, as Prometheus has it (`istio_requests_total`); all if absent.
    pub metric: Option<Strng>,
    /// It is not counted; `Some(false)` takes an earlier one back.
    pub disabled: Option<bool>,
    /// Labels: name, and a CEL expression; absent: the label goes.
    pub tags: Vec<(Strng, Option<Strng>)>,
}

/// What is traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Where spans go; absent: nowhere, but the context is passed on.
    pub exporter: Option<TraceExporter>,
    /// How many of the requests without a decision are sampled, in hundredths of a per cent.
    pub sampling: u32,
    /// Spans are not reported.
    pub disabled: bool,
    /// The context is not passed on.
    pub no_propagation: bool,
    /// Further tags.
    pub tags: Vec<(Strng, TraceTag)>,
    /// The dice decide over requests without a decision, and not their `x-request-id`.
    pub not_by_request_id: bool,
    /// Spans have no tags of Istio's.
    pub no_istio_tags: bool,
    /// Bytes of a path in a tag; 256 where 0.
    pub path_limit: u32,
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceExporter {
    /// OTLP over gRPC.
    OtlpGrpc(ServicePort),
    /// OTLP over HTTP, to this path.
    OtlpHttp(ServicePort, Strng),
    /// Zipkin's version 2, JSON, to this path.
    Zipkin(ServicePort, Strng),
}

/// The value of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceTag {
    /// This.
    Literal(Strng),
    /// An environment variable: name, default.
    Environment(Strng, Strng),
    /// A request header: name, default.
    Header(Strng, Strng),
    /// A text with operators.
    Formatted(Strng),
}
