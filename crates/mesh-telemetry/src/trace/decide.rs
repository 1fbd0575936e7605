//! Is there a span, whose child is it, is it reported, and what goes on?

use http::HeaderMap;
use mesh_model::l7::telemetry::{TraceExporter, Tracing};

use super::{Formats, SpanContext, SpanId, TraceId, bare_decision, extract, request_id};

/// What becomes of a request's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The span of ours; absent where the context passes as it came.
    pub span: Option<SpanContext>,
    /// In which words the context goes on; empty: as it came.
    pub inject: Formats,
}

impl Decision {
    /// Everything passes as it came.
    pub const PASS: Self = Self {
        span: None,
        inject: Formats {
            w3c: false,
            b3_single: false,
            b3_multi: false,
        },
    };
}

/// Decides for a request with these headers.
///
/// Whoever came before has the say about sampling; where nobody said anything, the request's id does, else the dice. Without somebody to report to,
/// or when nothing is reported, the context passes untouched: the next span's parent is then the caller's, and the trace
/// has no gap. `dice` gives random numbers.
pub fn decide(tracing: &Tracing, headers: &HeaderMap, mut dice: impl FnMut() -> u64) -> Decision {
    let Some(exporter) = &tracing.exporter else {
        return Decision::PASS;
    };
    if tracing.disabled {
        return Decision::PASS;
    }
    let came = extract(headers);
    let said = match &came {
        Some(came) => came.sampled,
        None => bare_decision(headers),
    };
    let sampled = said.unwrap_or_else(|| by_id_or_dice(tracing, headers, &mut dice));
    if !sampled {
        // Whoever comes after must not throw the dice again.
        let undecided = said.is_none() && !tracing.no_propagation;
        return match undecided {
            true => go_on(came.as_ref(), exporter, false, true, dice),
            false => Decision::PASS,
        };
    }
    go_on(came.as_ref(), exporter, true, !tracing.no_propagation, dice)
}

/// Where nobody said anything.
fn by_id_or_dice(tracing: &Tracing, headers: &HeaderMap, dice: &mut impl FnMut() -> u64) -> bool {
    if tracing.not_by_request_id {
        return dice() % 10_000 < u64::from(tracing.sampling);
    }
    let mut share = || request_id::share(headers).unwrap_or_else(|| dice() % 10_000);
    request_id::is_sampled(headers) || share() < u64::from(tracing.sampling)
}

fn go_on(
    came: Option<&super::Propagated>,
    exporter: &TraceExporter,
    sampled: bool,
    propagate: bool,
    mut dice: impl FnMut() -> u64,
) -> Decision {
    let trace_id = came
        .map(|came| came.trace_id)
        .unwrap_or_else(|| new_trace(&mut dice));
    // What is not reported keeps the caller's place.
    let keeps = (!sampled).then_some(came).flatten();
    let span = match keeps {
        Some(came) => SpanContext {
            trace_id,
            span_id: came.span_id,
            parent: came.parent,
            sampled,
        },
        None => SpanContext {
            trace_id,
            span_id: new_span(&mut dice),
            parent: came.map(|came| came.span_id),
            sampled,
        },
    };
    let formats = came.map(|came| came.formats).unwrap_or_default();
    let inject = match (propagate, formats.is_empty()) {
        (false, _) => Formats::default(),
        (true, false) => formats,
        // Nobody began: in the words of those who will read it.
        (true, true) => Formats {
            w3c: true,
            b3_single: false,
            b3_multi: matches!(exporter, TraceExporter::Zipkin(..)),
        },
    };
    Decision {
        span: Some(span),
        inject,
    }
}

fn new_trace(dice: &mut impl FnMut() -> u64) -> TraceId {
    loop {
        let id = (u128::from(dice()) << 64) | u128::from(dice());
        if let Some(id) = TraceId::new(id) {
            return id;
        }
    }
}

fn new_span(dice: &mut impl FnMut() -> u64) -> SpanId {
    loop {
        if let Some(id) = SpanId::new(dice()) {
            return id;
        }
    }
}
