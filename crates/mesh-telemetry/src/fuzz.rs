//! Entry points for fuzzing: what each takes, and what must hold whatever the bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, Version};

use crate::cel::Expression;
use crate::flags::ResponseFlags;
use crate::format::Template;
use crate::messages::Messages;
use crate::record::{Connection, End, Record, Request, Response, Upstream};
use crate::trace::{b3, extract, inject, w3c};

/// A format: what compiles can be written, and asks for the same whenever it is compiled.
///
/// # Panics
/// Panics when that does not hold.
pub fn format(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(template) = Template::compile(text) else {
        return;
    };
    assert_eq!(Template::compile(text).as_ref(), Ok(&template), "compiled again");
    let (method, headers, end) = (Method::GET, headers(data), End::default());
    let _ = template.text(&record(&method, &headers, &end));
}

/// An expression: reading it ends, and so does its evaluation.
pub fn cel(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(expression) = Expression::compile(text) else {
        return;
    };
    let (method, headers, end) = (Method::GET, headers(data), End::default());
    let record = record(&method, &headers, &end);
    if let Ok(value) = expression.evaluate(&record) {
        let _ = value.to_string();
    }
}

/// Bodies of gRPC: however the bytes come in pieces, they are as many messages.
///
/// # Panics
/// Panics when that does not hold.
pub fn messages(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let (mut whole, mut pieces) = (Messages::default(), Messages::default());
    whole.read(data);
    data.chunks(usize::from(cut % 16) + 1)
        .for_each(|piece| pieces.read(piece));
    assert_eq!(whole, pieces);
    // Each has a prefix.
    assert!(whole.count() <= data.len() as u64 / 5);
}

/// A `traceparent`: what is read and written reads the same.
///
/// # Panics
/// Panics when that does not hold.
pub fn traceparent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some(came) = w3c::parse(text) else { return };
    again(&came);
}

/// A `b3`: what is read and written reads the same.
///
/// # Panics
/// Panics when that does not hold.
pub fn b3(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some(came) = b3::parse_single(text) else {
        return;
    };
    again(&came);
}

fn again(came: &crate::trace::Propagated) {
    let context = crate::trace::SpanContext {
        trace_id: came.trace_id,
        span_id: came.span_id,
        parent: came.parent,
        sampled: came.sampled.unwrap_or_default(),
    };
    let mut headers = HeaderMap::new();
    inject(&mut headers, &context, came.formats);
    let read = extract(&headers).expect("what was written can be read");
    assert_eq!((read.trace_id, read.span_id), (came.trace_id, came.span_id));
    assert_eq!(read.parent, came.parent);
    assert_eq!(read.sampled, Some(context.sampled));
}

fn headers(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(&data[..data.len().min(64)]) {
        headers.insert("x-a", value);
    }
    headers
}

fn record<'a>(method: &'a Method, headers: &'a HeaderMap, end: &'a End) -> Record<'a> {
    Record {
        began: UNIX_EPOCH + Duration::from_secs(1),
        duration: Duration::from_millis(1),
        request_duration: None,
        answered_after: None,
        service_time: None,
        request: Some(Request {
            method,
            path: "/a?b",
            authority: "host",
            scheme: "http",
            version: Version::HTTP_2,
            grpc: true,
            id: None,
            user_agent: Some("agent"),
            forwarded_for: None,
            headers: Some(headers),
            messages: None,
        }),
        response: Response {
            code: 200,
            grpc_status: Some(3),
            flags: ResponseFlags::NONE,
            headers: Some(headers),
            trailers: Some(headers),
            ..Response::default()
        },
        received: 1,
        sent: 2,
        received_whole: 3,
        sent_whole: 4,
        connection: Connection {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            local: SocketAddr::from((Ipv4Addr::LOCALHOST, 2)),
            mutual_tls: true,
            server_name: None,
        },
        source: end,
        destination: end,
        service: None,
        upstream: Upstream::default(),
        route: None,
        trace: None,
        metadata: None,
    }
}

#[cfg(test)]
mod tests;
