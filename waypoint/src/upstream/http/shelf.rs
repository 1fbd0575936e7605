//! Connections that are kept for the next request.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use mesh_model::l7::traffic::ConnectionLimits;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::body::Body;
use crate::stream::Stream;

/// Of one endpoint, on one worker.
#[derive(Default)]
pub(super) struct Shelf {
    idle: RefCell<Vec<Idle>>,
    multiplexed: RefCell<Vec<Multiplexed>>,
    retired: Cell<bool>,
    /// HTTP/1.1 connections that are not closed.
    pub(super) open: Rc<Cell<u32>>,
    /// An HTTP/2 connection is being made.
    pub(super) opening: Cell<bool>,
    /// How often that ended, well or not.
    pub(super) openings: Cell<u32>,
    /// Told when a connection came back, was made, or could not be.
    pub(super) returned: Notify,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

/// One HTTP/1.1 connection.
pub(super) struct Http1 {
    pub(super) sender: http1::SendRequest<Body>,
    pub(super) local: Option<SocketAddr>,
    /// Resolves with the bare stream when the connection has changed its protocol.
    pub(super) upgraded: oneshot::Receiver<Stream>,
    pub(super) requests: u32,
    pub(super) opened: Instant,
    /// It is for one client only.
    pub(super) once: bool,
}

#[derive(Clone)]
pub(super) struct Multiplexed {
    pub(super) sender: http2::SendRequest<Body>,
    /// The far end has closed it.
    pub(super) ended: Rc<Cell<bool>>,
    pub(super) local: Option<SocketAddr>,
    pub(super) streams: Rc<Cell<u32>>,
    pub(super) requests: Rc<Cell<u32>>,
    pub(super) opened: Instant,
    /// Since when it has had no stream, as far as it has none.
    pub(super) idle: Rc<Cell<Instant>>,
}

impl Shelf {
    /// Nothing new is sent here; what is under way goes on.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().clear();
    }

    /// Says whether any is left.
    pub(super) fn close_idle(&self, now: Instant, after: Duration) -> bool {
        let fresh =
            |idle: &Idle| now.duration_since(idle.since) < after && !idle.connection.sender.is_closed();
        self.idle.borrow_mut().retain(fresh);
        self.multiplexed.borrow_mut().retain(|kept| {
            let used = kept.streams.get() > 0 || now.duration_since(kept.idle.get()) < after;
            used && !kept.sender.is_closed()
        });
        self.open.get() > 0 || self.has_multiplexed()
    }

    /// The connection that was used last: others may grow old in peace.
    pub(super) fn take_idle(&self, limits: &ConnectionLimits) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        let worn = |kept: &Idle| is_worn(kept.connection.requests, kept.connection.opened, limits);
        while let Some(mut kept) = idle.pop() {
            if kept.connection.sender.is_closed() || worn(&kept) {
                continue;
            }
            if kept.connection.sender.is_ready() {
                return Some(kept.connection);
            }
            // Still busy with the end of its last answer, or about to find out that it is closed.
            kept.since = Instant::now();
            let busy = kept;
            let other = idle
                .iter()
                .rposition(|i| i.connection.sender.is_ready() && !worn(i));
            let found = other.map(|at| idle.remove(at).connection);
            idle.push(busy);
            return found;
        }
        None
    }

    /// Keeps a connection whose answer is over, if it takes a further request.
    pub(super) fn keep(&self, connection: Http1, most: usize, limits: &ConnectionLimits) {
        let mut idle = self.idle.borrow_mut();
        let worn = is_worn(connection.requests, connection.opened, limits);
        if !self.retired.get()
            && !connection.once
            && !worn
            && !connection.sender.is_closed()
            && idle.len() < most
        {
            idle.push(Idle {
                connection,
                since: Instant::now(),
            });
            self.returned.notify_one();
        }
    }

    pub(super) fn keep_multiplexed(&self, connection: Multiplexed) {
        if !self.retired.get() {
            self.multiplexed.borrow_mut().push(connection);
        }
    }

    pub(super) fn has_multiplexed(&self) -> bool {
        !self.multiplexed.borrow().is_empty()
    }

    /// The least busy connection that takes one more stream.
    pub(super) fn with_room(&self, most: u32, limits: &ConnectionLimits) -> Option<Multiplexed> {
        let mut connections = self.multiplexed.borrow_mut();
        connections.retain(|c| !c.sender.is_closed() && !is_worn(c.requests.get(), c.opened, limits));
        let room = |c: &&Multiplexed| c.streams.get() < most;
        connections
            .iter()
            .filter(room)
            .min_by_key(|c| c.streams.get())
            .cloned()
    }
}

/// Whether a connection has carried enough requests, or for long enough.
fn is_worn(requests: u32, opened: Instant, limits: &ConnectionLimits) -> bool {
    limits
        .max_requests_per_connection
        .is_some_and(|most| requests >= most)
        || limits
            .max_connection_duration
            .is_some_and(|most| opened.elapsed() >= most)
}
