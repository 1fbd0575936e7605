//! Answers.

use std::future::Future;

use mesh_grpc::{AuthenticateCaller, Denied};
use mesh_proto::lateen::settled::v1 as wire;
use mesh_proto::lateen::settled::v1::settlements_server::{Settlements, SettlementsServer};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{Answer, Question};

/// Knows who has heard what.
pub trait Settle: Send + Sync + 'static {
    /// Whoever authenticated.
    type Caller: Send + Sync + 'static;
    /// What a caller may be told of.
    type Scope: Send;

    /// What this caller may be told of.
    ///
    /// # Errors
    /// Fails for whoever may ask nothing.
    fn scope(&self, caller: &Self::Caller) -> Result<Self::Scope, Denied>;

    /// How it stands when everybody has heard, or when the question's time is over.
    fn await_plain(&self, scope: Self::Scope, question: Question) -> impl Future<Output = Answer> + Send;
}

/// The service.
#[derive(Debug)]
pub struct SettledServer<A, S> {
    authenticate: A,
    settle: S,
    room: Semaphore,
}

impl<A, S> SettledServer<A, S>
where
    A: AuthenticateCaller,
    S: Settle<Caller = A::Caller>,
{
    /// Answers those whom `authenticate` knows and `settle` lets ask.
    #[must_use]
    pub fn new(authenticate: A, settle: S) -> Self {
        Self {
            authenticate,
            settle,
            room: Semaphore::new(MAX_WAITING),
        }
    }

    /// The service for a tonic server.
    #[must_use]
    pub fn into_service(self) -> SettlementsServer<Self> {
        SettlementsServer::new(self).max_decoding_message_size(MAX_QUESTION)
    }
}

#[tonic::async_trait]
impl<A, S> Settlements for SettledServer<A, S>
where
    A: AuthenticateCaller,
    S: Settle<Caller = A::Caller>,
{
    async fn await_plain(
        &self,
        request: Request<wire::AwaitPlainRequest>,
    ) -> Result<Response<wire::AwaitPlainResponse>, Status> {
        let connection = mesh_grpc::caller::connection(request.extensions());
        let caller = self
            .authenticate
            .authenticate(request.metadata(), connection)
            .await;
        let scope = caller.and_then(|caller| self.settle.scope(&caller));
        let scope = scope.map_err(|denied| {
            info!(peer = ?connection.and_then(|c| c.peer), "who has heard of a pod is not told: {denied}");
            denied.to_status()
        })?;
        let question = Question::try_from(request.into_inner());
        let question = question.map_err(|malformed| Status::invalid_argument(malformed.to_string()))?;
        let Ok(Ok(_room)) = timeout(question.wait, self.room.acquire()).await else {
            return Err(Status::resource_exhausted("too many pods leave the mesh at once"));
        };
        let answer = self.settle.await_plain(scope, question).await;
        Ok(Response::new(answer.into()))
    }
}

/// Questions that are waited for at once; others wait for them.
const MAX_WAITING: usize = 1024;
/// Bytes; a pod's name and addresses.
const MAX_QUESTION: usize = 4 * 1024;
