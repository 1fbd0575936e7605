//! `traceparent` (W3C Trace Context, section 3.2). `tracestate` belongs to those who wrote it and passes unchanged.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Formats, Propagated, SpanContext, TraceId, hex, hex_span};

/// The header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the header says; nothing if it is not valid, or there are two.
pub(super) fn extract(headers: &HeaderMap) -> Option<Propagated> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    parse(value)
}

/// One value. Later versions may add parts at the end (section 3.2.4, "Versioning").
#[must_use]
pub fn parse(value: &str) -> Option<Propagated> {
    let value = value.trim_matches([' ', '\t']);
    let mut parts = value.splitn(4, '-');
    let version = hex(parts.next()?, 2, false)?;
    let trace_id = TraceId::new(hex(parts.next()?, 32, false)?)?;
    let span_id = hex_span(parts.next()?, false)?;
    let rest = parts.next()?;
    let flags = match version {
        0xff => return None,
        0 => hex(rest, 2, false)?,
        _ => match rest.as_bytes().get(2) {
            None | Some(b'-') => hex(rest.get(..2)?, 2, false)?,
            Some(_) => return None,
        },
    };
    Some(Propagated {
        trace_id,
        span_id,
        parent: None,
        sampled: Some(flags & 1 == 1),
        formats: Formats {
            w3c: true,
            ..Formats::default()
        },
    })
}

pub(super) fn inject(headers: &mut HeaderMap, context: &SpanContext) {
    let flags = u8::from(context.sampled);
    let value = format!("00-{}-{}-{flags:02x}", context.trace_id, context.span_id);
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(TRACEPARENT, value);
    }
}
