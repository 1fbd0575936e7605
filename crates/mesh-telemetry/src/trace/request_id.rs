//! What a request's id says of its trace: it may decide over the sample, the same at every proxy that it passes, and tells
//! those that come after (Envoy, `UuidRequestIdConfig`).

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// By this header a client asks for a trace (Envoy, "x-client-trace-id").
const CLIENT_TRACE_ID: HeaderName = HeaderName::from_static("x-client-trace-id");

/// Whether somebody before decided that it is sampled.
#[must_use]
pub fn is_sampled(headers: &HeaderMap) -> bool {
    let id = headers
        .get(REQUEST_ID)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let marked = id.len() == LENGTH && matches!(id[MARK], SAMPLED | b'a' | b'b');
    marked || headers.contains_key(CLIENT_TRACE_ID)
}

/// A number below 10,000, the same for the same id; nothing where there is no id that is random.
#[must_use]
pub fn share(headers: &HeaderMap) -> Option<u64> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let first = u64::from_str_radix(id.get(..8)?, 16).ok()?;
    Some(first % 10_000)
}

/// Tells those that come after that it is sampled.
pub fn mark(headers: &mut HeaderMap) {
    let Some(id) = headers.get_mut(REQUEST_ID) else {
        return;
    };
    if id.len() != LENGTH || matches!(id.as_bytes()[MARK], SAMPLED | b'a' | b'b') {
        return;
    }
    let mut bytes = [0; LENGTH];
    bytes.copy_from_slice(id.as_bytes());
    bytes[MARK] = SAMPLED;
    if let Ok(marked) = HeaderValue::from_bytes(&bytes) {
        *id = marked;
    }
}

/// Of a UUID in text (RFC 9562, section 4).
const LENGTH: usize = 36;
/// Where a random UUID has its version, 4.
const MARK: usize = 14;
const SAMPLED: u8 = b'9';
