//! The agent's side without sockets: who is told what, in which order, and whose answer counts.
//!
//! Several ztunnels are connected at once while one replaces another. Each gets every enrolled pod when it says hello.
//! After that an Add goes to the newest of them only, since the older one is about to leave, and a Del goes to all,
//! since none of them may keep a pod that is gone. A pod counts as taken when the newest has taken it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::message::{self, Answer, InvalidPacket, PodEvent, PodInfo, PodUid, Refused};

/// Names a connection; a later one has the higher number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(u64);

/// Names a caller's request whose outcome is awaited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(u64);

/// How a request ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Add: the newest ztunnel took the pod. Del: every connected ztunnel let it go.
    Done,
    /// Add: the newest ztunnel would not take the pod.
    Refused(Refused),
    /// Add: ztunnel did not answer in time; its connection was closed.
    NoAnswer,
    /// Add: the pod was removed before a ztunnel took it.
    Removed,
}

/// What the users of a hub learn without asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// A ztunnel said hello.
    Connected(ConnectionId),
    /// A ztunnel has every pod of the snapshot.
    SnapshotTaken(ConnectionId),
    /// A ztunnel is gone.
    Disconnected(ConnectionId),
    /// The newest ztunnel took this pod.
    Taken(PodUid),
    /// The newest ztunnel would not take this pod; it tries again by itself.
    Refused(PodUid, Refused),
}

/// Why a connection must be closed: its ztunnel does not keep to the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A packet that makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidPacket),
    /// An answer though nothing was sent.
    #[error("an Ack came though no message waits for one")]
    StrayAck,
}

/// The enrolled pods, the connected ztunnels, and who still waits for whom.
#[derive(Debug)]
pub struct Hub<N> {
    roster: BTreeMap<PodUid, Enrolled<N>>,
    connections: BTreeMap<ConnectionId, Connection>,
    adds: BTreeMap<PodUid, Vec<Ticket>>,
    dels: Vec<PendingDel>,
    outcomes: Vec<(Ticket, Outcome)>,
    notices: Vec<Notice>,
    last_number: u64,
}

#[derive(Debug)]
struct Enrolled<N> {
    info: PodInfo,
    netns: Option<N>,
    version: Version,
}

/// Grows each time a pod is added, so that an answer to an older Add is not taken for one to the newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Version(u64);

#[derive(Debug, Default)]
struct Connection {
    greeted: bool,
    queue: VecDeque<Item>,
    in_flight: Option<InFlight>,
    /// The pods that this ztunnel took, each as it was then.
    taken: BTreeMap<PodUid, Version>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Item {
    Add(PodUid),
    Del(PodUid),
    SnapshotSent,
}

/// A message that waits for its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum InFlight {
    Add(PodUid, Version),
    Del(PodUid),
    SnapshotSent,
}

#[derive(Debug)]
struct PendingDel {
    ticket: Ticket,
    uid: PodUid,
    awaited: BTreeSet<ConnectionId>,
}

impl<N> Default for Hub<N> {
    fn default() -> Self {
        Self {
            roster: BTreeMap::new(),
            connections: BTreeMap::new(),
            adds: BTreeMap::new(),
            dels: Vec::new(),
            outcomes: Vec::new(),
            notices: Vec::new(),
            last_number: 0,
        }
    }
}

impl<N: Clone> Enrolled<N> {
    fn announce(&self, uid: &PodUid) -> PodEvent<N> {
        let uid = uid.clone();
        match &self.netns {
            None => PodEvent::Keep { uid },
            Some(netns) => PodEvent::Add {
                uid,
                info: self.info.clone(),
                netns: netns.clone(),
            },
        }
    }
}

impl<N: Clone> Hub<N> {
    /// Enrols a pod, or enrols it again. Without a namespace it is announced as Keep.
    pub fn add(&mut self, uid: PodUid, info: PodInfo, netns: Option<N>) -> Ticket {
        let version = Version(self.number());
        let enrolled = Enrolled { info, netns, version };
        self.roster.insert(uid.clone(), enrolled);
        let ticket = Ticket(self.number());
        self.adds.entry(uid.clone()).or_default().push(ticket);
        if let Some(newest) = self.newest() {
            self.enqueue(newest, Item::Add(uid));
        }
        ticket
    }

    /// Enrols a pod without waiting for an answer: for those that were enrolled before a restart.
    pub fn restore(&mut self, uid: PodUid, info: PodInfo, netns: Option<N>) {
        let ticket = self.add(uid.clone(), info, netns);
        if let Some(tickets) = self.adds.get_mut(&uid) {
            tickets.retain(|t| *t != ticket);
        }
        self.adds.retain(|_, tickets| !tickets.is_empty());
    }

    /// Removes a pod. It is done at once where no ztunnel is connected: the next one is not told of the pod.
    pub fn del(&mut self, uid: &PodUid) -> Ticket {
        let ticket = Ticket(self.number());
        self.roster.remove(uid);
        for add in self.adds.remove(uid).unwrap_or_default() {
            self.outcomes.push((add, Outcome::Removed));
        }
        let mut awaited = BTreeSet::new();
        for (id, connection) in self.connections.iter_mut().filter(|(_, c)| c.greeted) {
            connection.queue.retain(|item| *item != Item::Add(uid.clone()));
            connection.queue.push_back(Item::Del(uid.clone()));
            awaited.insert(*id);
        }
        if awaited.is_empty() {
            self.outcomes.push((ticket, Outcome::Done));
        } else {
            let uid = uid.clone();
            self.dels.push(PendingDel { ticket, uid, awaited });
        }
        ticket
    }

    /// A ztunnel connected; it is told nothing before its hello.
    pub fn connected(&mut self) -> ConnectionId {
        let id = ConnectionId(self.number());
        self.connections.insert(id, Connection::default());
        id
    }

    /// A packet came from a ztunnel.
    ///
    /// # Errors
    /// Fails when the ztunnel does not keep to the protocol; the connection is then to be closed.
    pub fn packet(&mut self, id: ConnectionId, packet: &[u8]) -> Result<(), PeerFault> {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Ok(());
        };
        if !connection.greeted {
            message::decode_hello(packet)?;
            connection.greeted = true;
            let pods = self.roster.keys().cloned().map(Item::Add);
            connection.queue = pods.chain([Item::SnapshotSent]).collect();
            self.notices.push(Notice::Connected(id));
            return Ok(());
        }
        let answer = message::decode_answer(packet)?;
        let message = connection.in_flight.take().ok_or(PeerFault::StrayAck)?;
        self.answered(id, message, answer);
        Ok(())
    }

    /// The next message for a ztunnel; `None` while it owes an answer or there is nothing to say.
    pub fn poll_send(&mut self, id: ConnectionId) -> Option<PodEvent<N>> {
        let connection = self.connections.get_mut(&id)?;
        if connection.in_flight.is_some() {
            return None;
        }
        loop {
            let (event, in_flight) = match connection.queue.pop_front()? {
                Item::Add(uid) => {
                    // A pod that left the roster while it was queued is not announced.
                    let Some(pod) = self.roster.get(&uid) else {
                        continue;
                    };
                    (pod.announce(&uid), InFlight::Add(uid, pod.version))
                }
                Item::Del(uid) => (PodEvent::Del { uid: uid.clone() }, InFlight::Del(uid)),
                Item::SnapshotSent => (PodEvent::SnapshotSent, InFlight::SnapshotSent),
            };
            connection.in_flight = Some(in_flight);
            return Some(event);
        }
    }

    /// Whether a ztunnel owes an answer (the shell counts its deadline).
    #[must_use]
    pub fn awaits_answer(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|c| c.in_flight.is_some())
    }

    /// A ztunnel did not answer in time: who asked for that message is told so, then the connection is gone.
    pub fn answer_overdue(&mut self, id: ConnectionId) {
        let in_flight = self.connections.get_mut(&id).and_then(|c| c.in_flight.take());
        if let Some(InFlight::Add(uid, _)) = in_flight
            && self.newest() == Some(id)
        {
            self.finish_adds(&uid, &Outcome::NoAnswer);
        }
        self.disconnected(id);
    }

    /// A connection is gone. What it was to take passes to the next newest, or waits for the next to come.
    pub fn disconnected(&mut self, id: ConnectionId) {
        let was_newest = self.newest() == Some(id);
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        if connection.greeted {
            self.notices.push(Notice::Disconnected(id));
        }
        self.forget_dels(id, None);
        if was_newest && let Some(heir) = self.newest() {
            let taken = &self.connections[&heir].taken;
            let pods = self.roster.iter();
            let stale = pods.filter(|(uid, pod)| {
                self.adds.contains_key(*uid) || taken.get(*uid).is_none_or(|v| *v != pod.version)
            });
            let stale: Vec<_> = stale.map(|(uid, _)| uid.clone()).collect();
            for uid in stale {
                self.enqueue(heir, Item::Add(uid));
            }
        }
    }

    /// The requests that ended since the last call.
    pub fn take_outcomes(&mut self) -> Vec<(Ticket, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// What happened since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// How many ztunnels are connected and said hello.
    #[must_use]
    pub fn greeted(&self) -> usize {
        self.connections.values().filter(|c| c.greeted).count()
    }

    /// How many pods are enrolled.
    #[must_use]
    pub fn enrolled(&self) -> usize {
        self.roster.len()
    }

    fn answered(&mut self, id: ConnectionId, message: InFlight, answer: Answer) {
        match message {
            InFlight::Add(uid, version) => self.add_answered(id, uid, version, answer),
            // A ztunnel that refuses to forget a pod does not know it: either way it is gone there.
            InFlight::Del(uid) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.taken.remove(&uid);
                }
                self.forget_dels(id, Some(&uid));
            }
            // On a refusal it is not ready; the pods that it would not take were named before.
            InFlight::SnapshotSent if answer.is_ok() => self.notices.push(Notice::SnapshotTaken(id)),
            InFlight::SnapshotSent => {}
        }
    }

    fn add_answered(&mut self, id: ConnectionId, uid: PodUid, version: Version, answer: Answer) {
        if answer.is_ok()
            && let Some(connection) = self.connections.get_mut(&id)
        {
            connection.taken.insert(uid.clone(), version);
        }
        // The pod was added again, perhaps another way, or removed, while this answer was on its way.
        let current = self.roster.get(&uid).is_some_and(|pod| pod.version == version);
        if !current || self.newest() != Some(id) {
            return;
        }
        match answer {
            Ok(()) => {
                self.finish_adds(&uid, &Outcome::Done);
                self.notices.push(Notice::Taken(uid));
            }
            Err(refused) => {
                self.finish_adds(&uid, &Outcome::Refused(refused.clone()));
                self.notices.push(Notice::Refused(uid, refused));
            }
        }
    }

    fn finish_adds(&mut self, uid: &PodUid, outcome: &Outcome) {
        for ticket in self.adds.remove(uid).unwrap_or_default() {
            self.outcomes.push((ticket, outcome.clone()));
        }
    }

    /// `id` need no longer be waited for: for one pod, or for all.
    fn forget_dels(&mut self, id: ConnectionId, uid: Option<&PodUid>) {
        let mut done = Vec::new();
        self.dels.retain_mut(|del| {
            if uid.is_none_or(|u| *u == del.uid) {
                del.awaited.remove(&id);
            }
            if del.awaited.is_empty() {
                done.push((del.ticket, Outcome::Done));
            }
            !del.awaited.is_empty()
        });
        self.outcomes.append(&mut done);
    }

    fn enqueue(&mut self, id: ConnectionId, item: Item) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !connection.queue.contains(&item)
        {
            connection.queue.push_back(item);
        }
    }

    fn newest(&self) -> Option<ConnectionId> {
        let mut greeted = self.connections.iter().filter(|(_, c)| c.greeted);
        greeted.next_back().map(|(id, _)| *id)
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

#[cfg(test)]
mod tests;
