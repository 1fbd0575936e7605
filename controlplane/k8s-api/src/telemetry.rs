//! `telemetry.istio.io`: what is told about traffic (Istio reference, "Telemetry"). A field that does not exist is told
//! as a warning.

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::object::Resource;
use crate::security::{TargetRef, WorkloadSelector};
use crate::value::IstioDuration;

/// What is told about traffic.
pub type Telemetry = Resource<TelemetrySpec>;

/// What a [`Telemetry`] says.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySpec {
    /// The Pods it is for; without meaning at waypoints.
    pub selector: Option<WorkloadSelector>,
    /// The waypoint, Service or Gateway it is for.
    pub target_ref: Option<TargetRef>,
    /// Several of them.
    pub target_refs: Vec<TargetRef>,
    /// Traces.
    pub tracing: Vec<Tracing>,
    /// Metrics.
    pub metrics: Vec<Metrics>,
    /// Access logs.
    pub access_logging: Vec<AccessLogging>,
}

/// How requests are traced.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// For which side of a connection.
    #[serde(rename = "match")]
    pub selector: ModeSelector,
    /// Where spans go, by the names of the mesh's providers.
    pub providers: Vec<ProviderRef>,
    /// Which share of requests that come without a trace is traced, in per cent.
    pub random_sampling_percentage: Option<f64>,
    /// Whether spans are kept to ourselves.
    pub disable_span_reporting: Option<bool>,
    /// Further tags of spans.
    pub custom_tags: BTreeMap<Strng, CustomTag>,
    /// Whether the request's id decides too.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Whether spans have the mesh's own tags.
    pub enable_istio_tags: Option<bool>,
    /// Whether trace headers are left as they come.
    pub disable_context_propagation: Option<bool>,
}

/// For which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ModeSelector {
    /// For which.
    pub mode: WorkloadMode,
}

/// A side of a connection; a waypoint is a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkloadMode {
    /// Both.
    #[default]
    ClientAndServer,
    /// The one that asks.
    Client,
    /// The one that answers.
    Server,
}

/// A provider of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ProviderRef {
    /// Its name.
    pub name: Strng,
}

/// A further tag.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CustomTag {
    /// Always this.
    Literal(LiteralTag),
    /// A variable of the proxy's environment.
    Environment(NamedTag),
    /// A request header.
    Header(NamedTag),
    /// A format with operators of access logs.
    Formatter(LiteralTag),
}

/// A tag's text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LiteralTag {
    /// The text.
    pub value: Strng,
}

/// A tag's source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedTag {
    /// The name.
    pub name: Strng,
    /// What stands for it when it is absent; no tag where empty.
    #[serde(default)]
    pub default_value: Strng,
}

/// How traffic is measured.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Who measures, by the names of the mesh's providers.
    pub providers: Vec<ProviderRef>,
    /// What differs from the standard metrics; the last that fits counts.
    pub overrides: Vec<MetricsOverride>,
    /// How often TCP metrics are told; 5 s where absent.
    pub reporting_interval: Option<IstioDuration>,
}

/// What differs from a standard metric.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsOverride {
    /// For which metrics.
    #[serde(rename = "match")]
    pub selector: MetricSelector,
    /// Whether they are not there.
    pub disabled: Option<bool>,
    /// What becomes of their labels.
    pub tag_overrides: BTreeMap<Strng, TagOverride>,
}

/// Which metrics.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "MetricSelectorFields")]
pub struct MetricSelector {
    /// Which.
    pub metric: MetricMatch,
    /// On which side of a connection.
    pub mode: WorkloadMode,
}

/// Which metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricMatch {
    /// One of Istio's, or all of them.
    Istio(IstioMetric),
    /// One with this name.
    Custom(Strng),
}

/// Istio's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IstioMetric {
    /// All.
    #[default]
    AllMetrics,
    /// `istio_requests_total`.
    RequestCount,
    /// `istio_request_duration_milliseconds`.
    RequestDuration,
    /// `istio_request_bytes`.
    RequestSize,
    /// `istio_response_bytes`.
    ResponseSize,
    /// `istio_tcp_connections_opened_total`.
    TcpOpenedConnections,
    /// `istio_tcp_connections_closed_total`.
    TcpClosedConnections,
    /// `istio_tcp_sent_bytes_total`.
    TcpSentBytes,
    /// `istio_tcp_received_bytes_total`.
    TcpReceivedBytes,
    /// `istio_request_messages_total`.
    GrpcRequestMessages,
    /// `istio_response_messages_total`.
    GrpcResponseMessages,
}

/// What becomes of a label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "TagOverrideFields")]
pub enum TagOverride {
    /// It is there, with what this CEL expression gives.
    Upsert(Strng),
    /// It is not there.
    Remove,
}

/// Which requests are logged, and where.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AccessLogging {
    /// For which side of a connection.
    #[serde(rename = "match")]
    pub selector: ModeSelector,
    /// Where they are logged, by the names of the mesh's providers.
    pub providers: Vec<ProviderRef>,
    /// Whether none is.
    pub disabled: Option<bool>,
    /// Which.
    pub filter: Option<LogFilter>,
}

/// Which requests are logged.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// Those for which this CEL expression is true.
    pub expression: Strng,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MetricSelectorFields {
    /// One of Istio's metrics; all of them where neither this nor `customMetric` is there.
    metric: Option<IstioMetric>,
    /// One with this name.
    custom_metric: Option<Strng>,
    mode: WorkloadMode,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TagOverrideFields {
    /// Whether the label is there.
    operation: TagOperation,
    /// The CEL expression that gives its value.
    value: Strng,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum TagOperation {
    #[default]
    Upsert,
    Remove,
}

impl Default for MetricMatch {
    fn default() -> Self {
        Self::Istio(IstioMetric::AllMetrics)
    }
}

impl TryFrom<MetricSelectorFields> for MetricSelector {
    type Error = &'static str;

    fn try_from(fields: MetricSelectorFields) -> Result<Self, &'static str> {
        let metric = match (fields.metric, fields.custom_metric) {
            (Some(_), Some(_)) => return Err("may have only one of metric and customMetric"),
            (None, Some(name)) => MetricMatch::Custom(name),
            (metric, None) => MetricMatch::Istio(metric.unwrap_or_default()),
        };
        Ok(Self {
            metric,
            mode: fields.mode,
        })
    }
}

impl TryFrom<TagOverrideFields> for TagOverride {
    type Error = &'static str;

    fn try_from(fields: TagOverrideFields) -> Result<Self, &'static str> {
        match (fields.operation, fields.value.is_empty()) {
            (TagOperation::Upsert, false) => Ok(Self::Upsert(fields.value)),
            (TagOperation::Upsert, true) => Err("needs a value to be set to"),
            (TagOperation::Remove, true) => Ok(Self::Remove),
            (TagOperation::Remove, false) => Err("has a value, but is to be removed"),
        }
    }
}
