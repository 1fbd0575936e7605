//! Zipkin's B3, as one header `b3` and as several `x-b3-*` (<https://github.com/openzipkin/b3-propagation>).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Formats, Propagated, SpanContext, TraceId, hex, hex_span};

const B3: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const PARENT_SPAN_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

pub(super) fn extract_single(headers: &HeaderMap) -> Option<Propagated> {
    parse_single(text(headers, &B3)?)
}

/// `{trace}-{span}[-{sampled}[-{parent}]]`
#[must_use]
pub fn parse_single(value: &str) -> Option<Propagated> {
    let mut parts = value.split('-');
    let trace_id = trace_id(parts.next()?)?;
    let span_id = hex_span(parts.next()?, true)?;
    let sampled = parts.next().map(decision);
    let parent = parts.next().map(|parent| hex_span(parent, true));
    if parts.next().is_some() {
        return None;
    }
    Some(Propagated {
        trace_id,
        span_id,
        parent: match parent {
            Some(parent) => Some(parent?),
            None => None,
        },
        sampled: match sampled {
            Some(sampled) => Some(sampled?),
            None => None,
        },
        formats: Formats {
            b3_single: true,
            ..Formats::default()
        },
    })
}

pub(super) fn extract_multi(headers: &HeaderMap) -> Option<Propagated> {
    let trace_id = trace_id(text(headers, &TRACE_ID)?)?;
    let span_id = hex_span(text(headers, &SPAN_ID)?, true)?;
    let parent = text(headers, &PARENT_SPAN_ID).and_then(|parent| hex_span(parent, true));
    Some(Propagated {
        trace_id,
        span_id,
        parent,
        sampled: multi_decision(headers),
        formats: Formats {
            b3_multi: true,
            ..Formats::default()
        },
    })
}

/// A decision without a trace: `b3: 0`, or `x-b3-sampled` alone.
pub(super) fn bare_decision(headers: &HeaderMap) -> Option<bool> {
    match text(headers, &B3) {
        Some(value) if !value.contains('-') => decision(value),
        Some(_) => None,
        None if !headers.contains_key(TRACE_ID) => multi_decision(headers),
        None => None,
    }
}

fn multi_decision(headers: &HeaderMap) -> Option<bool> {
    // Debug implies a decision to sample.
    if text(headers, &FLAGS) == Some("1") {
        return Some(true);
    }
    text(headers, &SAMPLED).and_then(decision)
}

/// 64 or 128 bits.
fn trace_id(text: &str) -> Option<TraceId> {
    let id = match text.len() {
        32 => hex(text, 32, true),
        _ => hex(text, 16, true),
    };
    TraceId::new(id?)
}

fn decision(text: &str) -> Option<bool> {
    match text {
        "1" | "d" | "true" => Some(true),
        "0" | "false" => Some(false),
        _ => None,
    }
}

pub(super) fn inject_single(headers: &mut HeaderMap, context: &SpanContext) {
    let sampled = u8::from(context.sampled);
    let mut value = format!("{}-{}-{sampled}", context.trace_id, context.span_id);
    if let Some(parent) = context.parent {
        value.push_str(&format!("-{parent}"));
    }
    set(headers, B3, value);
}

pub(super) fn inject_multi(headers: &mut HeaderMap, context: &SpanContext) {
    set(headers, TRACE_ID, context.trace_id.to_string());
    set(headers, SPAN_ID, context.span_id.to_string());
    match context.parent {
        Some(parent) => set(headers, PARENT_SPAN_ID, parent.to_string()),
        None => drop(headers.remove(PARENT_SPAN_ID)),
    }
    // A wish to debug implies the decision and stays as it is.
    if text(headers, &FLAGS) != Some("1") {
        let sampled = HeaderValue::from_static(if context.sampled { "1" } else { "0" });
        headers.insert(SAMPLED, sampled);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
