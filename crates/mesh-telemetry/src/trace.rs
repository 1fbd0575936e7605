//! Traces: the context that comes with a request, the span of ours, and the context that goes on.
//!
//! # Layout
//! - this file: [`SpanContext`] and its ids; [`Propagated`], what a request carries.
//! - [`w3c`]: `traceparent`; [`b3`]: Zipkin's `b3` and `x-b3-*`.
//! - [`decide`]: is there a span, whose child is it, is it reported, and what goes on? Pure.
//! - [`request_id`]: what `x-request-id` says of it.
//! - [`span`]: a finished span, with Istio's and Envoy's tags.
//!
//! A span that is not reported must not stand between its neighbours: whoever reads the trace would miss the parent.
//! So what nobody reports here passes on the context as it came.

pub mod b3;
pub mod decide;
pub mod request_id;
pub mod span;
pub mod w3c;

use std::fmt;

use http::HeaderMap;

pub use decide::{Decision, decide};
pub use span::{Span, Tracer};

/// Which trace, 128 bits; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// Which span, 64 bits; never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Which trace.
    pub trace_id: TraceId,
    /// Which span.
    pub span_id: SpanId,
    /// Its parent.
    pub parent: Option<SpanId>,
    /// Whether it is reported.
    pub sampled: bool,
}

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Propagated {
    /// Which trace, if it says.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The caller's parent (B3 tells it).
    pub parent: Option<SpanId>,
    /// Whether it is sampled; absent: nobody decided yet.
    pub sampled: Option<bool>,
    /// In which words it says so.
    pub formats: Formats,
}

/// Ways to write a context into headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// `traceparent`
    pub w3c: bool,
    /// `b3`
    pub b3_single: bool,
    /// `x-b3-traceid` and its relatives.
    pub b3_multi: bool,
}

impl Formats {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What a request's headers say. Where several formats are there, W3C's counts before B3's (as Envoy's order of
/// propagators has it), but the answer keeps all in step.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Option<Propagated> {
    let w3c = w3c::extract(headers);
    let single = b3::extract_single(headers);
    let multi = b3::extract_multi(headers);
    let formats = Formats {
        w3c: w3c.is_some(),
        b3_single: single.is_some(),
        b3_multi: multi.is_some(),
    };
    let found = w3c.or(single).or(multi)?;
    Some(Propagated { formats, ..found })
}

/// A decision without a trace (B3 knows such): `Some(false)` for `b3: 0`.
#[must_use]
pub fn bare_decision(headers: &HeaderMap) -> Option<bool> {
    b3::bare_decision(headers)
}

/// Writes a context into headers, in these ways.
pub fn inject(headers: &mut HeaderMap, context: &SpanContext, formats: Formats) {
    if formats.w3c {
        w3c::inject(headers, context);
    }
    if formats.b3_single {
        b3::inject_single(headers, context);
    }
    if formats.b3_multi {
        b3::inject_multi(headers, context);
    }
}

impl TraceId {
    /// This number, unless it is 0.
    #[must_use]
    pub fn new(id: u128) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// As bytes, the highest first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// As a number.
    #[must_use]
    pub fn get(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// This number, unless it is 0.
    #[must_use]
    pub fn new(id: u64) -> Option<Self> {
        (id != 0).then_some(Self(id))
    }

    /// As bytes, the highest first.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// So many hexadecimal digits and nothing else; `capitals` says whether those are allowed.
fn hex(text: &str, digits: usize, capitals: bool) -> Option<u128> {
    let allowed =
        |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f') || (capitals && matches!(b, b'A'..=b'F'));
    if text.len() != digits || !text.bytes().all(allowed) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

fn hex_span(text: &str, capitals: bool) -> Option<SpanId> {
    let id = hex(text, 16, capitals)?;
    SpanId::new(u64::try_from(id).ok()?)
}

#[cfg(test)]
mod tests;
