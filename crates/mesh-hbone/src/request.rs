//! The CONNECT request of HBONE and its answer, to and from HTTP headers
//! (RFC 9113, section 8.5; Istio's "HBONE" architecture page).
//!
//! Two kinds of fields meet here and are treated differently. What decides something (`:method`, `:authority`,
//! `x-forwarded-network`) is parsed strictly: a value that cannot be understood refuses the request with 400. What only
//! labels telemetry (`baggage`, `forwarded`, `traceparent`) is taken when it is well formed and dropped when it is
//! not; it never decides anything. Unknown headers are ignored, as HTTP demands. Everything is bounded.

mod baggage;
mod forwarded;
mod traceparent;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use mesh_types::{Authority, Strng};

pub use baggage::{Baggage, WorkloadKind};
pub use forwarded::Forwarded;
pub use traceparent::Traceparent;

/// What a client asks of the far end of an HBONE connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    /// Where the bytes shall go: `:authority`.
    pub authority: Authority,
    /// What it says besides.
    pub headers: TunnelHeaders,
}

/// The headers of a CONNECT request. None of them is proof of anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TunnelHeaders {
    /// Labels of the caller, for telemetry only.
    pub baggage: Option<Baggage>,
    /// Who called, as the near end saw it, for telemetry only.
    pub forwarded: Option<Forwarded>,
    /// The connection's id across both ends.
    pub traceparent: Option<Traceparent>,
    /// The caller's network, when the request came through an east-west gateway.
    pub forwarded_network: Option<Strng>,
}

/// The answer to a CONNECT request that opened a tunnel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnectResponse {
    /// Labels of the workload that answered, for telemetry only.
    pub baggage: Option<Baggage>,
}

/// Why a CONNECT request is refused, as the client gets to know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// 400: the request is malformed, or its target is not served here.
    BadRequest,
    /// 431: more header bytes than are accepted.
    HeadersTooLarge,
    /// 401: a policy denies it.
    Denied,
    /// 503: the target could not be reached.
    Unavailable,
}

/// Why a request is no CONNECT request of HBONE; the peer's fault, and not to be retried.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidRequest {
    /// Another method.
    #[error(":method is {0}, not CONNECT")]
    Method(String),
    /// No authority, or a scheme or path beside it.
    #[error("a CONNECT request has :authority and neither :scheme nor :path")]
    Target,
    /// An authority that is no `<ip>:<port>` or `<host>:<port>`.
    #[error(":{0}")]
    Authority(#[from] mesh_types::InvalidAuthority),
    /// A network name that is empty, too long, given twice or not printable.
    #[error("x-forwarded-network is not one printable name of at most {MAX_NETWORK} bytes")]
    ForwardedNetwork,
    /// More header bytes than are accepted, counted as RFC 9113, section 6.5.2 does.
    #[error("{bytes} bytes of headers, more than {limit}")]
    HeadersTooLarge {
        /// How many.
        bytes: usize,
        /// How many are accepted.
        limit: usize,
    },
}

/// A request of our own that cannot be written down; our fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} {value:?} cannot be written into a CONNECT request")]
pub struct UnencodableRequest {
    field: &'static str,
    value: String,
}

// === impl ConnectRequest ===

impl ConnectRequest {
    /// A request with no headers.
    #[must_use]
    pub fn to(authority: Authority) -> Self {
        Self {
            authority,
            headers: TunnelHeaders::default(),
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// Fails when a field that decides something is missing or malformed: to be answered with [`Refusal::BadRequest`].
    pub fn from_http(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, InvalidRequest> {
        if method != Method::CONNECT {
            return Err(InvalidRequest::Method(shorten(method.as_str())));
        }
        let target = uri.authority().ok_or(InvalidRequest::Target)?;
        if uri.scheme().is_some() || uri.path_and_query().is_some() {
            return Err(InvalidRequest::Target);
        }
        Ok(Self {
            authority: parse_authority(target.as_str())?,
            headers: TunnelHeaders::from_http(headers)?,
        })
    }

    /// Writes the request.
    ///
    /// # Errors
    /// Fails when the authority or the network holds characters that HTTP does not allow there.
    pub fn to_http(&self) -> Result<http::Request<()>, UnencodableRequest> {
        let target = match &self.authority {
            // A zone index means something on one machine only.
            Authority::Ip(addr) => Authority::from(*addr).to_string(),
            host @ Authority::Host { .. } => host.to_string(),
        };
        let authority = http::uri::Authority::try_from(target.as_str()).map_err(|_| UnencodableRequest {
            field: "authority",
            value: target,
        })?;
        let mut parts = http::uri::Parts::default();
        parts.authority = Some(authority);
        let mut request = http::Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() =
            Uri::from_parts(parts).expect("an authority alone is a URI in authority form (RFC 9112, 3.2.3)");
        self.headers.write(request.headers_mut())?;
        Ok(request)
    }
}

// === impl TunnelHeaders ===

impl TunnelHeaders {
    fn from_http(headers: &HeaderMap) -> Result<Self, InvalidRequest> {
        Ok(Self {
            baggage: Baggage::from_headers(headers),
            forwarded: only_text(headers, &FORWARDED).and_then(Forwarded::parse),
            traceparent: only_text(headers, &TRACEPARENT).and_then(Traceparent::parse),
            forwarded_network: parse_network(headers)?,
        })
    }

    fn write(&self, headers: &mut HeaderMap) -> Result<(), UnencodableRequest> {
        if let Some(value) = self.baggage.as_ref().and_then(Baggage::to_header) {
            headers.insert(BAGGAGE, value);
        }
        if let Some(value) = self.forwarded.as_ref().and_then(Forwarded::to_header) {
            headers.insert(FORWARDED, value);
        }
        if let Some(traceparent) = &self.traceparent {
            headers.insert(TRACEPARENT, traceparent.to_header());
        }
        if let Some(network) = &self.forwarded_network {
            let unencodable = || UnencodableRequest {
                field: "x-forwarded-network",
                value: shorten(network),
            };
            if !is_network(network) {
                return Err(unencodable());
            }
            let value = HeaderValue::from_str(network).map_err(|_| unencodable())?;
            headers.insert(FORWARDED_NETWORK, value);
        }
        Ok(())
    }
}

// === impl ConnectResponse ===

impl ConnectResponse {
    /// Reads the headers of a 200.
    #[must_use]
    pub fn from_http(headers: &HeaderMap) -> Self {
        Self {
            baggage: Baggage::from_headers(headers),
        }
    }

    /// Writes a 200.
    #[must_use]
    pub fn to_http(&self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.version_mut() = http::Version::HTTP_2;
        if let Some(value) = self.baggage.as_ref().and_then(Baggage::to_header) {
            response.headers_mut().insert(BAGGAGE, value);
        }
        response
    }
}

// === impl InvalidRequest ===

impl InvalidRequest {
    /// What the client is answered.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::HeadersTooLarge { .. } => Refusal::HeadersTooLarge,
            _ => Refusal::BadRequest,
        }
    }
}

/// A header list's size as HTTP/2 counts it (RFC 9113, section 6.5.2), without the few bytes of the pseudo-headers.
pub(crate) fn header_list_size(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

// === impl Refusal ===

impl Refusal {
    /// The HTTP status that stands for it.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Denied => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The response that carries it; its body is empty.
    #[must_use]
    pub fn to_http(self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.version_mut() = http::Version::HTTP_2;
        *response.status_mut() = self.status();
        response
    }
}

/// A value bounded before it goes into an error: names from the wire end up in log lines.
fn shorten(value: &str) -> String {
    value.chars().take(MAX_IN_ERROR).collect()
}

fn parse_authority(target: &str) -> Result<Authority, InvalidRequest> {
    // A host name is at most 253 bytes, a port at most 5 digits: what is longer is not worth repeating in an error.
    if target.len() > MAX_AUTHORITY {
        return Err(mesh_types::InvalidAuthority(shorten(target)).into());
    }
    Ok(target.parse()?)
}

fn parse_network(headers: &HeaderMap) -> Result<Option<Strng>, InvalidRequest> {
    let mut values = headers.get_all(FORWARDED_NETWORK).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    match first.to_str() {
        Ok(network) if values.next().is_none() && is_network(network) => Ok(Some(Strng::from(network))),
        _ => Err(InvalidRequest::ForwardedNetwork),
    }
}

fn is_network(network: &str) -> bool {
    (1..=MAX_NETWORK).contains(&network.len()) && network.bytes().all(|b| b.is_ascii_graphic())
}

/// The value of a header that is given exactly once, as text; a second one makes both worthless.
fn only_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

/// W3C Baggage, section 3.
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// RFC 7239, section 4.
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// W3C Trace Context, section 3.2.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Istio's multi-network ambient mode.
const FORWARDED_NETWORK: HeaderName = HeaderName::from_static("x-forwarded-network");

const MAX_AUTHORITY: usize = 253 + 1 + 1 + 5;
/// As for a DNS name; Istio's network names are labels of at most 63 bytes.
const MAX_NETWORK: usize = 253;
const MAX_IN_ERROR: usize = 64;

#[cfg(test)]
mod tests;
