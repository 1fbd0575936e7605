//! How many connections and requests there may be (Envoy, "Circuit breaking"; DestinationRule, `connectionPool`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use mesh_model::l7::resilience::RetryBudget;

use crate::Group;

/// What is counted, over all workers and all endpoints of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Connections.
    Connections,
    /// Requests that wait for a connection.
    Pending,
    /// Requests that are under way.
    Requests,
    /// Second and further tries that are under way.
    Retries,
}

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Circuits([AtomicU32; 4]);

/// One that was counted, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    group: Arc<Group>,
    counter: Counter,
}

impl Group {
    /// Counts one more, unless there are as many already. Never are there more than that, whatever other workers do at the
    /// same time.
    #[must_use]
    pub fn permit(self: &Arc<Self>, counter: Counter, most: Option<u32>) -> Option<Permit> {
        let count = self.circuits.of(counter);
        let before = count.fetch_add(1, Relaxed);
        if most.is_some_and(|most| before >= most) {
            count.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Permit {
            group: self.clone(),
            counter,
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self, counter: Counter) -> u32 {
        self.circuits.of(counter).load(Relaxed)
    }

    /// One more retry, within a budget: a part of what is under way (Envoy, `RetryBudget`), or a fixed number.
    #[must_use]
    pub fn retry_permit(self: &Arc<Self>, budget: &RetryBudget, most: Option<u32>) -> Option<Permit> {
        let most = most.unwrap_or_else(|| {
            let active = u64::from(self.count(Counter::Requests));
            let share = active * u64::from(budget.percent) / 100;
            u32::try_from(share).unwrap_or(u32::MAX).max(budget.minimum)
        });
        self.permit(Counter::Retries, Some(most))
    }
}

impl Circuits {
    fn of(&self, counter: Counter) -> &AtomicU32 {
        &self.0[counter as usize]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.group.circuits.of(self.counter).fetch_sub(1, Relaxed);
    }
}
