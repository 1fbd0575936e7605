//! Who asks, for the application: headers that a client could forge go, and those that are true come.

use std::ops::ControlFlow;

use http::{HeaderMap, HeaderName, HeaderValue};
use mesh_types::Identity as WorkloadIdentity;

use crate::exchange::{Exchange, Filter, Next};

/// Cleans and sets `x-forwarded-*` and `x-forwarded-client-cert`.
pub(crate) struct Identity;

impl Filter for Identity {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let headers = &mut exchange.head.headers;
        clean(headers);
        append(headers, &FORWARDED_FOR, &exchange.peer);
        if !headers.contains_key(FORWARDED_PROTO) {
            headers.insert(
                FORWARDED_PROTO,
                HeaderValue::from_static(exchange.accepted.scheme()),
            );
        }
        if exchange.applied.effective.forwards_client_identity()
            && let Some(client) = &exchange.accepted.client.identity
            && let Some(value) = client_certificate(&exchange.worker.identity, client)
        {
            headers.insert(CLIENT_CERTIFICATE, value);
        }
        ControlFlow::Continue(())
    }
}

/// Takes away what a client could forge.
pub(crate) fn clean(headers: &mut HeaderMap) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_forgeable(name))
        .cloned()
        .collect();
    for name in &forged {
        headers.remove(name);
    }
}

/// Who asks, and whom (Envoy, "x-forwarded-client-cert"; Istio, `xfcc-include-client-identity`). What came was taken away:
/// the client's certificate is known, and nobody else may speak of it.
fn client_certificate(own: &WorkloadIdentity, client: &WorkloadIdentity) -> Option<HeaderValue> {
    // An identity has none of the characters that separate.
    HeaderValue::from_str(&format!("By={own};URI={client}")).ok()
}

/// What only proxies may say: Envoy's own words, by which it is told what to do, and who a client is.
fn is_forgeable(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-envoy-") || name == CLIENT_CERTIFICATE.as_str() || name == "x-istio-attributes"
}

/// Joins all that is there with commas: proxies may have written a line each.
fn append(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, value.clone());
        return;
    }
    let lines = headers.get_all(name).iter().chain([value]);
    let lines: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
    let joined = HeaderValue::from_bytes(&lines.join(&b','));
    if let Ok(joined) = joined {
        headers.insert(name, joined);
    }
}

/// A random UUID (RFC 9562, section 5.4).
pub(crate) fn request_id() -> HeaderValue {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = (0..text.len()).filter(|place| ![8, 13, 18, 23].contains(place));
    for (digit, place) in places.enumerate() {
        let digit = (bits >> (124 - 4 * digit)) & 0xf;
        text[place] = b"0123456789abcdef"[usize::try_from(digit).unwrap_or_default()];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes are a header value")
}

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How the client came to whoever it spoke to first.
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
