//! Carries out what [`crate::enroll`] decides: one loop that owns the state, and the operations that it started.
//!
//! # Layout
//! - this file: the loop, the requests of the plugin, the deadlines.
//! - [`operations`]: what each operation does to the kernel, ztunnel and the control plane.

pub mod operations;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use mesh_net::Netns;
use mesh_register::AssignmentEvent;
use mesh_runtime::readiness::BlockReady;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::enroll::{Action, Answer, Authority, Event, PodKey, Record, RequestId, SandboxName, State};
use crate::metrics::Metrics;
use crate::source::Source;
use crate::state_file::StateFile;
use operations::{Operations, PodWatch};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// An ADD or CHECK; the plugin waits longer, so that the reason is the agent's.
    pub add: Duration,
    /// A DEL; it succeeds in any case, and the rest is done in the background.
    pub del: Duration,
    /// Between two looks at whether everything still is as it should be.
    pub audit: Duration,
}

/// The loop's conditions for readiness.
#[derive(Debug)]
pub struct Conditions {
    /// The control plane has said what belongs here.
    pub assignments: BlockReady,
    /// The node's own rules are in place.
    pub host: BlockReady,
}

/// What the loop is told by others than the plugin and whoever says what belongs here.
#[derive(Debug)]
pub struct Inputs {
    /// Pods that a ztunnel would not take.
    pub refused: mpsc::UnboundedReceiver<PodKey>,
    /// To be used once running pods were looked for and are listed with ztunnel; nothing where all are known.
    pub surveyed: Option<oneshot::Sender<()>>,
}

/// Sends requests to the loop. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Requests {
    inbox: mpsc::Sender<Request>,
}

/// One pod, for people.
#[derive(Clone, Debug, Serialize)]
pub struct PodStatus {
    /// What is written down of it.
    #[serde(flatten)]
    pub record: Record,
    /// What it waits for; `nothing` when all is in order.
    pub waits_for: String,
}

#[derive(Debug)]
enum Request {
    Add(Record, Netns, oneshot::Sender<Answer>),
    Del(SandboxName, oneshot::Sender<Answer>),
    Check(SandboxName, oneshot::Sender<Answer>),
    Gc(BTreeSet<String>, oneshot::Sender<Answer>),
    List(oneshot::Sender<Vec<PodStatus>>),
    Leave(oneshot::Sender<Answer>),
}

/// The loop.
pub struct Controller {
    state: State,
    file: StateFile,
    operations: Operations,
    deadlines: Deadlines,
    metrics: Metrics,
    inbox: mpsc::Receiver<Request>,
    waiting: HashMap<RequestId, oneshot::Sender<Answer>>,
    /// Who waits until no pod has anything of the mesh.
    leaving: Vec<oneshot::Sender<Answer>>,
    /// Operations and timers; each ends with the event that it leads to.
    work: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Each ends when the rules of its pod have changed.
    watches: FuturesUnordered<BoxFuture<'static, Option<PodWatch>>>,
    not_ready: (Option<BlockReady>, Option<BlockReady>),
    /// Used once running pods were looked for, where what was written down is not complete.
    surveyed: Option<oneshot::Sender<()>>,
    last_request: u64,
}

// === impl Requests ===

impl Requests {
    /// A pod starts; `netns` is its namespace.
    pub async fn add(&self, record: Record, netns: Netns) -> Answer {
        self.ask(|reply| Request::Add(record, netns, reply)).await
    }

    /// A sandbox is gone.
    pub async fn del(&self, sandbox: SandboxName) -> Answer {
        self.ask(|reply| Request::Del(sandbox, reply)).await
    }

    /// Is a sandbox still in order?
    pub async fn check(&self, sandbox: SandboxName) -> Answer {
        self.ask(|reply| Request::Check(sandbox, reply)).await
    }

    /// Only these sandboxes exist.
    pub async fn gc(&self, valid: BTreeSet<String>) -> Answer {
        self.ask(|reply| Request::Gc(valid, reply)).await
    }

    /// Every pod that is known.
    pub async fn list(&self) -> Vec<PodStatus> {
        let (reply, list) = oneshot::channel();
        let sent = self.inbox.send(Request::List(reply)).await;
        if sent.is_err() {
            return Vec::new();
        }
        list.await.unwrap_or_default()
    }

    /// The mesh leaves this node; answered once no pod has anything of it.
    pub async fn leave(&self) -> Answer {
        self.ask(Request::Leave).await
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<Answer>) -> Request) -> Answer {
        let stopping = || Answer::Unavailable("the node agent is stopping".to_owned());
        let (reply, answer) = oneshot::channel();
        match self.inbox.send(request(reply)).await {
            Ok(()) => answer.await.unwrap_or_else(|_| stopping()),
            Err(_) => stopping(),
        }
    }
}

// === impl Controller ===

impl Controller {
    /// The loop over what was written down, and the way to send it requests.
    #[must_use]
    pub fn new(
        records: Vec<Record>,
        authority: Authority,
        file: StateFile,
        operations: Operations,
        deadlines: Deadlines,
        conditions: Conditions,
        metrics: Metrics,
    ) -> (Self, Requests) {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let controller = Self {
            state: State::restore(records, authority),
            file,
            operations,
            deadlines,
            metrics,
            inbox,
            waiting: HashMap::new(),
            leaving: Vec::new(),
            work: FuturesUnordered::new(),
            watches: FuturesUnordered::new(),
            not_ready: (Some(conditions.assignments), Some(conditions.host)),
            surveyed: None,
            last_request: 0,
        };
        (controller, Requests { inbox: sender })
    }

    /// Runs until every [`Requests`] is dropped.
    pub async fn run(mut self, mut source: Source, inputs: Inputs) {
        let Inputs {
            mut refused,
            surveyed,
        } = inputs;
        self.surveyed = surveyed;
        let mut audit = interval(self.deadlines.audit);
        audit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                request = self.inbox.recv() => match request {
                    Some(request) => self.request(request),
                    None => return,
                },
                Some(event) = self.work.next(), if !self.work.is_empty() => Some(event),
                Some(watch) = self.watches.next(), if !self.watches.is_empty() => watch.map(|watch| {
                    let changed = Event::RulesChanged(watch.key().clone());
                    self.watches.push(Box::pin(watch.changed()));
                    changed
                }),
                event = source.next() => Some(event),
                Some(key) = refused.recv() => Some(Event::ProxyRefused(key)),
                _ = audit.tick() => Some(Event::Audit),
            };
            if let Some(event) = event {
                self.handle(event);
            }
            for watch in self.operations.take_watches() {
                self.watches.push(Box::pin(watch.changed()));
            }
            for (key, connections) in self.operations.take_older() {
                self.handle(Event::Older(key, connections));
            }
        }
    }

    fn request(&mut self, request: Request) -> Option<Event> {
        let (event, reply, deadline) = match request {
            Request::Add(record, netns, reply) => {
                self.operations.hold(record.key.clone(), netns);
                let id = self.number();
                (Event::Add(id, record), (id, reply), self.deadlines.add)
            }
            Request::Del(sandbox, reply) => {
                let id = self.number();
                (Event::Del(id, sandbox), (id, reply), self.deadlines.del)
            }
            Request::Check(sandbox, reply) => {
                let id = self.number();
                (Event::Check(id, sandbox), (id, reply), self.deadlines.add)
            }
            Request::Gc(valid, reply) => {
                let id = self.number();
                (Event::Gc(id, valid), (id, reply), self.deadlines.add)
            }
            Request::List(reply) => {
                let pods = self.state.pending().map(|(record, waits_for)| PodStatus {
                    record: record.clone(),
                    waits_for,
                });
                // Who asked may have gone.
                let _ = reply.send(pods.collect());
                return None;
            }
            Request::Leave(reply) => {
                self.leaving.push(reply);
                return Some(Event::Leave);
            }
        };
        let (id, reply) = reply;
        self.waiting.insert(id, reply);
        self.after(deadline, Event::Deadline(id));
        Some(event)
    }

    fn handle(&mut self, event: Event) {
        self.note(&event);
        let mut persisted = false;
        for action in self.state.decide(event) {
            match action {
                // The state is the same for every action of one decision.
                Action::Persist if persisted => {}
                Action::Persist => {
                    persisted = true;
                    self.persist();
                }
                Action::Start(key, epoch, operation) => {
                    let Some(record) = self.state.record(&key) else {
                        continue;
                    };
                    let result = self.operations.run(record.clone(), operation);
                    self.work
                        .push(Box::pin(async move { Event::Done(key, epoch, result.await) }));
                }
                Action::SetHost(addresses) => self.set_host(addresses),
                Action::Search(sought) => {
                    let found = self.operations.search(sought);
                    self.work
                        .push(Box::pin(async move { Event::Searched(found.await) }));
                }
                Action::RetrySearchAfter(delay) => self.after(delay, Event::RetrySearch),
                Action::RetryAfter(key, epoch, delay) => self.after(delay, Event::Retry(key, epoch)),
                Action::RetryHostAfter(delay) => self.after(delay, Event::RetryHost),
                Action::Answer(id, answer) => self.answer(id, answer),
                Action::Forget(key) => self.forget(&key),
            }
        }
        self.survey();
        self.metrics.set_pods(&self.state.counts());
        if !self.leaving.is_empty() && self.state.has_left() {
            for reply in self.leaving.drain(..) {
                let _ = reply.send(Answer::Done);
            }
        }
    }

    /// Running pods were looked for once, and are listed with ztunnel before any can connect: it drops what the snapshot
    /// does not list.
    fn survey(&mut self) {
        if !self.state.is_surveyed() {
            return;
        }
        if let Some(surveyed) = self.surveyed.take() {
            self.operations.list(self.state.records());
            self.persist();
            // Whoever waits for it may have ended.
            let _ = surveyed.send(());
        }
    }

    /// Tells readiness and the log of what an event means.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Assignment(AssignmentEvent::SnapshotComplete) => {
                if let Some(condition) = self.not_ready.0.take() {
                    condition.ready();
                }
            }
            Event::HostDone(_, Ok(())) => {
                if let Some(condition) = self.not_ready.1.take() {
                    condition.ready();
                }
            }
            Event::HostDone(_, Err(problem)) => {
                tracing::error!(%problem, "the node's probe rules cannot be set")
            }
            // It is tried again and again; it is said once.
            Event::Done(key, _, Err(failure)) if self.state.problem(key) != Some(failure.reason()) => {
                tracing::warn!(pod = %key.0, reason = failure.reason(), "an operation on a pod failed");
            }
            _ => {}
        }
    }

    fn persist(&mut self) {
        let complete = self.surveyed.is_none();
        if let Err(error) = self.file.write(self.state.records(), complete) {
            tracing::error!(%error, "what is known of this node's pods cannot be written down");
            let failed = Event::PersistFailed(error.to_string());
            self.work.push(Box::pin(std::future::ready(failed)));
        }
    }

    fn set_host(&mut self, addresses: BTreeSet<IpAddr>) {
        let result = self.operations.set_host(addresses.clone());
        self.work
            .push(Box::pin(async move { Event::HostDone(addresses, result.await) }));
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        if let Some(reply) = self.waiting.remove(&id) {
            // The plugin may have given up.
            let _ = reply.send(answer);
        }
    }

    fn forget(&mut self, key: &PodKey) {
        self.operations.let_go(key);
        tracing::info!(pod = %key.0, "a pod is gone and forgotten");
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.work.push(Box::pin(async move {
            sleep(delay).await;
            event
        }));
    }

    fn number(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }
}

/// Requests that wait for the loop, which answers none itself and never waits.
const QUEUE: usize = 256;

#[cfg(test)]
mod tests;
