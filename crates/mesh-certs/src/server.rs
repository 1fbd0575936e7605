//! The authority's gRPC side: who calls is said by an [`AuthenticateCaller`], who may have what and the signing itself
//! by an [`Issue`].

use std::future::Future;

use mesh_grpc::AuthenticateCaller;
use mesh_proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use mesh_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::request::{self, Order};

/// Decides and signs.
pub trait Issue: Send + Sync + 'static {
    /// Whoever authenticated.
    type Caller: Send + Sync + 'static;

    /// Signs a certificate for `order.identity` if the caller may have it. Gives the chain as it goes to the caller: the
    /// leaf, intermediates if any, and last all roots in one element (PEM).
    fn issue(
        &self,
        caller: &Self::Caller,
        order: Order,
    ) -> impl Future<Output = Result<Vec<String>, Refused>> + Send;
}

/// Why nothing is signed. The texts are for our own log, except where they say that the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller may not have this identity.
    #[error("not permitted: {0}")]
    Forbidden(String),
    /// The order can never be fulfilled; the caller is told why.
    #[error("not possible: {0}")]
    Invalid(String),
    /// The caller asks too often.
    #[error("too many requests: {0}")]
    Throttled(String),
    /// It cannot be decided or signed now.
    #[error("not now: {0}")]
    Unavailable(String),
    /// The authority itself is broken.
    #[error("internal: {0}")]
    Internal(String),
}

/// The certificate service.
#[derive(Debug)]
pub struct CaServer<A, I> {
    authenticate: A,
    issue: I,
}

impl<A, I> CaServer<A, I>
where
    A: AuthenticateCaller,
    I: Issue<Caller = A::Caller>,
{
    /// Signs for those that `authenticate` lets in what `issue` allows them.
    #[must_use]
    pub fn new(authenticate: A, issue: I) -> Self {
        Self { authenticate, issue }
    }

    /// The service for a tonic server.
    #[must_use]
    pub fn into_service(self) -> IstioCertificateServiceServer<Self> {
        IstioCertificateServiceServer::new(self).max_decoding_message_size(MAX_REQUEST)
    }
}

#[tonic::async_trait]
impl<A, I> IstioCertificateService for CaServer<A, I>
where
    A: AuthenticateCaller,
    I: Issue<Caller = A::Caller>,
{
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let connection = mesh_grpc::caller::connection(request.extensions());
        let peer = connection.and_then(|c| c.peer);
        let caller = self
            .authenticate
            .authenticate(request.metadata(), connection)
            .await;
        let caller = caller.map_err(|denied| {
            info!(?peer, "certificate request refused: {denied}");
            denied.to_status()
        })?;
        // Only an authenticated caller's signing request is looked at: checking it costs a signature verification.
        let order = request::decode(request.get_ref()).map_err(|e| {
            info!(?peer, "certificate request refused: {e}");
            Status::invalid_argument(e.to_string())
        })?;
        let identity = order.identity.clone();
        match self.issue.issue(&caller, order).await {
            Ok(cert_chain) => {
                info!(?peer, %identity, "certificate signed");
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(refused) => {
                warn!(?peer, %identity, "certificate request refused: {refused}");
                Err(refused.to_status())
            }
        }
    }
}

impl Refused {
    /// What the caller is told.
    #[must_use]
    pub fn to_status(&self) -> Status {
        match self {
            Self::Forbidden(_) => {
                Status::permission_denied("the caller may not have this identity's certificate")
            }
            Self::Invalid(why) => Status::invalid_argument(why.clone()),
            Self::Throttled(_) => Status::resource_exhausted("too many certificate requests"),
            Self::Unavailable(_) => Status::unavailable("certificates cannot be signed now"),
            Self::Internal(_) => Status::internal("certificates cannot be signed"),
        }
    }
}

/// A signing request is less than 1 KiB.
const MAX_REQUEST: usize = 64 * 1024;

#[cfg(test)]
mod tests;
