//! How busy each worker is, and which one takes the next stream of a tunnel.
//!
//! A tunnel's HTTP/2 connection is driven by the worker that accepted it; its streams need not be served there. Each
//! counts from when it is placed until it is over. A stream goes to the worker with the fewest, and stays where it was
//! accepted if that is no busier than others: crossing threads costs a wake-up for every chunk, a queue behind another
//! client's stream costs more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many streams each worker serves.
#[derive(Clone, Debug)]
pub struct Loads(Arc<[AtomicUsize]>);

/// One stream's share; given back when dropped.
#[derive(Debug)]
pub struct Load {
    loads: Loads,
    worker: usize,
}

impl Loads {
    /// Of so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicUsize::new(0)).collect())
    }

    /// The worker that takes one more stream which was accepted by `here`.
    #[must_use]
    pub fn place(&self, here: usize) -> Load {
        let busy = |worker: usize| self.0[worker].load(Ordering::Relaxed);
        let others = (1..self.0.len()).map(|n| (here + n) % self.0.len());
        let least = others.min_by_key(|worker| busy(*worker));
        let worker = least.filter(|other| busy(*other) < busy(here)).unwrap_or(here);
        self.at(worker)
    }

    /// One more stream for this worker.
    #[must_use]
    pub fn at(&self, worker: usize) -> Load {
        self.0[worker].fetch_add(1, Ordering::Relaxed);
        Load {
            loads: self.clone(),
            worker,
        }
    }
}

impl Load {
    /// Who serves it.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.loads.0[self.worker].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
