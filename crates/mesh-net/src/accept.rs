//! What an accept loop does about an error: a refused connection is no reason to stop, running out of descriptors is no
//! reason to spin, and a broken listener is no reason to go on.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// The memory of one accept loop.
#[derive(Debug, Default)]
pub struct AcceptPolicy {
    pause: Option<Duration>,
    said: Option<Instant>,
    unsaid: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptAction {
    /// One connection failed before it was accepted; accept the next one.
    Continue,
    /// Accept again after this time: the process or machine is out of something.
    Pause {
        /// How long.
        pause: Duration,
        /// Whether to say so (the first time, then every ten seconds).
        say: bool,
        /// How many pauses were not said since the last one that was.
        unsaid: u64,
    },
    /// The listener itself is broken.
    Stop,
}

impl AcceptPolicy {
    /// A connection was accepted: the next shortage starts from the shortest pause.
    pub fn accepted(&mut self) {
        self.pause = None;
    }

    /// What to do about a failed `accept` (the list of errors is accept(2)'s).
    pub fn failed(&mut self, error: &io::Error, now: Instant) -> AcceptAction {
        match error.raw_os_error() {
            Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
                AcceptAction::Stop
            }
            // Linux reports errors that already stand on the new socket as errors of accept.
            Some(
                libc::ECONNABORTED
                | libc::ECONNRESET
                | libc::EINTR
                | libc::EAGAIN
                | libc::ENETDOWN
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ETIMEDOUT,
            ) => AcceptAction::Continue,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM; EPERM of a firewall; and what is unknown: never a hot loop.
            _ => self.pause(now),
        }
    }

    fn pause(&mut self, now: Instant) -> AcceptAction {
        let pause = self.pause.map_or(SHORTEST, |before| (before * 2).min(LONGEST));
        self.pause = Some(pause);
        let say = self.said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
        let unsaid = self.unsaid;
        if say {
            self.said = Some(now);
            self.unsaid = 0;
        } else {
            self.unsaid += 1;
        }
        AcceptAction::Pause { pause, say, unsaid }
    }
}

const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);
const SAY_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
