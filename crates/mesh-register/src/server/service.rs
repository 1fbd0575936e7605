//! The gRPC service and what the control plane implements for it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::Stream;
use mesh_grpc::{AuthenticateCaller, Denied, Lifetime};
use mesh_proto::lateen::register::v1::registration_server::{Registration, RegistrationServer};
use mesh_proto::lateen::register::v1::{RegisterRequest, RegisterResponse};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use super::assignments::Assignments;
use super::stream::PlaceStream;
use crate::model::{Hello, Outcome, Place, Report, Withdrawal};

/// Is told what the places report. All calls for one place come from its newest stream, one after the other.
pub trait Registrar: Send + Sync + 'static {
    /// Whoever authenticated.
    type Caller: Send + Sync + 'static;

    /// The place that a caller speaks for, from its token alone.
    ///
    /// # Errors
    /// Fails when the caller speaks for no place.
    fn place(&self, caller: &Self::Caller) -> Result<Place, Denied>;

    /// How long the workloads of a place stay healthy without a renewal; whole seconds, at least 1.
    fn lease(&self) -> Duration;

    /// A place opened a stream, which also renews its leases.
    fn connected(&self, place: &Place, hello: &Hello);

    /// A workload's state.
    fn report(&self, place: &Place, report: Report) -> impl Future<Output = Outcome> + Send;

    /// A workload's end.
    fn withdraw(&self, place: &Place, withdrawal: Withdrawal) -> impl Future<Output = Outcome> + Send;

    /// The leases of everything on a place go on.
    fn renewed(&self, place: &Place);

    /// A place's stream is lost and no newer one is there; its leases run on.
    fn disconnected(&self, place: &Place);
}

/// The registration service.
#[derive(Debug)]
pub struct RegisterServer<A, R> {
    shared: Arc<Shared<A, R>>,
}

#[derive(Debug)]
pub(super) struct Shared<A, R> {
    pub(super) assignments: Assignments,
    pub(super) registrar: Arc<R>,
    authenticate: A,
    streams: Mutex<HashMap<Place, Current>>,
    next_stream: AtomicU64,
}

/// The newest stream of a place.
#[derive(Debug)]
struct Current {
    stream: u64,
    instance: String,
    replaced: watch::Sender<bool>,
}

impl<A, R> RegisterServer<A, R>
where
    A: AuthenticateCaller,
    R: Registrar<Caller = A::Caller>,
{
    /// Serves assignments to the places that `authenticate` lets in, and tells `registrar` what they report.
    #[must_use]
    pub fn new(assignments: Assignments, authenticate: A, registrar: Arc<R>) -> Self {
        Self {
            shared: Arc::new(Shared {
                assignments,
                registrar,
                authenticate,
                streams: Mutex::new(HashMap::new()),
                next_stream: AtomicU64::new(0),
            }),
        }
    }

    /// The service for a tonic server.
    #[must_use]
    pub fn into_service(self) -> RegistrationServer<Self> {
        RegistrationServer::new(self).max_decoding_message_size(MAX_MESSAGE)
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<RegisterResponse, Status>> + Send>>;

#[tonic::async_trait]
impl<A, R> Registration for RegisterServer<A, R>
where
    A: AuthenticateCaller,
    R: Registrar<Caller = A::Caller>,
{
    type RegisterStream = Responses;

    async fn register(
        &self,
        request: Request<Streaming<RegisterRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let connection = mesh_grpc::caller::connection(request.extensions());
        let caller = self
            .shared
            .authenticate
            .authenticate(request.metadata(), connection)
            .await;
        let place = caller.and_then(|caller| self.shared.registrar.place(&caller));
        let place = place.map_err(|denied| {
            info!(peer = ?connection.and_then(|c| c.peer), "registration refused: {denied}");
            denied.to_status()
        })?;
        let good_for = self.shared.authenticate.good_for(request.metadata(), connection);
        let lifetime = Lifetime::new(good_for, fastrand::f64());
        if !self.shared.assignments.is_ready() {
            return Err(Status::unavailable(
                "the control plane has not loaded everything yet",
            ));
        }
        let stream = PlaceStream::new(self.shared.clone(), place, request.into_inner(), lifetime);
        Ok(Response::new(Box::pin(stream.into_responses())))
    }
}

impl<A, R: Registrar> Shared<A, R> {
    /// A place has greeted: this is its stream from now on. The receiver turns true when a newer one takes over.
    pub(super) fn join(&self, place: &Place, hello: &Hello) -> (u64, watch::Receiver<bool>) {
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let (replaced, replaced_seen) = watch::channel(false);
        let current = Current {
            stream,
            instance: hello.instance.clone(),
            replaced,
        };
        let mut streams = self.streams.lock();
        if let Some(older) = streams.insert(place.clone(), current) {
            if older.instance != hello.instance {
                warn!(%place, "another agent registers for this place; its stream replaces the older one");
            }
            older.replaced.send_replace(true);
        }
        // Under the lock, so that the calls of two streams of one place do not overtake each other.
        self.registrar.connected(place, hello);
        (stream, replaced_seen)
    }

    /// A stream has ended; the registrar learns it only of a place's newest.
    pub(super) fn leave(&self, place: &Place, stream: u64) {
        let mut streams = self.streams.lock();
        if streams.get(place).is_some_and(|current| current.stream == stream) {
            streams.remove(place);
            self.registrar.disconnected(place);
        }
    }
}

/// One message is one workload.
const MAX_MESSAGE: usize = 64 * 1024;

#[cfg(test)]
mod tests;
