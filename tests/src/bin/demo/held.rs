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
        let mut held = Self { client };
        wait::until("an open connection", OPENS, || (held.count() > 0).then_some(()))
            .with_context(|| held.client.log_tail())?;
        Ok(held)
    }

    /// What became of it since a change, which it is given `patience` to feel.
    pub(crate) fn fate(&mut self, change: Instant, patience: Duration) -> Fate {
        let ended = wait::until("its end", patience, || {
            self.client.ended().map(|_| change.elapsed())
        });
        if let Ok(after) = ended {
            let log = self.client.log();
            let how = log.rsplit_once(" end=").map_or("", |(_, rest)| rest);
            return Fate::Ended {
                how: how.split(" ms=").next().unwrap_or_default().to_owned(),
                after,
            };
        }
        let seen = self.count();
        match wait::until("another line", ANOTHER, || (self.count() > seen).then_some(())) {
            Ok(()) => Fate::Alive,
            Err(_) => Fate::Silent,
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
