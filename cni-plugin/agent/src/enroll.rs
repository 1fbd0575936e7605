//! What is to be done for which pod: pure decisions, no IO and no clock.
//!
//! [`State::decide`] takes an event and says what to do next. It is level-triggered: for every pod it compares what is
//! known to be done with what the control plane wants, and starts the one operation that comes next. An operation that
//! fails is tried again; one that was overtaken is not heard any more. So a restart, a lost message or a late answer
//! leads to the same end as the straight way.
//!
//! # Layout
//! - this file: events and the decision. Start here. [`action`]: what is decided. [`record`]: what is written down.
//! - [`pod`]: one pod: what is done, what is wanted, which operation comes next.
//! - `running`: pods that run already and that no plugin told of. `drift`: somebody else writes what the agent announces.
//!   `reasons`: what a pod waits for, in words.
//!
//! ```text
//! starting   ADD -> wait for the assignment -> rules -> host set -> ZDS Add -> report "enabled" -> answer
//! running    member: search for its namespace, where no plugin told of it -> ZDS Add -> rules -> host set -> report "enabled"
//! leaving    assignment: outside -> report "plain" -> redirect nothing new -> drain -> ZDS Del -> remove the rules -> host set
//! gone       DEL, or the namespace is not there any more -> ZDS Del -> withdraw -> forget
//! ```

pub mod action;
mod drift;
pub mod pod;
mod reasons;
pub mod record;
mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_register::{Assignment, AssignmentEvent};
use mesh_types::NamespacedName;

pub use action::{Action, Answer, Failure, Operation, Pace};
use pod::{Pod, Progress};
pub use record::{Enrolment, PodKey, Record, Role, Settings};

use crate::roster::Instance;
use crate::sockets::Connection;
use running::{Search, Wanted};

/// A request of the plugin that waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Tells an operation's answer from that of one that was overtaken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Epoch(u64);

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// CNI ADD, with the pod's namespace opened and identified.
    Add(RequestId, Record),
    /// CNI DEL.
    Del(RequestId, SandboxName),
    /// CNI CHECK.
    Check(RequestId, SandboxName),
    /// CNI GC: only these sandboxes exist.
    Gc(RequestId, BTreeSet<String>),
    /// A request has waited long enough.
    Deadline(RequestId),
    /// What the control plane says.
    Assignment(AssignmentEvent),
    /// What the API server says of a pod of this node.
    Expect(Assignment, Instance),
    /// Pods that were sought are found; the others are not.
    Searched(Vec<Record>),
    /// Pods may be sought again.
    RetrySearch,
    /// The mesh leaves this node: every pod leaves the mesh.
    Leave,
    /// Whoever says what belongs here can be reached.
    Connected,
    /// An operation ended.
    Done(PodKey, Epoch, Result<(), Failure>),
    /// An operation may be tried again.
    Retry(PodKey, Epoch),
    /// The node's own rules were set to these addresses, or could not be.
    HostDone(BTreeSet<IpAddr>, Result<(), String>),
    /// The node's own rules may be tried again.
    RetryHost,
    /// Time to look whether everything still is as it should be.
    Audit,
    /// Somebody, perhaps this agent, changed the rules of a pod.
    RulesChanged(PodKey),
    /// ztunnel would not take a pod, which it may have had before: it has restarted.
    ProxyRefused(PodKey),
    /// These connections of a pod are older than its rules.
    Older(PodKey, Vec<Connection>),
    /// The state file could not be written.
    PersistFailed(String),
}

/// A sandbox as DEL and CHECK name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SandboxName {
    /// The runtime's id of it.
    pub container_id: String,
    /// Its pod, where the runtime still knows it.
    pub pod: Option<NamespacedName>,
}

/// Everything that the agent knows.
#[derive(Debug, Default)]
pub struct State {
    pods: BTreeMap<PodKey, Pod>,
    wanted: BTreeMap<NamespacedName, Wanted>,
    control_plane: ControlPlane,
    host: Host,
    search: Search,
    epoch: u64,
}

/// Who says what belongs here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Authority {
    /// The control plane.
    #[default]
    ControlPlane,
    /// The API server.
    ApiServer,
}

#[derive(Debug, Default)]
struct ControlPlane {
    authority: Authority,
    connected: bool,
    told_everything: bool,
}

#[derive(Debug, Default)]
struct Host {
    /// What the node's rules hold for; `None` while that is not known.
    done: Option<BTreeSet<IpAddr>>,
    busy: bool,
    resting: bool,
    problem: Option<String>,
}

impl State {
    /// The state after a restart: `records` as they were written down. None is trusted to be in order.
    #[must_use]
    pub fn restore(records: Vec<Record>, authority: Authority) -> Self {
        let pods = records
            .into_iter()
            .map(|record| (record.key.clone(), Pod::restored(record)));
        Self {
            pods: pods.collect(),
            control_plane: ControlPlane {
                authority,
                ..ControlPlane::default()
            },
            ..Self::default()
        }
    }

    /// What is to be written down.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.pods.values().map(|pod| &pod.record)
    }

    /// What is known of one pod.
    #[must_use]
    pub fn record(&self, key: &PodKey) -> Option<&Record> {
        self.pods.get(key).map(|pod| &pod.record)
    }

    /// Why the last operation on a pod failed.
    #[must_use]
    pub fn problem(&self, key: &PodKey) -> Option<&str> {
        self.pods.get(key)?.problem()
    }

    /// How many pods are in the mesh, on the way into it, and outside it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for pod in self.pods.values() {
            match (&pod.record.enrolment, pod.is_enrolled()) {
                (None, _) => counts.outside += 1,
                (Some(_), true) => counts.enrolled += 1,
                (Some(_), false) => counts.pending += 1,
            }
        }
        counts
    }

    /// What every pod is waiting for, for people.
    pub fn pending(&self) -> impl Iterator<Item = (&Record, String)> {
        self.pods.values().map(|pod| (&pod.record, self.why_not(pod)))
    }

    /// Takes an event and says what to do.
    pub fn decide(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Add(request, record) => self.add(request, record, &mut actions),
            Event::Del(request, sandbox) => self.del(request, &sandbox, &mut actions),
            Event::Check(request, sandbox) => self.check(request, &sandbox, &mut actions),
            Event::Gc(request, valid) => {
                let gone = |pod: &&mut Pod| {
                    pod.record
                        .container_id
                        .as_ref()
                        .is_some_and(|id| !valid.contains(id))
                };
                self.pods.values_mut().filter(gone).for_each(Pod::gone);
                actions.push(Action::Answer(request, Answer::Done));
            }
            Event::Deadline(request) => self.deadline(request, &mut actions),
            Event::Connected => self.control_plane.connected = true,
            Event::Assignment(event) => self.assignment(event, &mut actions),
            Event::Expect(assignment, instance) => self.want(assignment, Some(instance), &mut actions),
            Event::Searched(found) => self.searched(found, &mut actions),
            Event::RetrySearch => self.search.rested(),
            Event::Leave => self.leave(),
            Event::Done(key, epoch, result) => self.done(&key, epoch, result, &mut actions),
            Event::Retry(key, epoch) => self.retry(&key, epoch, &mut actions),
            Event::HostDone(addresses, result) => self.host_done(addresses, result, &mut actions),
            Event::RetryHost => self.host.resting = false,
            Event::Audit => {
                self.pods.values_mut().for_each(Pod::doubt);
                self.host.done = None;
            }
            Event::RulesChanged(key) => {
                if let Some(pod) = self.pods.get_mut(&key) {
                    pod.doubt();
                }
            }
            Event::ProxyRefused(key) => {
                if let Some(pod) = self.pods.get_mut(&key) {
                    pod.proxy_refused();
                }
            }
            Event::Older(key, connections) => self.older(&key, connections, &mut actions),
            Event::PersistFailed(reason) => {
                let reason = format!("the agent's state file cannot be written: {reason}");
                for pod in self.pods.values_mut() {
                    pod.answer_all(&Answer::Unavailable(reason.clone()), &mut actions);
                }
            }
        }
        self.proceed(&mut actions);
        actions
    }

    fn add(&mut self, request: RequestId, record: Record, actions: &mut Vec<Action>) {
        // The runtime gives an address to one sandbox at a time: whoever had it is gone, though its DEL was missed.
        for pod in self.pods.values_mut() {
            if pod.record.key != record.key && pod.record.ips.iter().any(|ip| record.ips.contains(ip)) {
                pod.gone();
            }
        }
        let key = record.key.clone();
        match self.pods.get_mut(&key) {
            Some(pod) if pod.is_same_sandbox(&record) => pod.added_again(request),
            Some(pod) => pod.replaced(record, request, actions),
            None => drop(self.pods.insert(key, Pod::started(record, request))),
        }
        actions.push(Action::Persist);
    }

    fn del(&mut self, request: RequestId, sandbox: &SandboxName, actions: &mut Vec<Action>) {
        match self.pods.values_mut().find(|pod| pod.is(sandbox)) {
            Some(pod) => {
                pod.gone();
                pod.dels.push(request);
            }
            // Nothing is known of it, so nothing is left of it.
            None => actions.push(Action::Answer(request, Answer::Done)),
        }
    }

    fn check(&mut self, request: RequestId, sandbox: &SandboxName, actions: &mut Vec<Action>) {
        match self.pods.values_mut().find(|pod| pod.is(sandbox)) {
            Some(pod) => {
                pod.doubt();
                pod.adds.push(request);
            }
            None => {
                let unknown = "the node agent does not know this sandbox: its ADD never came here".to_owned();
                actions.push(Action::Answer(request, Answer::Refused(unknown)));
            }
        }
    }

    fn deadline(&mut self, request: RequestId, actions: &mut Vec<Action>) {
        let Some(key) = self
            .pods
            .iter()
            .find(|(_, pod)| pod.waits(request))
            .map(|(key, _)| key.clone())
        else {
            return;
        };
        let Some(pod) = self.pods.get(&key) else { return };
        let answer = if pod.dels.contains(&request) {
            // A DEL never fails; the rest is done in the background.
            Answer::Done
        } else {
            Answer::Unavailable(self.why_not(pod))
        };
        if let Some(pod) = self.pods.get_mut(&key) {
            pod.adds.retain(|r| *r != request);
            pod.dels.retain(|r| *r != request);
        }
        actions.push(Action::Answer(request, answer));
    }

    fn retry(&mut self, key: &PodKey, epoch: Epoch, actions: &mut Vec<Action>) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        pod.retry(epoch);
        let next = Epoch(self.epoch + 1);
        if let Some(pause) = pod.drift.over(epoch, next) {
            self.epoch += 1;
            actions.push(Action::RetryAfter(key.clone(), next, pause));
        }
    }

    /// What was reported of a pod is not what others read.
    fn drifted(&mut self, key: &PodKey, actions: &mut Vec<Action>) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        self.epoch += 1;
        let epoch = Epoch(self.epoch);
        if let Some(pause) = pod.drift.found(epoch) {
            actions.push(Action::RetryAfter(key.clone(), epoch, pause));
        }
    }

    fn older(&mut self, key: &PodKey, mut connections: Vec<Connection>, actions: &mut Vec<Action>) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        connections.truncate(MAX_OLDER);
        if pod.record.older != connections {
            pod.record.older = connections;
            actions.push(Action::Persist);
        }
    }

    fn assignment(&mut self, event: AssignmentEvent, actions: &mut Vec<Action>) {
        match event {
            AssignmentEvent::Assign(assignment) => self.want(assignment, None, actions),
            // A pod that still runs stays as it is until its DEL: nothing says that it is to be out of the mesh.
            AssignmentEvent::Unassign(name) => drop(self.wanted.remove(&name)),
            AssignmentEvent::SnapshotComplete => {
                self.control_plane.connected = true;
                self.control_plane.told_everything = true;
            }
            AssignmentEvent::Disconnected => self.control_plane.connected = false,
        }
    }

    fn done(&mut self, key: &PodKey, epoch: Epoch, result: Result<(), Failure>, actions: &mut Vec<Action>) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        let Some(operation) = pod.finished(epoch) else {
            return;
        };
        match result {
            Ok(()) => match pod.succeeded(operation) {
                Progress::Made => {}
                Progress::Recorded => actions.push(Action::Persist),
                Progress::Contradicted => {
                    pod.report_again();
                    self.drifted(key, actions);
                }
            },
            Err(Failure::NamespaceGone) => pod.gone(),
            Err(failure) => pod.failed(&operation, &failure, epoch, actions),
        }
    }

    fn host_done(
        &mut self,
        addresses: BTreeSet<IpAddr>,
        result: Result<(), String>,
        actions: &mut Vec<Action>,
    ) {
        self.host.busy = false;
        match result {
            Ok(()) => {
                self.host.done = Some(addresses);
                self.host.problem = None;
            }
            Err(problem) => {
                self.host.problem = Some(problem);
                self.host.resting = true;
                actions.push(Action::RetryHostAfter(HOST_RETRY));
            }
        }
    }

    /// Starts what comes next, for every pod and for the node.
    fn proceed(&mut self, actions: &mut Vec<Action>) {
        let mut forgotten = Vec::new();
        for (key, pod) in &mut self.pods {
            let wanted = self.wanted.get(&pod.record.pod).and_then(|w| w.of(&pod.record));
            if pod.note_wanted(wanted) {
                actions.push(Action::Persist);
            }
            if pod.is_forgotten() {
                forgotten.push(key.clone());
                continue;
            }
            if let Some(operation) = pod.next(wanted, self.host.done.as_ref()) {
                self.epoch += 1;
                let epoch = Epoch(self.epoch);
                pod.begin(operation.clone(), epoch);
                actions.push(Action::Start(key.clone(), epoch, operation));
            }
            if pod.is_settled(wanted, self.host.done.as_ref()) {
                pod.answer_all(&Answer::Done, actions);
            }
        }
        for key in forgotten {
            if let Some(mut pod) = self.pods.remove(&key) {
                pod.answer_dels(actions);
                let gone = "the pod's network namespace is gone".to_owned();
                pod.answer_all(&Answer::Refused(gone), actions);
            }
            actions.push(Action::Persist);
            actions.push(Action::Forget(key));
        }
        self.proceed_host(actions);
        self.proceed_search(actions);
    }

    fn proceed_host(&mut self, actions: &mut Vec<Action>) {
        let in_mesh = self.pods.values().filter(|pod| pod.wants_probes());
        let wanted: BTreeSet<_> = in_mesh.flat_map(|pod| pod.record.ips.iter().copied()).collect();
        if self.host.done.as_ref() != Some(&wanted) && !self.host.busy && !self.host.resting {
            self.host.busy = true;
            actions.push(Action::SetHost(wanted));
        }
    }
}

/// How many pods are where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// In the mesh.
    pub enrolled: usize,
    /// On the way into it or out of it.
    pub pending: usize,
    /// Outside it.
    pub outside: usize,
}

const HOST_RETRY: Duration = Duration::from_secs(1);
/// Connections that are written down for each pod; whoever opens more is known well enough by these.
const MAX_OLDER: usize = 1024;

#[cfg(test)]
mod tests;
