//! How clients stand, for whoever is no client: `istioctl proxy-status` and `istioctl experimental version` ask for the
//! type `istio.io/debug/syncz` over state-of-the-world xDS (`StreamAggregatedResources`), and are answered as istiod
//! answers. Nothing else is served that way: proxies take resources by `DeltaAggregatedResources`.
//!
//! # Layout
//! - this file: the stream, and what it is refused. [`wire`]: how one client stands, both directions.

pub mod wire;

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use mesh_grpc::Lifetime;
use mesh_proto::envoy::config::core::v3::ControlPlane;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use tokio::time::sleep;
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tracing::info;

use super::service::{AdmitNode, Shared};
use wire::ClientStanding;

/// Whose standing somebody may be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody's.
    Everybody,
    /// That of clients in this namespace.
    Namespace(String),
}

/// Answers one debug stream's requests; no IO, no clock.
#[derive(Debug, Default)]
pub(crate) struct Session {
    answers: u64,
}

/// Why a request is not answered, and the stream ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("type_url is missing; {SYNCZ} is the only type of state-of-the-world xDS here")]
    NoType,
    #[error(
        "type_url: {0:?} is not served over state-of-the-world xDS, only {SYNCZ} is; proxies take resources by \
         DeltaAggregatedResources"
    )]
    NotServed(String),
}

/// Opens a stream for whoever may look.
pub(super) async fn open<A: AdmitNode>(
    shared: Arc<Shared<A>>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let connection = mesh_grpc::caller::connection(request.extensions()).cloned();
    let metadata = MetadataMap::from_headers(request.headers().clone());
    let looked = shared.admission.may_look(&metadata, connection.as_ref()).await;
    let audience = looked.map_err(|denied| {
        info!(peer = ?connection.as_ref().and_then(|c| c.peer), "debug stream refused: {denied}");
        denied.to_status()
    })?;
    let good_for = shared.admission.good_for(&metadata, connection.as_ref());
    let lifetime = Lifetime::new(good_for, fastrand::f64());
    let codec = ProstCodec::<DiscoveryResponse, DiscoveryRequest>::default();
    let mut grpc = Grpc::new(codec).apply_max_message_size_config(Some(MAX_REQUEST), None);
    let answers = Answers {
        shared,
        audience,
        lifetime,
    };
    Ok(grpc.streaming(answers, request).await)
}

struct Answers<A: AdmitNode> {
    shared: Arc<Shared<A>>,
    audience: Audience,
    lifetime: Lifetime,
}

impl<A: AdmitNode> StreamingService<DiscoveryRequest> for Answers<A> {
    type Response = DiscoveryResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>;
    type Future = Ready<Result<tonic::Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        let (shared, audience) = (self.shared.clone(), self.audience.clone());
        let requests = request.into_inner();
        let answers = stream::try_unfold(
            (requests, Session::default()),
            move |(mut requests, mut session)| {
                let (shared, audience) = (shared.clone(), audience.clone());
                async move {
                    while let Some(request) = requests.message().await? {
                        let nonce = session
                            .receive(&request)
                            .map_err(|refused| Status::new(Code::Unimplemented, refused.to_string()))?;
                        if let Some(nonce) = nonce {
                            return Ok(Some((answer(&shared, &audience, nonce), (requests, session))));
                        }
                    }
                    Ok(None)
                }
            },
        );
        let answers = answers.take_until(sleep(self.lifetime.after));
        ready(Ok(tonic::Response::new(Box::pin(answers))))
    }
}

impl Session {
    /// The nonce of the answer to a request; nothing for an acknowledgement, which needs none.
    pub(crate) fn receive(&mut self, request: &DiscoveryRequest) -> Result<Option<String>, Refused> {
        if request.type_url.is_empty() {
            return Err(Refused::NoType);
        }
        if request.type_url != SYNCZ {
            return Err(Refused::NotServed(
                request.type_url.chars().take(MAX_QUOTED).collect(),
            ));
        }
        // istioctl's first request carries a nonce of its own making.
        if self.answers > 0 && request.response_nonce == self.answers.to_string() {
            return Ok(None);
        }
        self.answers += 1;
        Ok(Some(self.answers.to_string()))
    }
}

fn answer<A>(shared: &Shared<A>, audience: &Audience, nonce: String) -> DiscoveryResponse {
    let subscribers = shared.subscribers();
    let clients = subscribers.iter().filter_map(ClientStanding::of);
    let shown = clients.filter(|client| match audience {
        Audience::Everybody => true,
        Audience::Namespace(namespace) => client.namespace == *namespace,
    });
    DiscoveryResponse {
        version_info: String::new(),
        resources: shown.map(|client| client.to_any()).collect(),
        type_url: SYNCZ.to_owned(),
        nonce,
        control_plane: (!shared.identifier.is_empty()).then(|| ControlPlane {
            identifier: shared.identifier.clone(),
        }),
    }
}

/// The type that is answered: how each client stands.
pub const SYNCZ: &str = "istio.io/debug/syncz";
pub(super) const PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
/// Bytes; a request names a type, and says who asks.
const MAX_REQUEST: usize = 64 * 1024;
/// How much of a type is quoted.
const MAX_QUOTED: usize = 256;

#[cfg(test)]
mod tests;
