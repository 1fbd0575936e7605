//! Calls of services that decide about requests: over the waypoint's own connections, as one of the mesh.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use mesh_balance::Outcome;
use mesh_extensions::framing::{self, FramingError};
use mesh_model::AppProtocol;
use mesh_model::l7::ServicePort;
use tokio::time::timeout;

use crate::body::Body;
use crate::upstream::call::Busy;
use crate::upstream::http::{HttpVersion, TryError};
use crate::upstream::{Ask, ClusterKey};
use crate::worker::Worker;

/// Why there is no answer. Whether to ask again was decided already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CallError {
    /// The mesh knows no such service, or no endpoint of it that is well.
    #[error("no endpoint")]
    NoEndpoint,
    /// No connection, or it was lost.
    #[error("{0}")]
    Lost(String),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// An answer of another status.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// gRPC's own status.
    #[error("gRPC status {code}: {message}")]
    Grpc {
        /// Not 0.
        code: u32,
        /// For people.
        message: String,
    },
    /// No gRPC.
    #[error("no status of gRPC")]
    NoGrpcStatus,
    /// No message.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Longer than what is taken.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Calls a method of gRPC with one message, for one message.
pub(crate) async fn unary(
    worker: &Worker,
    service: &ServicePort,
    method: &'static str,
    message: &[u8],
    limit: Duration,
) -> Result<Bytes, CallError> {
    let framed = framing::frame(message);
    let make = || {
        let mut request = Request::new(Body::full(framed.clone()));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = method_uri(service, method);
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(framing::CONTENT_TYPE),
        );
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        if let Ok(value) = HeaderValue::from_str(&grpc_timeout(limit)) {
            headers.insert("grpc-timeout", value);
        }
        request
    };
    let call = call(worker, service, HttpVersion::Http2, make);
    let called = timeout(limit, call).await.map_err(|_| CallError::TimedOut)??;
    if called.head.status != StatusCode::OK {
        return Err(CallError::Status(called.head.status));
    }
    let trailers = called.trailers.as_ref().and_then(framing::status);
    let status = trailers.or_else(|| framing::status(&called.head.headers));
    match status {
        None => Err(CallError::NoGrpcStatus),
        Some(framing::Status { code: 0, .. }) => Ok(framing::single(
            &called.body,
            u32::try_from(LONGEST_ANSWER).unwrap_or(u32::MAX),
        )?),
        Some(framing::Status { code, message }) => Err(CallError::Grpc { code, message }),
    }
}

/// Sends a request of HTTP. Its URI is path and query, Host is among its headers.
pub(crate) async fn http(
    worker: &Worker,
    service: &ServicePort,
    head: &Request<()>,
    body: &Bytes,
    limit: Duration,
) -> Result<Called, CallError> {
    let cluster = worker
        .upstream
        .cluster(&ClusterKey::Service(service.clone(), None));
    let version = match cluster.protocol() {
        AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::GrpcWeb => HttpVersion::Http2,
        _ => HttpVersion::Http1,
    };
    let make = || {
        let mut request = Request::new(Body::full(body.clone()));
        request.method_mut().clone_from(head.method());
        request.uri_mut().clone_from(head.uri());
        request.headers_mut().clone_from(head.headers());
        if version == HttpVersion::Http2 {
            *request.version_mut() = Version::HTTP_2;
            let host = request.headers_mut().remove(header::HOST);
            let mut parts = request.uri().clone().into_parts();
            parts.scheme = Some(http::uri::Scheme::HTTP);
            parts.authority = host.and_then(|host| host.as_bytes().try_into().ok());
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request
    };
    let call = call(worker, service, version, make);
    timeout(limit, call).await.map_err(|_| CallError::TimedOut)?
}

/// Asks an endpoint, and another one where the first cannot have looked at the request.
async fn call(
    worker: &Worker,
    service: &ServicePort,
    version: HttpVersion,
    make: impl Fn() -> Request<Body>,
) -> Result<Called, CallError> {
    let key = ClusterKey::Service(service.clone(), None);
    let cluster = worker.upstream.destination(&key, None, None).await;
    let Some(_permit) = cluster.begin() else {
        return Err(CallError::Lost(reason(&TryError::Overflow)));
    };
    let mut tried = Vec::new();
    let mut alone = false;
    let mut last = CallError::NoEndpoint;
    for _ in 0..ATTEMPTS {
        let ask = Ask {
            tried: &tried,
            anywhere: true,
            ..Ask::default()
        };
        let Some(endpoint) = cluster.pick(&ask) else {
            break;
        };
        let _busy = Busy::new(&endpoint);
        let sent = endpoint
            .http
            .send(worker.upstream.shared(), &endpoint, version, make(), alone);
        match sent.await {
            Ok(answered) => {
                let outcome = Outcome::Answered(answered.response.status().as_u16());
                cluster.ended(&endpoint, outcome, None);
                let (head, body) = answered.response.into_parts();
                let (body, trailers) = collect(body).await?;
                answered.lease.done();
                return Ok(Called { head, body, trailers });
            }
            Err(error) => {
                alone = true;
                last = CallError::Lost(reason(&error));
                match error {
                    // It was not looked at.
                    TryError::NotSent(_) | TryError::NotBegun(_) | TryError::Stale(_) => {}
                    TryError::Connect(_) | TryError::RefusedStream(_) => {
                        cluster.ended(&endpoint, Outcome::Failed, None);
                        tried.push(endpoint);
                    }
                    TryError::Lost(..) | TryError::Overflow => {
                        break;
                    }
                }
            }
        }
    }
    Err(last)
}

async fn collect(mut body: Incoming) -> Result<(Bytes, Option<HeaderMap>), CallError> {
    let (mut bytes, mut trailers) = (BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| CallError::Lost(error.to_string()))?;
        match frame.into_data() {
            Ok(data) if bytes.len() + data.len() > LONGEST_ANSWER => {
                return Err(CallError::TooLong(LONGEST_ANSWER));
            }
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes.freeze(), trailers))
}

fn reason(error: &TryError) -> String {
    error.to_string()
}

pub(super) fn method_uri(service: &ServicePort, path: &str) -> Uri {
    let authority = format!("{}:{}", service.service.hostname, service.port);
    Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(path)
        .build()
        // A name that is no host has no endpoints either.
        .unwrap_or_default()
}

/// gRPC over HTTP/2, "Timeout": at most eight digits and a unit.
fn grpc_timeout(limit: Duration) -> String {
    let millis = limit.as_millis();
    match millis < 100_000_000 {
        true => format!("{millis}m"),
        false => format!("{}S", limit.as_secs().min(99_999_999)),
    }
}

/// Endpoints and connections that are tried.
const ATTEMPTS: usize = 3;
/// Of a service that answers about one request.
const LONGEST_ANSWER: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
