//! Drain: how a listener and its connections are told to finish, and by when.
//!
//! ```text
//! running ──drain(Graceful)──> draining ──deadline──> cut
//!    └──────drain(Immediate), trigger dropped──────────^
//! ```
//! A listener stops accepting when it is draining, a connection ends by itself if it can (HTTP/2: GOAWAY), and whatever
//! is left ends at the cut. That everybody has finished is told by the watchers being dropped, so a task keeps its
//! [`DrainWatcher`] exactly as long as it has work.

use std::time::Duration;

use tokio::sync::watch;

/// A trigger and the watchers' origin.
#[must_use]
pub fn channel() -> (DrainTrigger, DrainWatcher) {
    let (sender, receiver) = watch::channel(Phase::Running);
    (DrainTrigger { phase: sender }, DrainWatcher { phase: receiver })
}

/// How to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainMode {
    /// Let open work end by itself until the deadline.
    Graceful,
    /// End everything now: what the work rests on is gone already.
    Immediate,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every watcher finished by itself.
    Complete,
    /// The deadline passed and the rest was told to stop.
    Cut,
    /// Some watcher was still held [`CUT_GRACE`] after the cut.
    Stuck,
}

/// Starts a drain. Dropping it without draining cuts at once: nobody could ever drain those watchers.
#[derive(Debug)]
pub struct DrainTrigger {
    phase: watch::Sender<Phase>,
}

/// Tells its holder when to finish, and tells the trigger, by being dropped, that the holder has.
#[derive(Clone, Debug)]
pub struct DrainWatcher {
    phase: watch::Receiver<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    Cut(DrainMode),
}

// === impl DrainTrigger ===

impl DrainTrigger {
    /// Another watcher.
    #[must_use]
    pub fn watcher(&self) -> DrainWatcher {
        DrainWatcher {
            phase: self.phase.subscribe(),
        }
    }

    /// Tells every watcher to finish, waits for them at most until `deadline` has passed, then cuts what is left.
    /// With [`DrainMode::Immediate`] the cut comes first and `deadline` is not used.
    pub async fn drain(self, mode: DrainMode, deadline: Duration) -> Drained {
        if mode == DrainMode::Graceful {
            self.phase.send_replace(Phase::Draining);
            if tokio::time::timeout(deadline, self.phase.closed()).await.is_ok() {
                return Drained::Complete;
            }
        }
        self.phase.send_replace(Phase::Cut(mode));
        match tokio::time::timeout(CUT_GRACE, self.phase.closed()).await {
            Ok(()) if mode == DrainMode::Immediate => Drained::Complete,
            Ok(()) => Drained::Cut,
            Err(_) => Drained::Stuck,
        }
    }
}

// === impl DrainWatcher ===

impl DrainWatcher {
    /// Resolves when a drain starts; at once when it has started already.
    pub async fn draining(&mut self) -> DrainMode {
        let phase = self.phase.wait_for(|p| *p != Phase::Running).await.map(|p| *p);
        match phase {
            Ok(Phase::Cut(mode)) => mode,
            Ok(_) => DrainMode::Graceful,
            Err(_) => DrainMode::Immediate,
        }
    }

    /// Resolves when the time for finishing is over: at the deadline of a graceful drain, at the start of an immediate
    /// one, or when the trigger is gone.
    pub async fn cut(&mut self) {
        // An error means that the trigger is gone, which is a cut too.
        let _ = self.phase.wait_for(|p| matches!(p, Phase::Cut(_))).await;
    }

    /// Whether a drain has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() != Phase::Running || self.phase.has_changed().is_err()
    }
}

/// How long after the cut [`DrainTrigger::drain`] waits for watchers to be dropped.
pub const CUT_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
