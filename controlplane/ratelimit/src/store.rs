//! Counts, for all who ask: nothing of them is given out before it is durable.

use std::sync::Arc;

use mesh_quota::counters::Count;
use mesh_quota::{Asked, Counters, Moment, Position, Status};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

/// The counts of this shard. Clones are the same.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    durable: watch::Receiver<Position>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// There is something to write, or the end has come.
    pub(crate) work: Condvar,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) stopping: bool,
}

/// The log cannot be written any more: nothing can be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("counts cannot be written")]
pub struct NotDurable;

impl Store {
    pub(crate) fn new(counters: Counters) -> (Self, Arc<Shared>, watch::Sender<Position>) {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                counters,
                stopping: false,
            }),
            work: Condvar::new(),
        });
        let (sender, durable) = watch::channel(Position::default());
        let store = Self {
            shared: shared.clone(),
            durable,
        };
        (store, shared, sender)
    }

    /// Takes a request out of every limit, or out of none; returns when that is durable.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub async fn take(&self, asked: &[Asked], hits: u32, now: Moment) -> Result<Vec<Status>, NotDurable> {
        let taken = {
            let mut state = self.shared.state.lock();
            let taken = state.counters.take(asked, hits, now);
            if state.counters.has_records() {
                self.shared.work.notify_one();
            }
            taken
        };
        if taken.statuses.iter().all(|status| !status.over) {
            let mut durable = self.durable.clone();
            let written = durable.wait_for(|position| *position >= taken.position).await;
            written.map_err(|_| NotDurable)?;
        }
        Ok(taken.statuses)
    }

    /// What is left; nothing is taken.
    #[must_use]
    pub fn look(&self, asked: &[Asked], now: Moment) -> Vec<Status> {
        self.shared.state.lock().counters.look(asked, now)
    }

    /// Counters whose text contains `wanted`, the most used first.
    #[must_use]
    pub fn list(&self, wanted: &str, most: usize, now: Moment) -> Vec<Count> {
        self.shared.state.lock().counters.list(wanted, most, now)
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state.lock().counters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The writer gives back what is not used, and ends.
    pub fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.work.notify_one();
    }
}
