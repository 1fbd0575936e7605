//! A request as an endpoint gets it.

use http::uri::Authority;
use http::{HeaderValue, Method, Request, Uri, Version, header};
use http_body::Body as _;
use mesh_model::AppProtocol;
use mesh_model::l7::traffic::HttpVersionPolicy;

use crate::body::Body;
use crate::exchange::Exchange;
use crate::filters::edits::Outgoing;
use crate::proxy::http::head;
use crate::upstream::Cluster;
use crate::upstream::http::HttpVersion;

/// The request as it goes to an endpoint.
pub(in crate::proxy::http) fn request(
    exchange: &Exchange,
    outgoing: &Outgoing,
    version: HttpVersion,
    body: Body,
) -> Request<Body> {
    let length = match body.is_end_stream() {
        true => Some(0),
        false => body.size_hint().exact(),
    };
    let mut request = Request::new(body);
    let (parts, authority) = (outgoing.head(exchange), outgoing.authority(exchange));
    request.method_mut().clone_from(&parts.method);
    *request.headers_mut() = parts.headers.clone();
    head::strip_known(request.headers_mut());
    request.headers_mut().remove(header::EXPECT);
    match version {
        HttpVersion::Http1 => {
            request.uri_mut().clone_from(&parts.uri);
            let headers = request.headers_mut();
            headers.insert(header::HOST, authority.clone());
            // It is meant for one hop, and says so.
            if headers.contains_key(header::TE) {
                headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
            }
            // Of these methods hyper sends no body whose length is not known, unless it is told to.
            let bare = matches!(parts.method, Method::GET | Method::HEAD);
            if bare && !headers.contains_key(header::CONTENT_LENGTH) && length.is_none() {
                headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            if let Some(protocol) = &exchange.upgrade {
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, protocol.clone());
            }
        }
        HttpVersion::Http2 => {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = absolute(&parts.uri, authority, exchange.named.as_ref());
        }
    }
    request
}

/// `named` is what the client's own request gave, read already.
fn absolute(path: &Uri, authority: &HeaderValue, named: Option<&Authority>) -> Uri {
    let named = named.filter(|named| named.as_str().as_bytes() == authority.as_bytes());
    let mut parts = path.clone().into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = match named {
        Some(named) => Some(named.clone()),
        None => Authority::try_from(authority.as_bytes()).ok(),
    };
    // Without an authority (HTTP/1.0) it stays a path; the multiplexer then sends none.
    Uri::from_parts(parts).unwrap_or_else(|_| path.clone())
}

/// What the endpoint speaks: what its port declares, else what the client speaks.
pub(in crate::proxy::http) fn version(exchange: &Exchange, cluster: &Cluster) -> HttpVersion {
    if exchange.upgrade.is_some() {
        return HttpVersion::Http1;
    }
    if exchange.web.is_some() {
        return HttpVersion::Http2;
    }
    let policy = cluster
        .rules()
        .map(|rules| rules.limits().http_version)
        .unwrap_or_default();
    let clients = || match exchange.head.version {
        Version::HTTP_2 => HttpVersion::Http2,
        _ => HttpVersion::Http1,
    };
    match (cluster.protocol(), policy) {
        (_, HttpVersionPolicy::Client) => clients(),
        (AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::GrpcWeb, _)
        | (_, HttpVersionPolicy::Http2) => HttpVersion::Http2,
        (AppProtocol::Http11, _) | (_, HttpVersionPolicy::NoUpgrade) => HttpVersion::Http1,
        (AppProtocol::Unknown | AppProtocol::Tcp | AppProtocol::Tls, _) => clients(),
    }
}
