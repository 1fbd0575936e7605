//! One place's stream: its responses, polled by the connection, drive everything. While the place does not read,
//! nothing is done for it, and what it is to be told stays in the assignments.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use mesh_grpc::lifetime::{Lifetime, StreamEnd};
use mesh_proto::lateen::register::v1::{RegisterRequest, RegisterResponse};
use mesh_types::NamespacedName;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use tonic::{Status, Streaming};
use tracing::{debug, info};

use super::assignments::OnPlace;
use super::service::{Registrar, Shared};
use crate::model::{Assignment, Hello, Outcome, Place};
use crate::wire::{Malformed, Request, Response};

pub(super) struct PlaceStream<A, R: Registrar> {
    shared: Arc<Shared<A, R>>,
    place: Place,
    requests: Streaming<RegisterRequest>,
    joined: Option<Joined>,
    /// A report under way; the next request is read when it is answered.
    answering: Option<Answering>,
    end: StreamEnd,
    /// When that is.
    ends: Pin<Box<Sleep>>,
}

/// After the greeting.
struct Joined {
    stream: u64,
    replaced: watch::Receiver<bool>,
    assigned: watch::Receiver<OnPlace>,
    sent: BTreeMap<NamespacedName, Arc<Assignment>>,
    snapshot_complete: bool,
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

impl<A, R> PlaceStream<A, R>
where
    A: Send + Sync + 'static,
    R: Registrar,
{
    pub(super) fn new(
        shared: Arc<Shared<A, R>>,
        place: Place,
        requests: Streaming<RegisterRequest>,
        lifetime: Lifetime,
    ) -> Self {
        Self {
            shared,
            place,
            requests,
            joined: None,
            answering: None,
            end: lifetime.end,
            ends: Box::pin(sleep(lifetime.after)),
        }
    }

    pub(super) fn into_responses(self) -> impl Stream<Item = Result<RegisterResponse, Status>> + Send {
        stream::unfold(Some(self), |this| async move {
            let mut this = this?;
            match this.next_response().await {
                Ok(Some(response)) => Some((Ok(response.into()), Some(this))),
                Ok(None) => None,
                Err(status) => {
                    info!(place = %this.place, code = ?status.code(), "registration stream ended: {}", status.message());
                    Some((Err(status), None))
                }
            }
        })
    }

    async fn next_response(&mut self) -> Result<Option<Response>, Status> {
        if self.joined.is_none() {
            return self.greet().await;
        }
        loop {
            let Some(joined) = &mut self.joined else {
                return Ok(None);
            };
            if let Some(response) = joined.next_assignment() {
                return Ok(Some(response));
            }
            tokio::select! {
                biased;
                changed = joined.replaced.changed() => {
                    // A sender that is gone was replaced as well.
                    drop(changed);
                    return Err(Status::aborted("a newer stream of this place has replaced this one"));
                }
                response = answered(&mut self.answering), if self.answering.is_some() => {
                    self.answering = None;
                    return Ok(Some(response));
                }
                // Not while a report is under way: it gets its answer first.
                () = self.ends.as_mut(), if self.answering.is_none() => return Err(self.end.to_status()),
                changed = joined.assigned.changed() => {
                    changed.map_err(|_| Status::unavailable("the control plane is going away"))?;
                    // Waiting has marked it as seen; it is when all of it was told.
                    joined.assigned.mark_changed();
                }
                request = self.requests.message(), if self.answering.is_none() => {
                    let Some(request) = request? else { return Ok(None) };
                    self.handle(Request::try_from(request).map_err(invalid)?)?;
                }
            }
        }
    }

    async fn greet(&mut self) -> Result<Option<Response>, Status> {
        let first = tokio::time::timeout(HELLO_DEADLINE, self.requests.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("hello: did not come within 10 s"))??;
        let Some(first) = first else { return Ok(None) };
        let Request::Hello(hello) = Request::try_from(first).map_err(invalid)? else {
            return Err(Status::invalid_argument(
                "payload: the first message is not hello",
            ));
        };
        self.join(&hello);
        Ok(Some(Response::Welcome {
            lease_seconds: u32::try_from(self.shared.registrar.lease().as_secs())
                .unwrap_or(u32::MAX)
                .max(1),
            place: self.place.as_str().to_owned(),
        }))
    }

    fn join(&mut self, hello: &Hello) {
        let (stream, replaced) = self.shared.join(&self.place, hello);
        info!(place = %self.place, instance = hello.instance, version = hello.version, "a place registers");
        let mut assigned = self.shared.assignments.watch(&self.place);
        assigned.mark_changed();
        self.joined = Some(Joined {
            stream,
            replaced,
            assigned,
            sent: BTreeMap::new(),
            snapshot_complete: false,
        });
    }

    fn handle(&mut self, request: Request) -> Result<(), Status> {
        let (registrar, place) = (self.shared.registrar.clone(), self.place.clone());
        self.answering = Some(match request {
            Request::Hello(_) => return Err(Status::invalid_argument("hello: came a second time")),
            Request::Renew => {
                registrar.renewed(&place);
                return Ok(());
            }
            Request::Report(id, Ok(report)) => {
                Box::pin(async move { Response::Ack(id, registrar.report(&place, report).await) })
            }
            Request::Withdraw(id, Ok(withdrawal)) => {
                Box::pin(async move { Response::Ack(id, registrar.withdraw(&place, withdrawal).await) })
            }
            // One malformed workload must not cost the others their stream.
            Request::Report(id, Err(malformed)) | Request::Withdraw(id, Err(malformed)) => {
                debug!(%place, "refused: {malformed}");
                Box::pin(async move { Response::Ack(id, Outcome::Invalid(malformed.to_string())) })
            }
        });
        Ok(())
    }
}

impl<A, R: Registrar> Drop for PlaceStream<A, R> {
    fn drop(&mut self) {
        if let Some(joined) = &self.joined {
            self.shared.leave(&self.place, joined.stream);
        }
    }
}

impl Joined {
    /// What the place is to be told next: what differs from what it was told.
    fn next_assignment(&mut self) -> Option<Response> {
        if self.snapshot_complete && !self.assigned.has_changed().unwrap_or(false) {
            return None;
        }
        let now = self.assigned.borrow().clone();
        if let Some(gone) = self.sent.keys().find(|name| !now.contains_key(*name)).cloned() {
            self.sent.remove(&gone);
            return Some(Response::Unassign(gone));
        }
        let differs = |(name, assignment): &(&NamespacedName, &Arc<Assignment>)| {
            self.sent.get(*name) != Some(assignment)
        };
        if let Some((name, assignment)) = now.iter().find(differs) {
            let response = Response::Assign(Ok((**assignment).clone()));
            self.sent.insert(name.clone(), assignment.clone());
            return Some(response);
        }
        self.seen(&now);
        if !self.snapshot_complete {
            self.snapshot_complete = true;
            return Some(Response::SnapshotComplete);
        }
        None
    }

    /// Everything of this state was told; a newer one stays unseen.
    fn seen(&mut self, told: &OnPlace) {
        let now = self.assigned.borrow_and_update();
        let newer = !Arc::ptr_eq(&now, told);
        drop(now);
        if newer {
            self.assigned.mark_changed();
        }
    }
}

async fn answered(answering: &mut Option<Answering>) -> Response {
    match answering {
        Some(answering) => answering.await,
        None => std::future::pending().await,
    }
}

fn invalid(malformed: Malformed) -> Status {
    Status::invalid_argument(malformed.to_string())
}

const HELLO_DEADLINE: Duration = Duration::from_secs(10);
