//! One endpoint, as all workers know it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mesh_types::Strng;
use parking_lot::Mutex;

use crate::Moment;
use crate::outlier::{Past, Streaks};
use crate::rates::Tallies;

/// What all workers know of one endpoint of a destination. Everything is advisory: nothing here synchronises memory.
#[derive(Debug)]
pub struct Host {
    key: Strng,
    born: Moment,
    active: AtomicU32,
    /// Nanoseconds of the peak-sensitive average, as the bits of an `f64`.
    latency: AtomicU64,
    latency_at: AtomicU64,
    /// Out until then; 0 for in.
    ejected_until: AtomicU64,
    /// Health checks say so.
    ill: AtomicBool,
    pub(crate) streaks: Streaks,
    pub(crate) tally: Tallies,
    pub(crate) past: Mutex<Past>,
}

/// Whether an endpoint may be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Well,
    /// It answered badly, and is left out until then.
    Ejected(Moment),
    /// Health checks fail.
    Ill,
}

impl Host {
    /// As it is born.
    #[must_use]
    pub fn new(key: Strng, born: Moment) -> Self {
        Self {
            key,
            born,
            active: AtomicU32::new(0),
            latency: AtomicU64::new(FIRST_LATENCY.to_bits()),
            latency_at: AtomicU64::new(born.nanos()),
            ejected_until: AtomicU64::new(0),
            ill: AtomicBool::new(false),
            streaks: Streaks::default(),
            tally: Tallies::default(),
            past: Mutex::default(),
        }
    }

    /// What it is known by, and hashed by.
    #[must_use]
    pub fn key(&self) -> &Strng {
        &self.key
    }

    /// Since when it is known.
    #[must_use]
    pub fn born(&self) -> Moment {
        self.born
    }

    /// Requests and connections that are under way, from all workers.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// One more is under way, until [`Host::end`].
    pub fn begin(&self) {
        self.active.fetch_add(1, Relaxed);
    }

    /// One less is.
    pub fn end(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        let until = Moment::from_nanos(self.ejected_until.load(Relaxed));
        match (self.ill.load(Relaxed), until > now) {
            (true, _) => Standing::Ill,
            (false, true) => Standing::Ejected(until),
            (false, false) => Standing::Well,
        }
    }

    /// Whether it may be picked.
    #[must_use]
    pub fn is_well(&self, now: Moment) -> bool {
        self.standing(now) == Standing::Well
    }

    pub(crate) fn is_ejected(&self, now: Moment) -> bool {
        self.ejected_until.load(Relaxed) > now.nanos()
    }

    pub(crate) fn eject_until(&self, until: Moment) {
        self.ejected_until.store(until.nanos(), Relaxed);
    }

    /// Says whether that is news.
    pub(crate) fn set_ill(&self, ill: bool) -> bool {
        self.ill.swap(ill, Relaxed) != ill
    }

    /// An answer took so long to begin. Peaks count at once and fade over [`LATENCY_DECAY`] (Finagle, "Peak EWMA").
    pub fn answered(&self, took: Duration, now: Moment) {
        let took = took.as_nanos() as f64;
        let known = self.latency(now);
        let faded = faded(now.since(Moment::from_nanos(self.latency_at.load(Relaxed))));
        // The fading stands in `known` already: what is missing to the whole is the new one's.
        let next = match took > known {
            true => took,
            false => known + took * (1.0 - faded),
        };
        // Two workers at once: one of two measurements counts, as they are of the same moment.
        self.latency.store(next.to_bits(), Relaxed);
        self.latency_at.store(now.nanos(), Relaxed);
    }

    /// What a request is expected to cost: the average latency, in nanoseconds, for each that would wait with it.
    #[must_use]
    pub fn cost(&self, now: Moment) -> f64 {
        self.latency(now).max(1.0) * f64::from(self.active().saturating_add(1))
    }

    fn latency(&self, now: Moment) -> f64 {
        let at = Moment::from_nanos(self.latency_at.load(Relaxed));
        f64::from_bits(self.latency.load(Relaxed)) * faded(now.since(at))
    }
}

/// What is left after a while.
fn faded(after: Duration) -> f64 {
    (-after.as_secs_f64() / LATENCY_DECAY.as_secs_f64()).exp()
}

/// Linkerd's.
const LATENCY_DECAY: Duration = Duration::from_secs(10);
/// Before the first answer: 30 ms, Linkerd's.
const FIRST_LATENCY: f64 = 30e6;
