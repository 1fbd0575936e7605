//! Is this head one that is passed on, and as what? Pure.
//!
//! What two readers of a request could take for different things is refused (RFC 9112, sections 3.2 and 6; RFC 9113,
//! section 8.3.1): which host is meant, above all. Fields that are meant for this hop only end here
//! (RFC 9110, section 7.6.1): those that a client names in Connection at once, so that it takes nothing away which is
//! added later; those that are known to be when the request goes on, so that whoever decides sees them.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, StatusCode, Uri, Version};
use mesh_model::l7::edit;
use mesh_model::l7::policy::PathNormalization;

use super::tunnels;
use crate::body::passed;
use crate::reply::{LocalReply, is_grpc};
use crate::telemetry::RequestLine;

/// A head that is passed on.
pub(crate) struct Prepared {
    /// Without authority, Host and what Connection names; its URI is path and query.
    pub(crate) head: Parts,
    /// The authority that is asked for.
    pub(crate) authority: HeaderValue,
    /// The same, where the target names it.
    pub(crate) named: Option<Authority>,
    /// Whether it is one of gRPC.
    pub(crate) grpc: bool,
    /// The protocol to change to.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The client waits to be told to send the body.
    pub(crate) expects: bool,
    /// For logs.
    pub(crate) line: RequestLine,
}

/// A head that is not.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) reply: LocalReply,
    pub(crate) line: RequestLine,
}

/// Reads a head as hyper gave it.
///
/// # Errors
/// The answer.
pub(crate) fn prepare(mut head: Parts) -> Result<Prepared, Box<Malformed>> {
    let grpc = is_grpc(&head.headers);
    let mut line = RequestLine {
        method: head.method.clone(),
        path: head
            .uri
            .path_and_query()
            .cloned()
            .unwrap_or_else(|| PathAndQuery::from_static("/")),
        authority: HeaderValue::from_static(""),
        version: head.version,
        bytes: passed::request_head(head.version, &head.method, &head.uri, &head.headers),
        grpc,
        id: head.headers.get("x-request-id").cloned(),
        user_agent: head.headers.get(header::USER_AGENT).cloned(),
        forwarded_for: head.headers.get("x-forwarded-for").cloned(),
        headers: None,
    };
    let authority = match authority(&head) {
        Ok(authority) => authority,
        Err(details) => {
            let reply = closing(LocalReply::bad_request(details), head.version);
            return Err(Box::new(Malformed { reply, line }));
        }
    };
    line.authority = authority.clone();
    if DISGUISED.iter().any(|name| head.headers.contains_key(name)) {
        let reply = closing(LocalReply::bad_request("disguised_framing_header"), head.version);
        return Err(Box::new(Malformed { reply, line }));
    }
    let tunnelled = match tunnels::protocol(&mut head) {
        Some(Ok(protocol)) => Some(protocol),
        Some(Err(details)) => {
            let reply = LocalReply::new(StatusCode::NOT_IMPLEMENTED, details, "");
            return Err(Box::new(Malformed { reply, line }));
        }
        None => None,
    };
    line.method.clone_from(&head.method);
    if head.method == Method::CONNECT {
        let reply = LocalReply::new(StatusCode::METHOD_NOT_ALLOWED, "connect_not_allowed", "");
        let reply = closing(reply, head.version);
        return Err(Box::new(Malformed { reply, line }));
    }
    let upgrade = tunnelled.or_else(|| upgrade(&head));
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    head.headers.remove(header::HOST);
    strip_named(&mut head.headers);
    let expects = match head.headers.get(header::EXPECT) {
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            head.version == Version::HTTP_11
        }
        Some(_) => {
            let reply = LocalReply::new(StatusCode::EXPECTATION_FAILED, "unknown_expectation", "");
            return Err(Box::new(Malformed { reply, line }));
        }
        None => false,
    };
    let named = head.uri.authority().cloned();
    head.uri = match head.uri.path_and_query() {
        Some(path) => Uri::from(path.clone()),
        None => Uri::from_static("/"),
    };
    Ok(Prepared {
        head,
        authority,
        named,
        grpc,
        upgrade,
        expects,
        line,
    })
}

/// Makes the path comparable: what routes and policies see is what goes on.
pub(crate) fn normalize(head: &mut Parts, mode: PathNormalization) {
    let path = head.uri.path();
    let normal = edit::normalize(path, mode);
    if normal == path {
        return;
    }
    let whole = match head.uri.query() {
        Some(query) => format!("{normal}?{query}"),
        None => normal.into_owned(),
    };
    if let Ok(whole) = PathAndQuery::try_from(whole) {
        head.uri = Uri::from(whole);
    }
}

/// Whether an answer over HTTP/1 has one meaning: hyper takes Transfer-Encoding where there is a Content-Length, too, and
/// reads to the connection's end what is encoded otherwise (RFC 9112, section 6.3).
pub(crate) fn is_unambiguous(answer: &http::response::Parts) -> bool {
    let mut lengths = answer.headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return false;
    }
    let mut encodings = answer.headers.get_all(header::TRANSFER_ENCODING).iter();
    match encodings.next() {
        None => length.is_none_or(|length| length.as_bytes().iter().all(u8::is_ascii_digit)),
        Some(encoding) => {
            let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
            chunked && length.is_none() && encodings.next().is_none()
        }
    }
}

/// Takes away what is meant for this hop only: what Connection names, and what is known to be.
pub(crate) fn strip_hop(headers: &mut HeaderMap) {
    strip_named(headers);
    strip_known(headers);
}

/// Takes away what a request's Connection names. What is known to be for one hop stays for those who decide.
pub(crate) fn strip_named(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|b| *b == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .filter(|name| !HOP_BY_HOP.contains(name) && *name != header::EXPECT)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
}

/// Takes away what is known to be for one hop.
pub(crate) fn strip_known(headers: &mut HeaderMap) {
    // `te: trailers` is the only one with a meaning beyond (gRPC relies on it).
    let trailers = headers.get_all(header::TE).iter().any(|te| {
        let mut codings = te.as_bytes().split(|b| *b == b',');
        codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// What clients of HTTP/2 part for the sake of compression is one field to everybody else (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1
        && let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookie);
    }
}

/// What follows a request like this one is read as nothing.
fn closing(reply: LocalReply, version: Version) -> LocalReply {
    match version {
        Version::HTTP_2 => reply,
        _ => reply.with_header(header::CONNECTION, HeaderValue::from_static("close")),
    }
}

/// The one authority that a request means.
fn authority(head: &Parts) -> Result<HeaderValue, &'static str> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("http1.multiple_hosts");
    }
    let named = head.uri.authority();
    // RFC 9112, 3.2: a target is a path, or a whole URI; `*` only for OPTIONS. A bare authority is for CONNECT.
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let is_target = match path.as_bytes().first() {
        Some(b'/') => named.is_none() || head.uri.scheme().is_some(),
        Some(b'*') => path == "*" && head.method == Method::OPTIONS,
        _ => head.method == Method::CONNECT,
    };
    if !is_target {
        return Err("invalid_target");
    }
    // RFC 9112, 3.2: also where the target names it.
    if host.is_none() && head.version == Version::HTTP_11 {
        return Err("missing_host_header");
    }
    let authority = match (named, host) {
        (Some(named), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(named.as_str().as_bytes()) => {
            return Err("host_differs_from_authority");
        }
        (Some(named), _) => HeaderValue::from_str(named.as_str()).map_err(|_| "invalid_authority")?,
        (None, Some(host)) => host.clone(),
        (None, None) if head.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err("missing_host_header"),
    };
    // RFC 9110, 4.2.4: userinfo is a disguise. The rest are no characters of a host.
    let strange = |b: &u8| matches!(b, b'@' | b'/' | b'?' | b'#' | b'\\' | b',' | b' ' | b'\t');
    if authority.as_bytes().iter().any(strange) || !authority.as_bytes().is_ascii() {
        return Err("invalid_authority");
    }
    Ok(authority)
}

/// The protocol that the client would rather speak (RFC 9110, section 7.8).
fn upgrade(head: &Parts) -> Option<HeaderValue> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    let asked = head.headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|b| *b == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    // To change to HTTP/2 in the middle of a connection is history (RFC 9113, section 3.1).
    let protocol = head.headers.get(header::UPGRADE)?;
    (asked && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| protocol.clone())
}

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Whoever takes an underscore for a dash, as CGI does, would see another end of the request.
const DISGUISED: [HeaderName; 2] = [
    HeaderName::from_static("content_length"),
    HeaderName::from_static("transfer_encoding"),
];

#[cfg(test)]
mod tests;
