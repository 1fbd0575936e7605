//! Carries a [`ClientSession`] over gRPC and connects again when a stream ends.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mesh_grpc::{Backoff, GrpcChannel};
use mesh_proto::lateen::register::v1::registration_client::RegistrationClient;
use mesh_proto::lateen::register::v1::{RegisterRequest, RegisterResponse};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

use super::session::{AssignmentEvent, ClientSession, Effect, ReportError, Ticket};
use crate::model::{Assignment, Hello, Report, Withdrawal};

/// Who registers.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Random, made at the agent's start.
    pub instance: String,
    /// The agent's version, for people.
    pub version: String,
}

/// Tells the control plane what runs on this place. Clones tell the same stream.
#[derive(Clone, Debug)]
pub struct RegisterHandle {
    shared: Arc<Shared>,
    connected: watch::Receiver<bool>,
}

/// What belongs on this place, as the control plane tells it.
#[derive(Debug)]
pub struct AssignmentEvents(mpsc::Receiver<AssignmentEvent>);

/// What is known of a running client, for dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RegisterStatus {
    /// A stream is open.
    pub connected: bool,
    /// The place's name as the token gives it.
    pub place: Option<String>,
    /// Why the last stream ended.
    pub last_error: Option<String>,
    /// Workloads that are reported.
    pub reported: usize,
    /// Those of them that the control plane accepted on this stream.
    pub accepted: usize,
    /// What is assigned, as last told.
    pub assigned: Vec<Assignment>,
}

/// A client: the handle, what it is told, and the future that runs it. That never ends by itself and is dropped to stop
/// it.
pub fn client(
    config: ClientConfig,
    channel: GrpcChannel,
) -> (
    RegisterHandle,
    AssignmentEvents,
    impl Future<Output = Infallible> + Send,
) {
    let shared = Arc::new(Shared {
        state: Mutex::new(SharedState {
            session: ClientSession::new(Hello {
                instance: config.instance,
                version: config.version,
            }),
            callers: Some(HashMap::new()),
            place: None,
            last_error: None,
        }),
        changed: Notify::new(),
    });
    let (connected, connected_seen) = watch::channel(false);
    let (events, events_seen) = mpsc::channel(EVENTS);
    let handle = RegisterHandle {
        shared: shared.clone(),
        connected: connected_seen,
    };
    let driver = Driver {
        shared,
        channel,
        connected,
        events,
        undelivered: VecDeque::new(),
    };
    (handle, AssignmentEvents(events_seen), driver.run())
}

#[derive(Debug)]
struct Shared {
    state: Mutex<SharedState>,
    changed: Notify,
}

#[derive(Debug)]
struct SharedState {
    session: ClientSession,
    /// Who waits for an answer; nobody does any more when the driver is gone.
    callers: Option<HashMap<Ticket, oneshot::Sender<Result<(), ReportError>>>>,
    place: Option<String>,
    last_error: Option<String>,
}

impl RegisterHandle {
    /// Reports a workload's state. It is taken at once, even if the future is dropped: it is told now or when a stream
    /// is open, and again on every later stream, until withdrawn. The future ends when the control plane has answered;
    /// while there is no stream it waits, so give it a deadline.
    ///
    /// # Errors
    /// Fails when the control plane does not accept the report.
    pub fn report(&self, report: Report) -> impl Future<Output = Result<(), ReportError>> + Send + use<> {
        answer(self.tell(|session| session.report(report)))
    }

    /// Withdraws a workload. It is told until the control plane confirms it, even if the future is dropped.
    ///
    /// # Errors
    /// Fails when the control plane does not confirm it.
    pub fn withdraw(
        &self,
        withdrawal: Withdrawal,
    ) -> impl Future<Output = Result<(), ReportError>> + Send + use<> {
        answer(self.tell(|session| session.withdraw(withdrawal)))
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// What is known now.
    #[must_use]
    pub fn status(&self) -> RegisterStatus {
        let state = self.shared.state.lock();
        let (reported, accepted) = state.session.reports();
        RegisterStatus {
            connected: *self.connected.borrow(),
            place: state.place.clone(),
            last_error: state.last_error.clone(),
            reported,
            accepted,
            assigned: state.session.assigned().cloned().collect(),
        }
    }

    fn tell(
        &self,
        change: impl FnOnce(&mut ClientSession) -> (Ticket, Vec<Effect>),
    ) -> oneshot::Receiver<Result<(), ReportError>> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            let (ticket, effects) = change(&mut state.session);
            if let Some(callers) = &mut state.callers {
                callers.insert(ticket, answer);
            }
            state.resolve(effects);
        }
        self.shared.changed.notify_one();
        answered
    }
}

async fn answer(answered: oneshot::Receiver<Result<(), ReportError>>) -> Result<(), ReportError> {
    answered.await.unwrap_or(Err(ReportError::Stopped))
}

impl AssignmentEvents {
    /// The next event; `None` when the client was dropped.
    pub async fn next(&mut self) -> Option<AssignmentEvent> {
        self.0.recv().await
    }
}

impl SharedState {
    /// Answers callers; what is left concerns the driver.
    fn resolve(&mut self, effects: Vec<Effect>) -> Vec<Effect> {
        let mut left = Vec::new();
        for effect in effects {
            match effect {
                Effect::Resolved(ticket, result) => {
                    if let Some(caller) = self.callers.as_mut().and_then(|c| c.remove(&ticket)) {
                        // A caller that no longer waits needs no answer.
                        let _ = caller.send(result);
                    }
                }
                other => left.push(other),
            }
        }
        left
    }
}

struct Driver {
    shared: Arc<Shared>,
    channel: GrpcChannel,
    connected: watch::Sender<bool>,
    events: mpsc::Sender<AssignmentEvent>,
    undelivered: VecDeque<AssignmentEvent>,
}

impl Driver {
    async fn run(mut self) -> Infallible {
        let mut backoff = Backoff::of_streams();
        loop {
            let begun = Instant::now();
            let ended = self.stream().await;
            backoff.held_for(begun.elapsed());
            let delay = backoff.next_delay(fastrand::f64());
            match &ended {
                Ok(()) => info!("the registration stream was closed, next in {delay:?}"),
                Err(status) => warn!(
                    code = ?status.code(),
                    "the registration stream ended, next in {delay:?}: {}",
                    mesh_grpc::channel::explain(status)
                ),
            }
            {
                let mut state = self.shared.state.lock();
                state.last_error = ended.err().map(|status| mesh_grpc::channel::explain(&status));
                self.undelivered.extend(state.session.closed());
            }
            self.connected.send_replace(false);
            self.pause(delay).await;
        }
    }

    /// Waits before the next attempt; what the place was not told yet is told meanwhile. Something new to tell shortens
    /// the wait to a second: a pod's start waits for it.
    async fn pause(&mut self, delay: Duration) {
        let (shared, mut wanted) = (self.shared.clone(), false);
        let whole = tokio::time::sleep(delay);
        let short = tokio::time::sleep(delay.min(SHORT_PAUSE));
        tokio::pin!(whole, short);
        loop {
            tokio::select! {
                () = &mut whole => return,
                () = &mut short, if wanted => return,
                () = shared.changed.notified(), if !wanted => wanted = true,
                () = deliver(&self.events, &mut self.undelivered), if !self.undelivered.is_empty() => {}
            }
        }
    }

    async fn stream(&mut self) -> Result<(), Status> {
        let (requests, outgoing) = mpsc::channel(QUEUE);
        self.shared.state.lock().session.opened();
        self.fill(&requests);
        let mut client = RegistrationClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let opening = client.register(ReceiverStream::new(outgoing));
        let opened = tokio::time::timeout(OPEN_DEADLINE, opening).await;
        let opened = opened.map_err(|_| Status::deadline_exceeded("the control plane does not answer"))??;
        self.exchange(opened.into_inner(), requests).await
    }

    async fn exchange(
        &mut self,
        mut responses: Streaming<RegisterResponse>,
        requests: mpsc::Sender<RegisterRequest>,
    ) -> Result<(), Status> {
        let shared = self.shared.clone();
        let mut renewal: Option<Interval> = None;
        let welcome_deadline = tokio::time::sleep(OPEN_DEADLINE);
        tokio::pin!(welcome_deadline);
        loop {
            let full = self.fill(&requests);
            tokio::select! {
                () = shared.changed.notified() => {}
                // Only waits for room; what is sent is decided above.
                room = requests.reserve(), if full => {
                    room.map_err(|_| Status::unavailable("the stream was closed"))?;
                }
                () = deliver(&self.events, &mut self.undelivered), if !self.undelivered.is_empty() => {}
                response = responses.message(), if self.undelivered.len() < EVENTS => {
                    let Some(response) = response? else { return Ok(()) };
                    if let Some(lease) = self.receive(response)? {
                        renewal = Some(every(lease / 3));
                    }
                }
                () = tick(&mut renewal) => {
                    let mut state = shared.state.lock();
                    state.session.renew();
                    state.session.retry();
                }
                () = &mut welcome_deadline, if renewal.is_none() => {
                    return Err(Status::deadline_exceeded("the control plane does not answer the greeting"));
                }
            }
        }
    }

    /// Puts requests into the queue; true when it is full and more may be due.
    fn fill(&self, requests: &mpsc::Sender<RegisterRequest>) -> bool {
        let mut state = self.shared.state.lock();
        while let Ok(room) = requests.try_reserve() {
            match state.session.next_request() {
                Some(request) => room.send(request),
                None => return false,
            }
        }
        true
    }

    /// Takes a message in; gives the lease when it is the greeting.
    fn receive(&mut self, response: RegisterResponse) -> Result<Option<Duration>, Status> {
        let mut state = self.shared.state.lock();
        let effects = state.session.receive(response);
        let effects =
            effects.map_err(|e| Status::internal(format!("the control plane broke the protocol: {e}")))?;
        let mut lease = None;
        for effect in state.resolve(effects) {
            match effect {
                Effect::Welcome { lease_seconds, place } => {
                    info!(place, lease_seconds, "registered with the control plane");
                    state.place = Some(place);
                    state.last_error = None;
                    lease = Some(Duration::from_secs(lease_seconds.into()));
                }
                Effect::Event(event) => self.undelivered.push_back(event),
                Effect::Resolved(..) => {}
            }
        }
        drop(state);
        if lease.is_some() {
            self.connected.send_replace(true);
        }
        Ok(lease)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.state.lock().callers = None;
    }
}

/// Hands over one event. Dropping the future before it ends hands over nothing.
async fn deliver(events: &mpsc::Sender<AssignmentEvent>, undelivered: &mut VecDeque<AssignmentEvent>) {
    let room = events.reserve().await;
    let event = undelivered.pop_front();
    match (room, event) {
        (Ok(room), Some(event)) => room.send(event),
        (Err(_), Some(event)) => debug!("nobody listens for {event:?}"),
        (_, None) => {}
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Events that wait for the place; beyond it the stream is not read.
const EVENTS: usize = 256;
const QUEUE: usize = 32;
/// Between attempts to connect, while somebody waits.
const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// One message is one workload.
const MAX_MESSAGE: usize = 1024 * 1024;
/// For the stream to be accepted, and for the greeting to be answered.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
