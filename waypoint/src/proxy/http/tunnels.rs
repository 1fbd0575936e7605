//! Changes of protocol over HTTP/2 (RFC 8441): an extended CONNECT becomes what endpoints know from HTTP/1.1, an Upgrade,
//! and the stream carries the new protocol's bytes.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{Upgraded, http1};
use crate::body::Body;
use crate::stream::Stream;
use crate::worker::Worker;

/// The stream of a request that asks for a change of protocol over HTTP/2.
pub(super) fn tunnel(request: &mut Request<Incoming>) -> Option<OnUpgrade> {
    let asks = request.method() == Method::CONNECT && request.version() == Version::HTTP_2;
    (asks && request.extensions().get::<Protocol>().is_some()).then(|| hyper::upgrade::on(request))
}

/// The protocol of an extended CONNECT, whose head becomes one of HTTP/1.1; `None` if it is none.
///
/// # Errors
/// When it is none that is carried.
pub(super) fn protocol(head: &mut Parts) -> Option<Result<HeaderValue, &'static str>> {
    if head.method != Method::CONNECT || head.version != Version::HTTP_2 {
        return None;
    }
    let protocol = head.extensions.get::<Protocol>()?;
    if !protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) {
        return Some(Err("unknown_protocol"));
    }
    head.method = Method::GET;
    // RFC 8441, 5: over HTTP/2 there are none. What the endpoint makes of it is of no use to the client.
    let key = STANDARD.encode(fastrand::u128(..).to_be_bytes());
    head.headers.remove(header::SEC_WEBSOCKET_KEY);
    if let Ok(key) = HeaderValue::try_from(key) {
        head.headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    // Whoever decides about changes of protocol need not know how they are asked for over HTTP/2.
    let asked = HeaderValue::from_static("upgrade");
    head.headers.insert(header::CONNECTION, asked);
    let protocol = HeaderValue::from_static(WEBSOCKET);
    head.headers.insert(header::UPGRADE, protocol);
    Some(Ok(HeaderValue::from_static(WEBSOCKET)))
}

/// The endpoint has changed the protocol: so does the stream, as soon as this answer is on its way.
pub(super) fn changed(
    worker: &Rc<Worker>,
    tunnel: OnUpgrade,
    mut head: http::response::Parts,
    upgraded: Upgraded,
) -> Response<Body> {
    head.status = StatusCode::OK;
    head.version = Version::HTTP_2;
    without_handshake(&mut head.headers);
    let memory = worker.memory.clone();
    worker
        .tasks
        .spawn_local("a changed protocol over HTTP/2", async move {
            // If the client went away, that is told with the story.
            if let Ok(stream) = tunnel.await {
                http1::carry(&memory, Stream::of_duplex(TokioIo::new(stream)), upgraded).await;
            }
        });
    Response::from_parts(head, Body::empty())
}

fn without_handshake(headers: &mut HeaderMap) {
    super::head::strip_hop(headers);
    for name in [
        header::CONTENT_LENGTH,
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderName::from_static("te"),
    ] {
        headers.remove(name);
    }
}

const WEBSOCKET: &str = "websocket";
