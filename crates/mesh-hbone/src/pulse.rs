//! What both ends do beside moving frames: drain what was written, and find out whether the peer is alive.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::closed::ConnectionEnd;
use crate::keepalive::{Keepalive, Liveness};
use crate::options::KeepaliveOptions;
use crate::tls::SharedIo;

/// To be polled once per turn, after the multiplexer.
pub(crate) struct Pulse {
    io: SharedIo,
    ping: PingPong,
    keepalive: Keepalive,
    timer: Pin<Box<Sleep>>,
    /// When the peer's certificate expires; looked at whenever the timer fires.
    expires: Option<Instant>,
    expired: bool,
}

impl Pulse {
    /// `lifetime` is how long the peer's certificate is valid.
    pub(crate) fn new(io: SharedIo, ping: PingPong, options: KeepaliveOptions, lifetime: Duration) -> Self {
        let now = Instant::now();
        Self {
            io,
            ping,
            keepalive: Keepalive::new(options, now),
            timer: Box::pin(sleep_until(now + options.idle)),
            // What cannot be told as an instant never comes.
            expires: now.checked_add(lifetime),
            expired: false,
        }
    }

    pub(crate) fn io(&self) -> &SharedIo {
        &self.io
    }

    /// True once, after the peer's certificate has expired: no more streams shall be taken.
    pub(crate) fn take_expired(&mut self) -> bool {
        std::mem::take(&mut self.expired)
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
            self.expired |= self.expires.take_if(|expires| *expires <= now).is_some();
            match self.keepalive.poll(now) {
                // The timer is moved when it fires, not whenever something is heard.
                Liveness::Wait(until) => self.timer.as_mut().reset(until),
                Liveness::Dead => return Poll::Ready(ConnectionEnd::PingTimeout),
                // When a PING of ours is still unanswered, one is under way already.
                Liveness::Ping => drop(self.ping.send_ping(Ping::opaque())),
            }
        }
        Poll::Pending
    }
}
