//! Zipkin's version 2, in JSON (<https://zipkin.io/zipkin-api/>, `POST /api/v2/spans`).

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::trace::Span;
use crate::trace::span::Reporter;

/// A batch of spans.
#[must_use]
pub fn spans(spans: &[Span], reporter: &Reporter) -> Bytes {
    let service = reporter.service_name();
    let list: Vec<Value> = spans.iter().map(|one| span(one, &service)).collect();
    Value::Array(list).to_string().into()
}

fn span(span: &Span, service: &str) -> Value {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let since = span.start.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = Map::new();
    object.insert("traceId".to_owned(), span.context.trace_id.to_string().into());
    object.insert("id".to_owned(), span.context.span_id.to_string().into());
    if let Some(parent) = span.context.parent {
        object.insert("parentId".to_owned(), parent.to_string().into());
    }
    object.insert("kind".to_owned(), "SERVER".into());
    object.insert("name".to_owned(), span.name.to_string().into());
    object.insert("timestamp".to_owned(), micros(since).into());
    // "Durations are at least one microsecond."
    object.insert("duration".to_owned(), micros(span.duration).max(1).into());
    object.insert("localEndpoint".to_owned(), json!({ "serviceName": service }));
    let tags: BTreeMap<&str, &str> = span
        .tags
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_str()))
        .collect();
    object.insert("tags".to_owned(), json!(tags));
    Value::Object(object)
}
