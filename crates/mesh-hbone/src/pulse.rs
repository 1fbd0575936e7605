//! What both ends do beside moving frames: drain what was written, find out whether the peer is alive, and end with the
//! certificates that the connection rests on.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::closed::ConnectionEnd;
use crate::expiry::{Expiry, Whose};
use crate::keepalive::{Keepalive, Liveness};
use crate::options::KeepaliveOptions;
use crate::tls::SharedIo;

/// To be polled once per turn, after the multiplexer.
pub(crate) struct Pulse {
    io: SharedIo,
    ping: PingPong,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    expiry: Expiry,
}

impl Pulse {
    /// `lifetime` is how long the peer's certificate is valid.
    pub(crate) fn new(io: SharedIo, ping: PingPong, options: KeepaliveOptions, lifetime: Duration) -> Self {
        let now = Instant::now();
        let expiry = Expiry::new(Whose::Peers, lifetime, now);
        Self {
            io,
            ping,
            keepalive: Keepalive::new(options, now),
            timer: Box::pin(sleep_until(expiry.before(now + options.idle))),
            expiry,
        }
    }

    /// `lifetime` is how long this end's certificate is valid.
    pub(crate) fn expire_after(&mut self, lifetime: Duration) {
        let now = Instant::now();
        self.expiry = self.expiry.or(Expiry::new(Whose::Ours, lifetime, now));
        let next = self.expiry.before(self.timer.deadline());
        self.timer.as_mut().reset(next);
    }

    pub(crate) fn io(&self) -> &SharedIo {
        &self.io
    }

    /// Ready when the connection has to end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let (drained, heard) = self.io.with(|tls| (tls.poll_drain(cx), tls.take_heard()));
        if heard {
            self.keepalive.heard(Instant::now());
        }
        if let Poll::Ready(Err(failure)) = drained {
            return Poll::Ready(failure.into());
        }
        // An answer was heard as any other byte; it only has to be taken, so that the next PING can be sent.
        let _ = self.ping.poll_pong(cx);
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(whose) = self.expiry.passed(now) {
                return Poll::Ready(ConnectionEnd::Expired(whose));
            }
            match self.keepalive.poll(now) {
                // The timer is moved when it fires, not whenever something is heard.
                Liveness::Wait(until) => self.timer.as_mut().reset(self.expiry.before(until)),
                Liveness::Dead => return Poll::Ready(ConnectionEnd::PingTimeout),
                // When a PING of ours is still unanswered, one is under way already.
                Liveness::Ping => drop(self.ping.send_ping(Ping::opaque())),
            }
        }
        Poll::Pending
    }
}
