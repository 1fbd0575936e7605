//! What the place knows and has told; no IO, no clock. It outlives streams: on a new one everything is reported again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mesh_proto::lateen::register::v1::{RegisterRequest, RegisterResponse};
use mesh_types::NamespacedName;
use tracing::{error, warn};

use crate::model::{Assignment, Hello, Outcome, Report, Withdrawal};
use crate::wire::{Malformed, Request, Response};

/// The place's side of the protocol.
#[derive(Debug)]
pub struct ClientSession {
    hello: Hello,
    phase: Phase,
    facts: BTreeMap<Withdrawal, Fact>,
    in_flight: BTreeMap<u64, Withdrawal>,
    renew: bool,
    assigned: BTreeMap<NamespacedName, Assignment>,
    /// While a stream's snapshot is listed: what was listed so far.
    listed: Option<BTreeSet<NamespacedName>>,
    next_id: u64,
    next_ticket: u64,
}

/// Tells the callers of [`ClientSession::report`] and [`ClientSession::withdraw`] apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// What a message from the control plane leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stream is accepted; renew within this many seconds.
    Welcome {
        /// In seconds.
        lease_seconds: u32,
        /// The place's name as the token gives it.
        place: String,
    },
    /// Tell the place.
    Event(AssignmentEvent),
    /// Tell the caller.
    Resolved(Ticket, Result<(), ReportError>),
}

/// What belongs on the place. Across streams, only what differs is told: an assignment that a new stream repeats is no
/// event, one that it no longer lists is an [`AssignmentEvent::Unassign`] before the [`AssignmentEvent::SnapshotComplete`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentEvent {
    /// A workload belongs here, or is to be treated otherwise than before.
    Assign(Assignment),
    /// A workload no longer belongs here.
    Unassign(NamespacedName),
    /// Everything that belongs here was told.
    SnapshotComplete,
    /// The stream is lost: what was told still holds, changes are not seen until the next snapshot.
    Disconnected,
}

/// Why a report or withdrawal is not in effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// It is reported again by itself when the assignment comes.
    #[error("the control plane has not assigned this workload to this place")]
    NotAssigned,
    /// Ours or the workload's fault; a retry without a change does not help.
    #[error("the control plane refused the report: {0}")]
    Invalid(String),
    /// It is reported again by itself.
    #[error("the control plane cannot take the report now: {0}")]
    Unavailable(String),
    /// The opposite was asked for meanwhile.
    #[error("a later report or withdrawal of the workload replaced this one")]
    Replaced,
    /// The driver was dropped.
    #[error("the registration client has stopped")]
    Stopped,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    HelloDue,
    AwaitingWelcome,
    Open,
}

/// What is to be told of one instance of a workload.
#[derive(Debug)]
struct Fact {
    /// `None`: it is gone.
    report: Option<Report>,
    state: State,
    waiting: Vec<Ticket>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Due,
    Sent(u64),
    Accepted,
    /// Told again when the assignment comes.
    NotAssigned,
    /// Told again after [`ClientSession::retry`].
    Unavailable,
    Refused,
}

impl ClientSession {
    /// A place that has told nothing yet.
    #[must_use]
    pub fn new(hello: Hello) -> Self {
        Self {
            hello,
            phase: Phase::Closed,
            facts: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            renew: false,
            assigned: BTreeMap::new(),
            listed: None,
            next_id: 0,
            next_ticket: 0,
        }
    }

    /// A workload's state. It is told now or when a stream is open, and on every later stream, until withdrawn. The
    /// effects resolve callers that this replaces.
    pub fn report(&mut self, report: Report) -> (Ticket, Vec<Effect>) {
        let key = Withdrawal {
            workload: report.workload.clone(),
            uid: report.uid.clone(),
        };
        self.state_fact(key, Some(report))
    }

    /// A workload's end. It is told until the control plane confirms it.
    pub fn withdraw(&mut self, withdrawal: Withdrawal) -> (Ticket, Vec<Effect>) {
        self.state_fact(withdrawal, None)
    }

    /// A stream is being opened: everything is due again.
    pub fn opened(&mut self) {
        self.phase = Phase::HelloDue;
        self.in_flight.clear();
        self.renew = false;
        self.listed = Some(BTreeSet::new());
        for fact in self.facts.values_mut() {
            fact.state = State::Due;
        }
    }

    /// The stream is gone.
    pub fn closed(&mut self) -> Option<AssignmentEvent> {
        let was_open = self.phase == Phase::Open;
        self.phase = Phase::Closed;
        self.in_flight.clear();
        self.listed = None;
        was_open.then_some(AssignmentEvent::Disconnected)
    }

    /// The leases are to be renewed.
    pub fn renew(&mut self) {
        self.renew = self.phase == Phase::Open;
    }

    /// What could not be taken before is due again.
    pub fn retry(&mut self) {
        for fact in self.facts.values_mut() {
            if fact.state == State::Unavailable {
                fact.state = State::Due;
            }
        }
    }

    /// Takes a message of the control plane in.
    ///
    /// # Errors
    /// Fails when it breaks the protocol: the stream must end.
    pub fn receive(&mut self, message: RegisterResponse) -> Result<Vec<Effect>, Malformed> {
        let response = Response::try_from(message)?;
        let out_of_order = |field: &str| Malformed {
            field: field.to_owned(),
            reason: "came out of order",
        };
        match (&self.phase, response) {
            (Phase::AwaitingWelcome, Response::Welcome { lease_seconds, place }) => {
                self.phase = Phase::Open;
                Ok(vec![Effect::Welcome { lease_seconds, place }])
            }
            (Phase::Open, Response::Assign(assign)) => Ok(self.assign(assign)),
            (Phase::Open, Response::Unassign(workload)) => {
                let known = self.assigned.remove(&workload).is_some();
                Ok(known
                    .then_some(Effect::Event(AssignmentEvent::Unassign(workload)))
                    .into_iter()
                    .collect())
            }
            (Phase::Open, Response::SnapshotComplete) => {
                let listed = self
                    .listed
                    .take()
                    .ok_or_else(|| out_of_order("snapshot_complete"))?;
                Ok(self.complete(&listed))
            }
            (Phase::Open, Response::Ack(id, outcome)) => Ok(self
                .acknowledged(id, outcome)
                .ok_or_else(|| out_of_order("ack.id"))?),
            (_, Response::Welcome { .. }) => Err(out_of_order("welcome")),
            _ => Err(out_of_order("payload")),
        }
    }

    /// What is to be sent now; bounded by what the control plane has not acknowledged yet.
    pub fn next_request(&mut self) -> Option<RegisterRequest> {
        match self.phase {
            Phase::HelloDue => {
                self.phase = Phase::AwaitingWelcome;
                return Some(Request::Hello(self.hello.clone()).into());
            }
            Phase::Open => {}
            Phase::Closed | Phase::AwaitingWelcome => return None,
        }
        if std::mem::take(&mut self.renew) {
            return Some(Request::Renew.into());
        }
        if self.in_flight.len() >= MAX_IN_FLIGHT {
            return None;
        }
        let (key, fact) = self.facts.iter_mut().find(|(_, fact)| fact.state == State::Due)?;
        self.next_id += 1;
        let id = self.next_id;
        fact.state = State::Sent(id);
        self.in_flight.insert(id, key.clone());
        let request = match &fact.report {
            Some(report) => Request::Report(id, Ok(report.clone())),
            None => Request::Withdraw(id, Ok(key.clone())),
        };
        Some(request.into())
    }

    /// How many reports are held, and how many of them are accepted.
    #[must_use]
    pub fn reports(&self) -> (usize, usize) {
        let reports = || self.facts.values().filter(|fact| fact.report.is_some());
        let accepted = reports().filter(|fact| fact.state == State::Accepted).count();
        (reports().count(), accepted)
    }

    /// What is assigned, as last told.
    pub fn assigned(&self) -> impl Iterator<Item = &Assignment> {
        self.assigned.values()
    }

    fn state_fact(&mut self, key: Withdrawal, report: Option<Report>) -> (Ticket, Vec<Effect>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let fact = self.facts.entry(key).or_insert_with(|| Fact {
            report: report.clone(),
            state: State::Due,
            waiting: Vec::new(),
        });
        let mut effects = Vec::new();
        if fact.report.is_some() != report.is_some() {
            effects = resolve(&mut fact.waiting, &Err(ReportError::Replaced));
        }
        // Repeating what is accepted or under way asks again all the same: the caller wants today's answer.
        fact.report = report;
        fact.state = State::Due;
        fact.waiting.push(ticket);
        (ticket, effects)
    }

    fn assign(&mut self, assign: Result<Assignment, (Option<NamespacedName>, Malformed)>) -> Vec<Effect> {
        let assignment = match assign {
            Ok(assignment) => assignment,
            Err((workload, malformed)) => {
                // One bad workload must not cost the others their stream; what was known of it before still holds.
                error!(
                    workload = workload.as_ref().map(ToString::to_string),
                    "assignment ignored: {malformed}"
                );
                if let (Some(listed), Some(workload)) = (&mut self.listed, workload) {
                    listed.insert(workload);
                }
                return Vec::new();
            }
        };
        if let Some(listed) = &mut self.listed {
            listed.insert(assignment.workload.clone());
        }
        for (key, fact) in &mut self.facts {
            if key.workload == assignment.workload && fact.state == State::NotAssigned {
                fact.state = State::Due;
            }
        }
        let before = self
            .assigned
            .insert(assignment.workload.clone(), assignment.clone());
        if before.as_ref() == Some(&assignment) {
            return Vec::new();
        }
        vec![Effect::Event(AssignmentEvent::Assign(assignment))]
    }

    fn complete(&mut self, listed: &BTreeSet<NamespacedName>) -> Vec<Effect> {
        let gone: VecDeque<_> = self
            .assigned
            .keys()
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        let mut effects = Vec::with_capacity(gone.len() + 1);
        for workload in gone {
            self.assigned.remove(&workload);
            effects.push(Effect::Event(AssignmentEvent::Unassign(workload)));
        }
        effects.push(Effect::Event(AssignmentEvent::SnapshotComplete));
        effects
    }

    fn acknowledged(&mut self, id: u64, outcome: Outcome) -> Option<Vec<Effect>> {
        let key = self.in_flight.remove(&id)?;
        let Some(fact) = self.facts.get_mut(&key) else {
            return Some(Vec::new());
        };
        if fact.state != State::Sent(id) {
            // A newer report is due; its answer counts.
            return Some(Vec::new());
        }
        let withdrawn = fact.report.is_none();
        let (state, result) = match outcome {
            Outcome::Accepted => (State::Accepted, Ok(())),
            // What is not known there needs no withdrawal.
            Outcome::NotAssigned if withdrawn => (State::Accepted, Ok(())),
            Outcome::NotAssigned => (State::NotAssigned, Err(ReportError::NotAssigned)),
            Outcome::Invalid(why) => {
                warn!(workload = %key.workload, uid = key.uid, "the control plane refused: {why}");
                (State::Refused, Err(ReportError::Invalid(why)))
            }
            Outcome::Unavailable(why) => (State::Unavailable, Err(ReportError::Unavailable(why))),
        };
        let effects = resolve(&mut fact.waiting, &result);
        let done = withdrawn && matches!(state, State::Accepted | State::Refused);
        fact.state = state;
        if done {
            self.facts.remove(&key);
        }
        Some(effects)
    }
}

fn resolve(waiting: &mut Vec<Ticket>, result: &Result<(), ReportError>) -> Vec<Effect> {
    waiting
        .drain(..)
        .map(|ticket| Effect::Resolved(ticket, result.clone()))
        .collect()
}

/// Requests that are not acknowledged yet; the rest waits here, once for each workload, not in a queue.
const MAX_IN_FLIGHT: usize = 64;

#[cfg(test)]
mod tests;
