//! How much of bodies this process holds, all of it together: beginnings that may be sent again, copies, what others are
//! to look at, and what clients have not taken yet.
//!
//! Beyond four fifths of the limit nothing new is kept that need not be: a body that is kept for another try is let go, a
//! copy is given up, and an endpoint's answer is read only as far as its client takes it. Beyond nineteen twentieths new
//! requests are refused. So those who are served go on, instead of being killed with everybody else.
//!
//! Each holder counts in steps, so that small bodies cost nothing.

use std::cell::RefCell;
use std::fs;
use std::task::{Context, Poll, Waker};

use prometheus::IntGauge;

/// The account of the process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Memory {
    held: IntGauge,
    limit: i64,
}

/// What one holder has.
#[derive(Debug)]
pub struct Share {
    memory: Memory,
    bytes: usize,
    /// As the account knows it: full steps.
    told: usize,
}

/// What was given to a client's connection, and not taken by it.
#[derive(Debug)]
pub struct Unsent {
    share: RefCell<Share>,
    waiting: RefCell<Vec<Waker>>,
    memory: Memory,
}

impl Memory {
    /// At most so many bytes, counted here.
    #[must_use]
    pub fn new(held: IntGauge, limit: usize) -> Self {
        Self {
            held,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
        }
    }

    /// Whether nothing is to be kept that need not be.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.held.get() >= self.limit / 5 * 4
    }

    /// Whether no more requests are to be taken.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held.get() >= self.limit / 20 * 19
    }

    /// Somebody's account.
    #[must_use]
    pub fn share(&self) -> Share {
        Share {
            memory: self.clone(),
            bytes: 0,
            told: 0,
        }
    }
}

impl Share {
    /// So much more.
    pub fn add(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_add(bytes));
    }

    /// So much less.
    pub fn give_back(&mut self, bytes: usize) {
        self.set(self.bytes.saturating_sub(bytes));
    }

    /// Nothing more.
    pub fn clear(&mut self) {
        self.set(0);
    }

    /// Whether nothing is to be kept that need not be.
    #[must_use]
    pub fn is_high(&self) -> bool {
        self.memory.is_high()
    }

    /// The account of all.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// So much, and no more.
    pub fn set(&mut self, bytes: usize) {
        self.bytes = bytes;
        let steps = bytes / STEP * STEP;
        if steps == self.told {
            return;
        }
        let amount = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.memory.held.add(amount(steps) - amount(self.told));
        self.told = steps;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Unsent {
    /// Of a connection.
    #[must_use]
    pub fn new(memory: &Memory) -> Self {
        Self {
            share: RefCell::new(memory.share()),
            waiting: RefCell::default(),
            memory: memory.clone(),
        }
    }

    /// So many bytes of a body are on their way to the client.
    pub fn handed(&self, bytes: usize) {
        self.share.borrow_mut().add(bytes);
    }

    /// The client's socket took so many: of bodies, and of what stands around them.
    pub fn written(&self, bytes: usize) {
        self.share.borrow_mut().give_back(bytes);
        self.wake();
    }

    /// So many will never go: their stream is over.
    pub fn lost(&self, bytes: usize) {
        self.written(bytes);
    }

    /// Ready when more may be given to the connection: all is well, or it has hardly anything.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.memory.is_high() || self.share.borrow().bytes < LITTLE {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The limit where nobody says one: half of what the container may have, or of 2 GiB where nothing is said of that. The
/// other half is for connections, configuration, and what is not counted.
#[must_use]
pub fn default_limit() -> usize {
    let read = |path| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let container = CGROUP.into_iter().find_map(read);
    container.map_or(UNLIMITED, |bytes| bytes.min(UNLIMITED * 16)) / 2
}

/// Version 2, then version 1; the root of what a container sees.
const CGROUP: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
const UNLIMITED: usize = 2 << 30;
const STEP: usize = 4 * 1024;
/// Of one connection, whatever others have.
const LITTLE: usize = 16 * 1024;

#[cfg(test)]
mod tests;
