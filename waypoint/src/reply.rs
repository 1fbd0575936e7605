//! Answers from here: an error, a refusal, a fault. To a gRPC client they are 200 with a status in headers
//! (gRPC, "Mapping gRPC status codes"; Envoy, "Local reply modification").

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::body::Body;
use crate::flags::ResponseFlag;

/// An answer from here, before it is known to whom.
#[derive(Clone, Debug)]
pub struct LocalReply {
    /// The status for clients of HTTP.
    pub status: StatusCode,
    /// The status for clients of gRPC, where it is not the one that follows from [`Self::status`].
    pub grpc_status: Option<u8>,
    /// The sentence; the body for clients of HTTP, `grpc-message` for others.
    pub message: Bytes,
    /// Further headers.
    pub headers: HeaderMap,
    /// Why, for logs and metrics.
    pub flag: Option<ResponseFlag>,
    /// Why, in a word that is the same for all such answers (`%RESPONSE_CODE_DETAILS%`).
    pub details: &'static str,
}

impl LocalReply {
    /// An answer without flag.
    #[must_use]
    pub fn new(status: StatusCode, details: &'static str, message: impl Into<Bytes>) -> Self {
        Self {
            status,
            grpc_status: None,
            message: message.into(),
            headers: HeaderMap::new(),
            flag: None,
            details,
        }
    }

    /// With a flag.
    #[must_use]
    pub fn flagged(mut self, flag: ResponseFlag) -> Self {
        self.flag = Some(flag);
        self
    }

    /// With another status for gRPC.
    #[must_use]
    pub fn with_grpc(mut self, status: u8) -> Self {
        self.grpc_status = Some(status);
        self
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// No endpoint that is well.
    #[must_use]
    pub fn no_healthy_upstream() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "no_healthy_upstream", "no healthy upstream")
            .flagged(ResponseFlag::NoHealthyUpstream)
    }

    /// As many requests or connections as there may be. The header is the one by which Envoy's clients know it.
    #[must_use]
    pub fn overflow() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let message = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
        let overloaded = header::HeaderName::from_static("x-envoy-overloaded");
        Self::new(
            status,
            "upstream_reset_before_response_started{overflow}",
            message,
        )
        .flagged(ResponseFlag::UpstreamOverflow)
        .with_header(overloaded, HeaderValue::from_static("true"))
    }

    /// This proxy has no memory left for more.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overload", "overloaded")
            .flagged(ResponseFlag::UpstreamOverflow)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Nothing matched.
    #[must_use]
    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found", "").flagged(ResponseFlag::NoRouteFound)
    }

    /// Another listener's host, on a connection that is not for it (RFC 9110, section 15.5.20).
    #[must_use]
    pub fn misdirected() -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", "")
            .flagged(ResponseFlag::NoRouteFound)
    }

    /// The rule cannot be carried out: no destination, or one that is not there.
    #[must_use]
    pub fn invalid_route() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "direct_response", "").flagged(ResponseFlag::NoClusterFound)
    }

    /// A policy does not allow it.
    #[must_use]
    pub fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "rbac_access_denied", "RBAC: access denied")
    }

    /// The request is none that is passed on.
    #[must_use]
    pub fn bad_request(details: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, details, "").flagged(ResponseFlag::DownstreamProtocolError)
    }

    /// The time is over.
    #[must_use]
    pub fn timed_out() -> Self {
        let status = StatusCode::GATEWAY_TIMEOUT;
        Self::new(status, "response_timeout", "upstream request timeout")
            .flagged(ResponseFlag::UpstreamRequestTimeout)
    }

    /// As it is sent: `grpc` is how gRPC clients are answered.
    #[must_use]
    pub fn into_response(self, grpc: bool) -> http::Response<Body> {
        let mut response = http::Response::new(Body::empty());
        if grpc {
            let status = self.grpc_status.unwrap_or_else(|| grpc_status(self.status));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
            if let Ok(message) = HeaderValue::from_bytes(&percent_encoded(&self.message)) {
                headers.insert("grpc-message", message);
            }
        } else {
            *response.status_mut() = self.status;
            if !self.message.is_empty() {
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                *response.body_mut() = Body::full(self.message);
            }
        }
        response.headers_mut().extend(self.headers);
        response
    }
}

/// Whether a request is one of gRPC: by its content type (gRPC over HTTP/2, "Requests").
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// gRPC's word for an HTTP status ("HTTP to gRPC Status Code Mapping").
#[must_use]
pub fn grpc_status(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// As `grpc-message` is written: what is not printable ASCII, and the per cent sign, in hexadecimal.
fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b' '..=b'~') && *byte != b'%' {
            encoded.push(*byte);
        } else {
            let hex = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            encoded.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
