//! What the places report, on its way to the control loop.

use std::collections::BTreeSet;
use std::time::Duration;

use controlplane_ca::caller::{Caller, ServiceAccount};
use mesh_grpc::Denied;
use mesh_register::server::Registrar;
use mesh_register::{Hello, Outcome, Place, Report, Withdrawal};
use tokio::sync::{mpsc, oneshot};

/// What a place said.
#[derive(Debug)]
pub enum PlaceEvent {
    /// It is there: a stream was opened, or its leases are to go on.
    Alive(Place),
    /// A workload's state; answered when it was published, or refused.
    Report(Place, Report, oneshot::Sender<Outcome>),
    /// A workload's end; answered when it was published.
    Withdraw(Place, Withdrawal, oneshot::Sender<Outcome>),
}

/// Hands what places say to the control loop, in order.
#[derive(Clone, Debug)]
pub struct QueueingRegistrar {
    events: mpsc::Sender<PlaceEvent>,
    lease: Duration,
    accounts: BTreeSet<ServiceAccount>,
}

impl QueueingRegistrar {
    /// A registrar for the agents that run as one of `accounts`. Also gives the queue's far end.
    #[must_use]
    pub fn new(
        lease: Duration,
        accounts: impl IntoIterator<Item = ServiceAccount>,
    ) -> (Self, mpsc::Receiver<PlaceEvent>) {
        let (events, queue) = mpsc::channel(QUEUE);
        let registrar = Self {
            events,
            lease,
            accounts: accounts.into_iter().collect(),
        };
        (registrar, queue)
    }

    fn alive(&self, place: &Place) {
        // A full queue is full of reports, each of which renews its place's lease; the next renewal comes in a third
        // of a lease.
        let _ = self.events.try_send(PlaceEvent::Alive(place.clone()));
    }

    async fn ask(&self, event: PlaceEvent, answer: oneshot::Receiver<Outcome>) -> Outcome {
        let stopping = || Outcome::Unavailable("the control plane is stopping".to_owned());
        if self.events.send(event).await.is_err() {
            return stopping();
        }
        answer.await.unwrap_or_else(|_| stopping())
    }
}

impl Registrar for QueueingRegistrar {
    type Caller = Caller;

    /// The token's node, for node agents only: any other workload of the node could invent addresses.
    fn place(&self, caller: &Caller) -> Result<Place, Denied> {
        match caller {
            Caller::Token(subject) if self.accounts.contains(&subject.account) => {
                Ok(Place::new(subject.node.as_str()))
            }
            Caller::Token(subject) => Err(Denied::Forbidden(format!(
                "{} may not register workloads",
                subject.account
            ))),
            Caller::Mesh(identity) => Err(Denied::Forbidden(format!(
                "the certificate of {identity} does not say which node it is on; use a token"
            ))),
        }
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    fn connected(&self, place: &Place, _: &Hello) {
        self.alive(place);
    }

    async fn report(&self, place: &Place, report: Report) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.ask(PlaceEvent::Report(place.clone(), report, answer), answered)
            .await
    }

    async fn withdraw(&self, place: &Place, withdrawal: Withdrawal) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.ask(PlaceEvent::Withdraw(place.clone(), withdrawal, answer), answered)
            .await
    }

    fn renewed(&self, place: &Place) {
        self.alive(place);
    }

    fn disconnected(&self, place: &Place) {
        tracing::info!(%place, "a place's stream is lost; its leases run on");
    }
}

/// Places wait when it is full.
const QUEUE: usize = 1024;
