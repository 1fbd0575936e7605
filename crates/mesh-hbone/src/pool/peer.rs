//! One key's connections: the shelf that decides, the connections themselves, and the guards that keep the two in step
//! whoever is cancelled.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::shelf::{Choice, ConnectionId, Shelf};
use crate::client::ClientConnection;
use crate::error::ConnectError;

/// The connections of one key.
#[derive(Default)]
pub(super) struct Peer {
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    shelf: Shelf,
    connections: HashMap<ConnectionId, ClientConnection>,
    /// How the dial that is under way, or the last one, ended.
    dialed: Option<watch::Receiver<Outcome>>,
}

/// How a dial ended; nothing while it is under way.
type Outcome = Option<Result<(), ConnectError>>;

/// What a caller is to do.
pub(super) enum Chosen {
    /// Open a stream on this connection.
    Connection(ClientConnection, Lease),
    /// See to it that this dial is carried out, then wait as everybody else.
    Dial(Dial),
    /// Wait for the dial that is under way.
    Wait,
}

/// The duty to dial. Dropped, the dial has failed.
pub(super) struct Dial {
    peer: Rc<Peer>,
    outcome: watch::Sender<Outcome>,
    done: bool,
}

/// A connection's place on its shelf; it is retired when this is dropped.
pub(super) struct Seat {
    peer: Rc<Peer>,
    id: ConnectionId,
}

/// One stream's place on a connection, counted until this is dropped.
pub(crate) struct Lease {
    peer: Rc<Peer>,
    id: ConnectionId,
}

// === impl Peer ===

impl Peer {
    pub(super) fn choose(self: &Rc<Self>) -> Chosen {
        let state = &mut *self.state.borrow_mut();
        for (id, connection) in &state.connections {
            state.shelf.set_limit(*id, connection.stream_limit());
        }
        match state.shelf.choose() {
            Choice::Use(id) => {
                let lease = Lease {
                    peer: self.clone(),
                    id,
                };
                let connection = &state.connections[&id];
                Chosen::Connection(connection.clone(), lease)
            }
            Choice::Wait => Chosen::Wait,
            Choice::Dial => {
                let (outcome, dialed) = watch::channel(None);
                state.dialed = Some(dialed);
                Chosen::Dial(Dial {
                    peer: self.clone(),
                    outcome,
                    done: false,
                })
            }
        }
    }

    /// Waits for the dial that is under way.
    pub(super) async fn dialed(&self) -> Result<(), ConnectError> {
        let dialed = self.state.borrow().dialed.clone();
        let Some(mut dialed) = dialed else {
            return Ok(());
        };
        match dialed.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            // Whoever had the duty was dropped: the worker is ending.
            Err(_) => Err(ConnectError::Draining),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.borrow().shelf.is_empty()
    }

    /// Takes all connections out of service; each closes after its last stream.
    pub(super) fn retire_all(&self) {
        let mut state = self.state.borrow_mut();
        let retired = std::mem::take(&mut state.connections);
        for id in retired.keys() {
            state.shelf.retire(*id);
        }
    }

    fn retire(&self, id: ConnectionId) {
        let mut state = self.state.borrow_mut();
        state.shelf.retire(id);
        state.connections.remove(&id);
    }
}

// === impl Dial ===

impl Dial {
    pub(super) fn succeeded(mut self, connection: ClientConnection) -> Seat {
        self.done = true;
        let peer = self.peer.clone();
        let id = {
            let mut state = peer.state.borrow_mut();
            let id = state.shelf.dialed(connection.stream_limit(), Instant::now());
            state.connections.insert(id, connection);
            id
        };
        self.outcome.send_replace(Some(Ok(())));
        Seat { peer, id }
    }

    pub(super) fn failed(mut self, error: ConnectError) {
        self.give_up();
        self.outcome.send_replace(Some(Err(error)));
    }

    fn give_up(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            self.peer.state.borrow_mut().shelf.dial_failed();
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.give_up();
    }
}

// === impl Seat ===

impl Seat {
    /// Takes the connection out of service; it closes after its last stream.
    pub(super) fn retire(&self) {
        self.peer.retire(self.id);
    }

    /// Waits until the connection has had no stream for `timeout`. Never ends for one that is retired.
    pub(super) async fn idle_for(&self, timeout: Duration) {
        loop {
            let now = Instant::now();
            let deadline = self.peer.state.borrow().shelf.idle_deadline(self.id, timeout);
            match deadline {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => sleep_until(deadline).await,
                // In use: whenever its streams end from now on, it will not have been idle for long enough earlier.
                None => sleep_until(now + timeout).await,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.retire();
    }
}

// === impl Lease ===

impl Lease {
    /// The connection is of no use: nobody gets it any more.
    pub(super) fn retire(&self) {
        self.peer.retire(self.id);
    }

    /// Nobody gets this connection or another one of the same peer any more.
    pub(super) fn retire_all(&self) {
        self.peer.retire_all();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.peer.state.borrow_mut();
        state.shelf.stream_ended(self.id, Instant::now());
    }
}
