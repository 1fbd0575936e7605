//! One request to a service, for parts of this proxy that need an answer from one: external authorization, rate limits,
//! exporters, mirrors.
//!
//! It takes the way that traffic takes: endpoints are picked by the service's own rules, in the mesh through tunnels, TLS
//! as its DestinationRule says, within its limits; what it answers counts for its outlier detection. It is never tried
//! again here.

use std::rc::Rc;
use std::time::Duration;

use ::http::{Request, Response};
use mesh_balance::{Outcome, Permit};
use mesh_model::AppProtocol;
use mesh_model::l7::ServicePort;
use tokio::time::timeout;

use super::cluster::Ask;
use super::http::{Answered, HttpVersion, Lease, TryError};
use super::{ClusterKey, Endpoint, Upstream};
use crate::body::{Body, BodyError, Watch};

/// Which HTTP a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallVersion {
    /// What the port declares, else HTTP/1.1.
    Declared,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN: gRPC.
    Http2,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The mesh does not know it; may change.
    #[error("{0} does not exist")]
    Unknown(String),
    /// None of its endpoints is well; may change.
    #[error("{0} has no endpoint that is well")]
    NoEndpoint(String),
    /// There are as many requests as its limits allow.
    #[error("{0} has as many requests as it may have")]
    Overflow(String),
    /// The endpoint did not answer, or not as HTTP.
    #[error("{0}: {1}")]
    Failed(String, String),
    /// Not in time.
    #[error("{0} did not answer within {1:?}")]
    TimedOut(String, Duration),
}

impl Upstream {
    /// Sends one request to a port of a service, and waits for the head of its answer, for so long.
    ///
    /// The request's URI is a path, or absolute; `host` must be set as Host or in the URI. The body that comes back holds
    /// its connection until it was read to its end; dropped before, the connection is closed (HTTP/1.1) or the stream is
    /// reset (HTTP/2). Reading it is not bounded in time here.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        to: &ServicePort,
        version: CallVersion,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, CallError> {
        self.call_to(&ClusterKey::Service(to.clone(), None), version, request, limit)
            .await
    }

    /// The same to any destination.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call_to(
        &self,
        to: &ClusterKey,
        version: CallVersion,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Body>, CallError> {
        match timeout(limit, self.try_call(to, version, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::TimedOut(to.to_string(), limit)),
        }
    }

    async fn try_call(
        &self,
        to: &ClusterKey,
        version: CallVersion,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, CallError> {
        let name = || to.to_string();
        let cluster = self.destination(to, None, None).await;
        if !cluster.exists() {
            return Err(CallError::Unknown(name()));
        }
        let permit = cluster.begin().ok_or_else(|| CallError::Overflow(name()))?;
        let endpoint = cluster
            .pick(&Ask::default())
            .ok_or_else(|| CallError::NoEndpoint(name()))?;
        let version = match (version, cluster.protocol()) {
            (CallVersion::Http2, _) => HttpVersion::Http2,
            (CallVersion::Declared, AppProtocol::Http2 | AppProtocol::Grpc | AppProtocol::GrpcWeb) => {
                HttpVersion::Http2
            }
            (CallVersion::Http1 | CallVersion::Declared, _) => HttpVersion::Http1,
        };
        prepare(&mut request, version);
        let busy = Busy::new(&endpoint);
        let sent = endpoint
            .http
            .send(self.shared(), &endpoint, version, request, false)
            .await;
        match sent {
            Ok(Answered { response, lease, .. }) => {
                cluster.ended(&endpoint, Outcome::Answered(response.status().as_u16()), None);
                let calling = Calling {
                    lease: Some(lease),
                    _counted: (permit, busy),
                };
                Ok(response.map(|body| Body::from(body).watched(calling)))
            }
            Err(TryError::Overflow) => Err(CallError::Overflow(name())),
            Err(error) => {
                cluster.ended(&endpoint, Outcome::Failed, None);
                Err(CallError::Failed(name(), error.to_string()))
            }
        }
    }
}

/// A path and Host for HTTP/1.1, everything in the URI for HTTP/2.
fn prepare(request: &mut Request<Body>, version: HttpVersion) {
    use ::http::uri::{PathAndQuery, Scheme};
    use ::http::{HeaderValue, Uri, Version, header};
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts
        .path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    match version {
        HttpVersion::Http1 => {
            *request.version_mut() = Version::HTTP_11;
            if let Some(authority) = parts.authority.take()
                && let Ok(host) = HeaderValue::from_str(authority.as_str())
            {
                request.headers_mut().insert(header::HOST, host);
            }
            parts.scheme = None;
        }
        HttpVersion::Http2 => {
            *request.version_mut() = Version::HTTP_2;
            if let Some(host) = request.headers_mut().remove(header::HOST)
                && parts.authority.is_none()
            {
                parts.authority = host.as_bytes().try_into().ok();
            }
            parts.scheme = parts.authority.is_some().then_some(Scheme::HTTP);
        }
    }
    // The parts were a URI's, and fit each other.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// A request that is under way at an endpoint.
pub(crate) struct Busy(Rc<Endpoint>);

impl Busy {
    pub(crate) fn new(endpoint: &Rc<Endpoint>) -> Self {
        endpoint.host.begin();
        Self(endpoint.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.host.end();
    }
}

/// What lasts as long as an answer.
struct Calling {
    lease: Option<Lease>,
    _counted: (Permit, Busy),
}

impl Watch for Calling {
    fn data(&mut self, _: &[u8]) {}

    fn trailers(&mut self, _: &::http::HeaderMap) {}

    fn ended(&mut self, result: Result<(), &BodyError>) {
        if let (Ok(()), Some(lease)) = (result, self.lease.take()) {
            lease.done();
        }
    }
}
