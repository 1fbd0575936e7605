//! TCP keep-alive settings.

use std::io;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

/// When an idle TCP connection is probed, and when it is given up (tcp(7), `TCP_KEEPIDLE` and its siblings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe; whole seconds.
    pub time: Duration,
    /// Time between probes; whole seconds.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub retries: u32,
}

impl Default for Keepalive {
    /// 30 s, then 3 probes 10 s apart: a dead peer is noticed within a minute. Upstream's 180 s + 9 × 180 s takes half
    /// an hour, which is longer than most clients keep a broken connection in their pool.
    fn default() -> Self {
        Self {
            time: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            retries: 3,
        }
    }
}

impl Keepalive {
    /// How long unacknowledged data may stay in flight before the kernel gives the connection up; for
    /// `TCP_USER_TIMEOUT`, which otherwise lets retransmissions outlive the probes.
    #[must_use]
    pub fn user_timeout(&self) -> Duration {
        self.time + self.interval * self.retries
    }

    pub(crate) fn apply(&self, socket: &Socket) -> io::Result<()> {
        let settings = TcpKeepalive::new()
            .with_time(self.time)
            .with_interval(self.interval)
            .with_retries(self.retries);
        socket.set_tcp_keepalive(&settings)
    }
}
