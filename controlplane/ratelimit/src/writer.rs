//! The thread that writes: whatever came together is one write and one wait for the disk.

use std::io;
use std::sync::Arc;

use mesh_quota::{Counters, Key, Position};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::log::{CHUNK, Log};
use crate::metrics::Metrics;
use crate::store::{Shared, Store};

/// Writes what counts to the log.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    durable: watch::Sender<Position>,
    log: Log,
    clock: Clock,
    metrics: Metrics,
    /// Counters that the newest file does not have yet; nothing when it is complete.
    missing: Option<Vec<Key>>,
    most_grown: u64,
}

/// What is to be done next.
struct Turn {
    records: Vec<u8>,
    position: Position,
    last: bool,
}

impl Writer {
    /// A store, and what writes its log: [`Writer::run`] on a thread of its own.
    #[must_use]
    pub fn new(log: Log, counters: Counters, clock: Clock, metrics: Metrics) -> (Store, Self) {
        let (store, shared, durable) = Store::new(counters);
        let writer = Self {
            shared,
            durable,
            log,
            clock,
            metrics,
            missing: None,
            most_grown: MOST_GROWN,
        };
        (store, writer)
    }

    /// Another limit for the growth of the log, for tests.
    #[must_use]
    pub fn growing_at_most(self, bytes: u64) -> Self {
        Self {
            most_grown: bytes,
            ..self
        }
    }

    /// Writes until the store is stopped.
    ///
    /// # Errors
    /// When the disk fails. Nothing is given out any more.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            let turn = self.next();
            self.log.append(&turn.records)?;
            let began = Instant::now();
            self.log.sync()?;
            self.metrics.synced(began.elapsed());
            // Nobody listens any more only when the process is on its way out.
            let _ = self.durable.send(turn.position);
            if turn.last {
                return Ok(());
            }
            self.compact()?;
            self.metrics.log_bytes(self.log.bytes());
        }
    }

    /// Waits for something to write. Records come before the counters that are written at the same time.
    fn next(&mut self) -> Turn {
        let mut state = self.shared.state.lock();
        while !state.counters.has_records() && !state.stopping && self.missing.is_none() {
            self.shared.work.wait(&mut state);
        }
        let last = state.stopping;
        if last {
            state.counters.settle();
        }
        let (mut records, position) = state.counters.take_records();
        if let Some(missing) = &mut self.missing
            && !last
        {
            let some = missing.split_off(missing.len().saturating_sub(CHUNK));
            state.counters.snapshot(&some, self.clock.now(), &mut records);
        }
        Turn {
            records,
            position,
            last,
        }
    }

    /// Begins the next file where the newest has grown too long, and ends that when it has everything.
    fn compact(&mut self) -> io::Result<()> {
        match &self.missing {
            Some(missing) if missing.is_empty() => {
                self.missing = None;
                self.log.complete()
            }
            None if self.log.is_long(self.most_grown) => {
                self.log.begin_next()?;
                self.missing = Some(self.shared.state.lock().counters.keys());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Beyond what a fresh file would have.
const MOST_GROWN: u64 = 16 * 1024 * 1024;
