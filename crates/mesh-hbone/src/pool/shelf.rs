//! The pool's decision for one key: which connection takes the next stream, when another is dialled, when one is
//! retired. Pure: no socket, no clock.

use std::time::Duration;

use tokio::time::Instant;

/// The connections to one peer.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    entries: Vec<Entry>,
    dialing: bool,
    next_id: u64,
}

/// Which connection of a shelf; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct ConnectionId(u64);

/// Where the next stream goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// Onto this connection, which has room. The stream is counted already.
    Use(ConnectionId),
    /// Nowhere yet: the caller is to dial, and all others wait for it. The dial is noted already.
    Dial,
    /// Nowhere yet: somebody is dialling.
    Wait,
}

#[derive(Debug)]
struct Entry {
    id: ConnectionId,
    streams: usize,
    limit: usize,
    /// Since when there has been no stream.
    idle_since: Option<Instant>,
}

impl Shelf {
    /// Decides where the next stream goes.
    ///
    /// The fullest connection with room takes it, of equals the oldest: then those that a burst needed become idle and go away.
    pub(crate) fn choose(&mut self) -> Choice {
        let fullest = self
            .entries
            .iter_mut()
            .filter(|e| e.streams < e.limit)
            // Of equals `max_by_key` takes the last: the oldest.
            .rev()
            .max_by_key(|e| e.streams);
        if let Some(entry) = fullest {
            entry.streams += 1;
            entry.idle_since = None;
            return Choice::Use(entry.id);
        }
        if self.dialing {
            return Choice::Wait;
        }
        self.dialing = true;
        Choice::Dial
    }

    /// The dial succeeded: a connection joins. It is idle until a stream opens.
    pub(crate) fn dialed(&mut self, limit: usize, now: Instant) -> ConnectionId {
        self.dialing = false;
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.entries.push(Entry {
            id,
            streams: 0,
            limit,
            idle_since: Some(now),
        });
        id
    }

    /// The dial failed or was given up.
    pub(crate) fn dial_failed(&mut self) {
        self.dialing = false;
    }

    /// The peer says how many streams it takes; those that are open stay.
    pub(crate) fn set_limit(&mut self, id: ConnectionId, limit: usize) {
        if let Some(entry) = self.entry(id) {
            entry.limit = limit;
        }
    }

    /// A stream ended. Of a retired connection nothing is counted any more.
    pub(crate) fn stream_ended(&mut self, id: ConnectionId, now: Instant) {
        if let Some(entry) = self.entry(id) {
            entry.streams = entry.streams.saturating_sub(1);
            if entry.streams == 0 {
                entry.idle_since = Some(now);
            }
        }
    }

    /// The connection takes no further stream; true when it had been in service.
    pub(crate) fn retire(&mut self, id: ConnectionId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.id != id);
        self.entries.len() < before
    }

    /// When this connection will have been idle for `timeout`; nothing while it has streams or when it is retired.
    pub(crate) fn idle_deadline(&self, id: ConnectionId, timeout: Duration) -> Option<Instant> {
        let entry = self.entries.iter().find(|e| e.id == id)?;
        entry.idle_since.map(|since| since + timeout)
    }

    /// True when nothing is left to know about this key.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.dialing
    }

    fn entry(&mut self, id: ConnectionId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.id == id)
    }
}

#[cfg(test)]
mod tests;
