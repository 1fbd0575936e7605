//! OTLP's messages (OpenTelemetry Protocol 1.x; opentelemetry-proto).

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mesh_proto::opentelemetry::proto::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use mesh_proto::opentelemetry::proto::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use mesh_proto::opentelemetry::proto::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use mesh_proto::opentelemetry::proto::logs::v1 as logs_pb;
use mesh_proto::opentelemetry::proto::resource::v1::Resource;
use mesh_proto::opentelemetry::proto::trace::v1 as trace_pb;
use mesh_types::Strng;
use prost::Message as _;

use super::DeliveryError;
use crate::format::Template;
use crate::record::Record;
use crate::trace::span::Reporter;
use crate::trace::{Span, SpanContext};

/// The method for spans.
pub const TRACE_METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The method for log records.
pub const LOGS_METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// A log record to send.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    time: SystemTime,
    body: String,
    attributes: Vec<(Strng, String)>,
    trace: Option<SpanContext>,
}

impl LogRecord {
    /// Of a record, as a log has it written.
    #[must_use]
    pub fn new(record: &Record<'_>, body: &Template, attributes: &[(Strng, Template)]) -> Self {
        let attribute = |(name, template): &(Strng, Template)| (name.clone(), template.text(record));
        Self {
            time: record.began,
            body: body.text(record),
            attributes: attributes.iter().map(attribute).collect(),
            trace: record.trace.copied(),
        }
    }
}

/// A batch of spans.
#[must_use]
pub fn spans(spans: &[Span], reporter: &Reporter) -> Bytes {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![trace_pb::ResourceSpans {
            resource: Some(resource(reporter)),
            scope_spans: vec![trace_pb::ScopeSpans {
                scope: Some(scope()),
                spans: spans.iter().map(span).collect(),
            }],
        }],
    };
    request.encode_to_vec().into()
}

/// A batch of log records.
#[must_use]
pub fn logs(records: Vec<LogRecord>, reporter: &Reporter) -> Bytes {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![logs_pb::ResourceLogs {
            resource: Some(resource(reporter)),
            scope_logs: vec![logs_pb::ScopeLogs {
                scope: Some(scope()),
                log_records: records.into_iter().map(log).collect(),
            }],
        }],
    };
    request.encode_to_vec().into()
}

/// Whether all spans were taken. What a collector refuses by name is not sent again (OTLP, "Partial success").
pub(super) fn check_spans(answer: &[u8]) -> Result<(), DeliveryError> {
    let answer =
        ExportTraceServiceResponse::decode(answer).map_err(|e| DeliveryError::Never(e.to_string()))?;
    match answer.partial_success {
        Some(part) if part.rejected_spans > 0 => Err(DeliveryError::Never(part.error_message)),
        _ => Ok(()),
    }
}

/// The same for log records.
pub(super) fn check_logs(answer: &[u8]) -> Result<(), DeliveryError> {
    let answer =
        ExportLogsServiceResponse::decode(answer).map_err(|e| DeliveryError::Never(e.to_string()))?;
    match answer.partial_success {
        Some(part) if part.rejected_log_records > 0 => Err(DeliveryError::Never(part.error_message)),
        _ => Ok(()),
    }
}

fn span(span: &Span) -> trace_pb::Span {
    use trace_pb::span::SpanKind;
    use trace_pb::status::StatusCode;
    let start = nanos(span.start);
    let duration = u64::try_from(span.duration.as_nanos()).unwrap_or(u64::MAX);
    let parent = span.context.parent;
    trace_pb::Span {
        trace_id: Bytes::copy_from_slice(&span.context.trace_id.to_bytes()),
        span_id: Bytes::copy_from_slice(&span.context.span_id.to_bytes()),
        parent_span_id: parent.map_or_else(Bytes::new, |parent| Bytes::copy_from_slice(&parent.to_bytes())),
        name: span.name.to_string(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(duration),
        attributes: span
            .tags
            .iter()
            .map(|(name, value)| attribute(name, value.clone()))
            .collect(),
        status: span.error.then(|| trace_pb::Status {
            code: StatusCode::Error.into(),
            ..trace_pb::Status::default()
        }),
        flags: u32::from(span.context.sampled),
        ..trace_pb::Span::default()
    }
}

fn log(record: LogRecord) -> logs_pb::LogRecord {
    let trace = record.trace;
    let id = |bytes: Option<&[u8]>| bytes.map_or_else(Bytes::new, Bytes::copy_from_slice);
    let trace_id = trace.map(|trace| trace.trace_id.to_bytes());
    let span_id = trace.map(|trace| trace.span_id.to_bytes());
    let time = nanos(record.time);
    logs_pb::LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        body: Some(text(record.body)),
        attributes: record
            .attributes
            .into_iter()
            .map(|(name, value)| attribute(&name, value))
            .collect(),
        flags: trace.map_or(0, |trace| u32::from(trace.sampled)),
        trace_id: id(trace_id.as_ref().map(<[u8; 16]>::as_slice)),
        span_id: id(span_id.as_ref().map(<[u8; 8]>::as_slice)),
        ..logs_pb::LogRecord::default()
    }
}

fn resource(reporter: &Reporter) -> Resource {
    let known = [
        ("service.name", reporter.service_name()),
        ("service.namespace", reporter.namespace.to_string()),
        ("service.instance.id", reporter.node.to_string()),
        ("k8s.cluster.name", reporter.cluster.to_string()),
    ];
    let attributes = known.into_iter().filter(|(_, value)| !value.is_empty());
    Resource {
        attributes: attributes.map(|(name, value)| attribute(name, value)).collect(),
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "lateen-waypoint".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn attribute(name: &str, value: String) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(text(value)),
    }
}

fn text(text: String) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text)),
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
