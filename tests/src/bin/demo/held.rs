//! A connection that stays open while something changes: a line goes to and fro all the time.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::process::Process;
use lab::wait;
use tokio::time::Instant;

use crate::cast::Cast;
use crate::screen::ms;

/// An open, busy connection.
pub(crate) struct Held {
    client: Process,
    opened: Instant,
}

/// What became of it.
pub(crate) enum Fate {
    /// It ended: how, and how long after the change.
    Ended { how: String, after: Duration },
    /// It is still open, and lines still come back.
    Alive,
    /// It is open, but nothing comes back any more.
    Silent,
}

impl Held {
    /// Opens a connection from one pod to an echo server, and waits for the first line to come back.
    pub(crate) fn open(cast: &Cast, from: &str, to: &str, port: u16, name: &str) -> Result<Self> {
        let to = format!("{}:{port}", cast.pod(to)?.v4());
        let arguments = ["hold", &to, "--every-ms", "10", "--seconds", "600", "--tell"];
        let client = cast
            .pod(from)?
            .spawn(&format!("held-{name}"), &cast.programs.app, &arguments)?;
        let mut held = Self {
            client,
            opened: Instant::now(),
        };
        wait::until("an open connection", OPENS, || (held.count() > 0).then_some(()))
            .with_context(|| held.client.log_tail())?;
        Ok(held)
    }

    /// What became of it since a change, which it is given `patience` to feel.
    pub(crate) fn fate(&mut self, change: Instant, patience: Duration) -> Fate {
        if wait::until("its end", patience, || self.client.ended()).is_ok() {
            return self.end(change);
        }
        let seen = self.count();
        let next = wait::until("another line, or the end", ANOTHER, || {
            match self.client.ended() {
                Some(_) => Some(true),
                None => (self.count() > seen).then_some(false),
            }
        });
        match next {
            Ok(true) => self.end(change),
            Ok(false) => Fate::Alive,
            Err(_) => Fate::Silent,
        }
    }

    /// The client's last line: `lines=<n> end=<how> ms=<since it opened>`.
    fn end(&self, change: Instant) -> Fate {
        let log = self.client.log();
        let last = log.lines().next_back().unwrap_or_default();
        let how = last.rsplit_once(" end=").map_or(last, |(_, rest)| rest);
        let (how, lived) = how.rsplit_once(" ms=").unwrap_or((how, ""));
        let lived = Duration::from_millis(lived.parse().unwrap_or_default());
        Fate::Ended {
            how: how.to_owned(),
            after: (self.opened + lived).saturating_duration_since(change),
        }
    }

    fn count(&mut self) -> u64 {
        let log = self.client.log();
        log.lines()
            .filter_map(|l| l.parse().ok())
            .next_back()
            .unwrap_or(0)
    }
}

impl Fate {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Ended { how, after } => {
                format!("{how} {} after the change", ms(*after))
            }
            Self::Alive => "stays open and goes on".to_owned(),
            Self::Silent => "stays open, but nothing comes back any more".to_owned(),
        }
    }

    pub(crate) fn is_alive(&self) -> bool {
        matches!(self, Self::Alive)
    }

    /// Whether the program knows where it stands: the connection works, or it is over.
    pub(crate) fn is_told(&self) -> bool {
        !matches!(self, Self::Silent)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

const OPENS: Duration = Duration::from_secs(5);
const ANOTHER: Duration = Duration::from_secs(2);
