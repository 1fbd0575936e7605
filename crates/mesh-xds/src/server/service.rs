//! The gRPC service. It is written against tonic's lower layer, because the generated code would copy every response
//! into one buffer per subscriber.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied, Lifetime};
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::SERVICE_NAME;
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::Codec;
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::Service;
use tracing::info;

use super::cache::ResourceCache;
use super::debug::{self, Audience};
use super::delivery::Heard;
use super::session::SubscriberStatus;
use super::stream::SubscriberStream;
use crate::node::NodeInfo;
use crate::resource::TypeUrl;

/// Authenticates xDS clients, and compares what a client says it is with who it is.
pub trait AdmitNode: AuthenticateCaller {
    /// Judges the node that an authenticated caller claims to be.
    ///
    /// # Errors
    /// Fails when the claim does not fit the caller.
    fn admit(&self, caller: &Self::Caller, node: &NodeInfo) -> Result<(), Denied>;

    /// Changes whenever [`AdmitNode::admit`] may judge otherwise than before: open streams are judged again then, before
    /// they are sent anything more, and end where they would not be let in now. Nothing where its judgement stays.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// Whose standing somebody may be told of, who is no xDS client: an operator, with a token or a certificate.
    ///
    /// # Errors
    /// Fails for whoever may not be told anything.
    fn may_look(
        &self,
        _: &MetadataMap,
        _: Option<&ConnectionInfo>,
    ) -> impl Future<Output = Result<Audience, Denied>> + Send {
        std::future::ready(Err(Denied::Forbidden(
            "nobody is told here how proxies stand".to_owned(),
        )))
    }
}

/// The aggregated discovery service. Clones serve the same cache.
#[derive(Debug)]
pub struct XdsServer<A> {
    shared: Arc<Shared<A>>,
}

#[derive(Debug)]
pub(super) struct Shared<A> {
    pub(super) cache: ResourceCache,
    pub(super) admission: A,
    pub(super) subscribers: Mutex<BTreeMap<u64, SubscriberStatus>>,
    /// Who this server is, as debug answers say it; empty where they do not.
    pub(super) identifier: String,
    next_id: AtomicU64,
    pub(super) stands: watch::Sender<u64>,
}

impl<A: AdmitNode> XdsServer<A> {
    /// Serves a cache to the clients that `admission` lets in.
    #[must_use]
    pub fn new(cache: ResourceCache, admission: A) -> Self {
        Self::called(String::new(), cache, admission)
    }

    /// The same; debug answers say that they come from `identifier`.
    #[must_use]
    pub fn called(identifier: String, cache: ResourceCache, admission: A) -> Self {
        Self {
            shared: Arc::new(Shared {
                cache,
                admission,
                subscribers: Mutex::new(BTreeMap::new()),
                identifier,
                next_id: AtomicU64::new(0),
                stands: watch::Sender::default(),
            }),
        }
    }

    /// How each connected client stands, the longest connected first.
    #[must_use]
    pub fn subscribers(&self) -> Vec<SubscriberStatus> {
        self.shared.subscribers()
    }

    /// Which clients have taken a change; at most `named` of the others are named.
    #[must_use]
    pub fn heard(&self, type_url: TypeUrl, change: u64, named: usize) -> Heard {
        let subscribers = self.shared.subscribers.lock();
        Heard::of(subscribers.values(), type_url, change, named)
    }

    /// Changes whenever a client may stand otherwise than before, or is gone.
    #[must_use]
    pub fn stands(&self) -> watch::Receiver<u64> {
        self.shared.stands.subscribe()
    }
}

impl<A> Shared<A> {
    /// What they said last, beside what is published now: of a client that does not read, nothing new is heard.
    pub(super) fn subscribers(&self) -> Vec<SubscriberStatus> {
        let mut subscribers: Vec<_> = self.subscribers.lock().values().cloned().collect();
        let published: BTreeMap<TypeUrl, u64> = self.cache.read(|tables| {
            let tables = tables.tables.iter();
            tables
                .map(|table| (table.type_url, table.last_change()))
                .collect()
        });
        for subscription in subscribers.iter_mut().flat_map(|s| &mut s.subscriptions) {
            let published = published.get(&subscription.type_url);
            subscription.published = published.copied().unwrap_or(subscription.published);
        }
        subscribers
    }
}

impl<A> Clone for XdsServer<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<A> NamedService for XdsServer<A> {
    const NAME: &'static str = SERVICE_NAME;
}

impl<A: AdmitNode> Service<Request<Body>> for XdsServer<A> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let shared = self.shared.clone();
        Box::pin(async move {
            let opened = open(shared, request).await;
            Ok(opened.unwrap_or_else(|status| status.into_http()))
        })
    }
}

async fn open<A: AdmitNode>(
    shared: Arc<Shared<A>>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    match request.uri().path() {
        DELTA_PATH => {}
        debug::PATH => return debug::open(shared, request).await,
        _ => {
            let only = "only DeltaAggregatedResources is served";
            return Err(Status::new(Code::Unimplemented, only));
        }
    }
    let (parts, body) = request.into_parts();
    let connection = mesh_grpc::caller::connection(&parts.extensions);
    let metadata = MetadataMap::from_headers(parts.headers);
    let caller = shared.admission.authenticate(&metadata, connection).await;
    let caller = caller.map_err(|denied| {
        info!(peer = ?connection.and_then(|c| c.peer), "xDS client refused: {denied}");
        denied.to_status()
    })?;
    let good_for = shared.admission.good_for(&metadata, connection);
    let lifetime = Lifetime::new(good_for, fastrand::f64());
    if !shared.cache.is_ready() {
        tracing::debug!("xDS stream refused: not everything is loaded yet");
        return Err(Status::unavailable(
            "the control plane has not loaded everything yet",
        ));
    }
    let decoder = ProstCodec::<DeltaDiscoveryResponse, DeltaDiscoveryRequest>::default().decoder();
    let requests = Streaming::new_request(decoder, body, None, Some(MAX_REQUEST));
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    let stream = SubscriberStream::new(id, shared, caller, requests, lifetime);
    let mut response = Response::new(stream.into_body());
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    Ok(response)
}

/// A reconnecting client names everything that it holds, about 1 MiB for 10,000 resources: the common 4 MiB end at
/// 40,000 of them.
const MAX_REQUEST: usize = 32 * 1024 * 1024;
const DELTA_PATH: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

#[cfg(test)]
mod tests;
