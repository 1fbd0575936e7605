//! When to send a PING, and when silence means that the peer is gone (RFC 9113, section 6.7). Pure: the time is a
//! parameter.
//!
//! ```text
//!            silent for `idle`            silent for `timeout`
//!  Listening ----------------> AwaitingPong ----------------> dead
//!      ^   any byte: start over     |  any byte
//!      +----------------------------+
//! ```

use tokio::time::Instant;

use crate::options::KeepaliveOptions;

/// The liveness of one connection, as far as one end knows.
#[derive(Debug)]
pub(crate) struct Keepalive {
    options: KeepaliveOptions,
    last_heard: Instant,
    pinged: Option<Instant>,
}

/// What the driver is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Liveness {
    /// Nothing until then, unless something is heard.
    Wait(Instant),
    /// Send a PING, and ask again.
    Ping,
    /// End the connection.
    Dead,
}

impl Keepalive {
    pub(crate) fn new(options: KeepaliveOptions, now: Instant) -> Self {
        Self {
            options,
            last_heard: now,
            pinged: None,
        }
    }

    /// A byte came from the peer, be it an answer or anything else.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged = None;
    }

    /// Asks what is to be done; [`Liveness::Ping`] is taken as done.
    pub(crate) fn poll(&mut self, now: Instant) -> Liveness {
        if let Some(pinged) = self.pinged {
            let deadline = pinged + self.options.timeout;
            return if now >= deadline {
                Liveness::Dead
            } else {
                Liveness::Wait(deadline)
            };
        }
        let due = self.last_heard + self.options.idle;
        if now < due {
            return Liveness::Wait(due);
        }
        self.pinged = Some(now);
        Liveness::Ping
    }
}

#[cfg(test)]
mod tests;
