//! What to do next about certificates: a pure function of what is known and the time. The facts are those of upstream's
//! ztunnel: renewal at half of a certificate's life, backoff for each identity, eight fetches at once, the more urgent
//! first.
//!
//! ```text
//! want ----> due --next()--> fetching --fetched()--> held: due again at half life (Background)
//!             ^                  |
//!             +---- failed(): due again after the backoff, the certificate held stays
//! ```
//! Times are tokio's, which does not jump; only how much of a certificate's life is left is told from the wall clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use mesh_grpc::backoff::spread;
use mesh_types::Identity;
use tokio::time::Instant;

/// When certificates are fetched.
#[derive(Clone, Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<Identity, Entry>,
    fetching: BTreeSet<Identity>,
    roots: Option<RootsId>,
    last_rollover: Option<Instant>,
}

/// How urgent a fetch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A certificate is there and is to be renewed.
    Background,
    /// Somebody will want it soon.
    Warmup,
    /// A connection waits for it.
    RealTime,
}

/// Stands for a set of trust roots: equal for equal sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootsId(pub u64);

/// How long a fetched certificate is valid, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Fetch this one now; it counts as being fetched from here on.
    Fetch(Identity),
    /// Nobody asked for it since it was fetched for a single connection: let it go instead of renewing it.
    Drop(Identity),
    /// Nothing before this time, unless something changes.
    WaitUntil(Instant),
    /// Nothing, unless something changes.
    Idle,
}

#[derive(Clone, Debug)]
struct Entry {
    due: Instant,
    priority: Priority,
    /// Asked for with [`Schedule::keep`]: renewed until forgotten.
    kept: bool,
    failures: u32,
    last_attempt: Option<Instant>,
    roots: Option<RootsId>,
}

impl Schedule {
    /// An identity is to have a certificate until forgotten. `usable` says whether it has one.
    pub fn keep(&mut self, identity: &Identity, usable: bool, now: Instant) {
        self.ask(identity, Priority::Warmup, usable, now).kept = true;
    }

    /// A connection waits for an identity's certificate. During a backoff the next attempt is brought forward, but
    /// attempts stay 5 s apart.
    pub fn want(&mut self, identity: &Identity, usable: bool, now: Instant) {
        self.ask(identity, Priority::RealTime, usable, now);
    }

    /// An identity needs no certificate any more.
    pub fn forget(&mut self, identity: &Identity) {
        self.entries.remove(identity);
    }

    /// What to do now; call until it says to wait.
    pub fn next(&mut self, now: Instant) -> Next {
        let waiting = |(id, _): &(&Identity, &Entry)| !self.fetching.contains(*id);
        let due = self
            .entries
            .iter()
            .filter(waiting)
            .filter(|(_, entry)| entry.due <= now);
        let most_urgent = due.max_by_key(|(_, entry)| (entry.priority, Reverse(entry.due)));
        if let Some((identity, entry)) = most_urgent {
            if entry.priority == Priority::Background && !entry.kept {
                let identity = identity.clone();
                self.entries.remove(&identity);
                return Next::Drop(identity);
            }
            if self.fetching.len() < MAX_FETCHES {
                let identity = identity.clone();
                return self.begin(identity, now);
            }
            // A fetch that ends makes room.
            return Next::Idle;
        }
        let next = self
            .entries
            .iter()
            .filter(waiting)
            .map(|(_, entry)| entry.due)
            .min();
        next.map_or(Next::Idle, Next::WaitUntil)
    }

    /// A fetch succeeded. False when the identity was forgotten meanwhile. `random` is in 0..1.
    pub fn fetched(
        &mut self,
        identity: &Identity,
        validity: Validity,
        roots: RootsId,
        now: Instant,
        wall: SystemTime,
        random: f64,
    ) -> bool {
        self.fetching.remove(identity);
        let Some(entry) = self.entries.get_mut(identity) else {
            return false;
        };
        entry.due = now + until_renewal(validity, wall);
        entry.priority = Priority::Background;
        entry.failures = 0;
        entry.roots = Some(roots);
        if self.roots.replace(roots).is_some_and(|before| before != roots) {
            self.roll_over(roots, now, random);
        }
        true
    }

    /// A fetch failed; `usable` says whether a valid certificate is still held. `random` is in 0..1.
    pub fn failed(&mut self, identity: &Identity, usable: bool, now: Instant, random: f64) {
        self.fetching.remove(identity);
        let Some(entry) = self.entries.get_mut(identity) else {
            return;
        };
        let first = if usable { FIRST_BACKOFF_HELD } else { FIRST_BACKOFF };
        let delay = first.saturating_mul(1 << entry.failures.min(16)).min(MAX_BACKOFF);
        entry.failures = entry.failures.saturating_add(1);
        entry.due = now + spread(delay, random);
        entry.priority = if usable {
            Priority::Background
        } else {
            Priority::Warmup
        };
        // What was fetched for one connection, which has its answer by now, is not fetched for nobody.
        if !entry.kept {
            entry.priority = Priority::Background;
        }
    }

    /// When an identity is next fetched; `None` when it is being fetched or not known.
    #[must_use]
    pub fn next_attempt(&self, identity: &Identity) -> Option<Instant> {
        let entry = self.entries.get(identity)?;
        (!self.fetching.contains(identity)).then_some(entry.due)
    }

    fn ask(&mut self, identity: &Identity, priority: Priority, usable: bool, now: Instant) -> &mut Entry {
        let fresh = || Entry {
            due: now,
            priority,
            kept: false,
            failures: 0,
            last_attempt: None,
            roots: None,
        };
        let entry = self.entries.entry(identity.clone()).or_insert_with(fresh);
        if usable {
            return entry;
        }
        entry.priority = entry.priority.max(priority);
        if priority == Priority::RealTime || entry.failures == 0 {
            let spaced = entry
                .last_attempt
                .filter(|_| entry.failures > 0)
                .map(|last| last + MIN_SPACING);
            let earliest = spaced.map_or(now, |spaced| spaced.max(now));
            entry.due = entry.due.min(earliest);
        }
        entry
    }

    fn begin(&mut self, identity: Identity, now: Instant) -> Next {
        if let Some(entry) = self.entries.get_mut(&identity) {
            entry.last_attempt = Some(now);
        }
        self.fetching.insert(identity.clone());
        Next::Fetch(identity)
    }

    /// The authority's roots changed: whoever still trusts only the others is renewed soon, not at half of its life.
    /// Spread, so that a node does not ask for everything at once; spaced, so that two authorities that disagree do not
    /// make it ask forever.
    fn roll_over(&mut self, roots: RootsId, now: Instant, random: f64) {
        let spaced = self.last_rollover.map(|last| last + ROLLOVER_SPACING);
        let from = spaced.map_or(now, |spaced| spaced.max(now));
        self.last_rollover = Some(from);
        let others = self
            .entries
            .values_mut()
            .filter(|entry| entry.roots.is_some_and(|r| r != roots));
        for (index, entry) in others.enumerate() {
            let share = (random + index as f64 * GOLDEN_RATIO).fract();
            entry.due = entry.due.min(from + ROLLOVER_SPREAD.mul_f64(share));
        }
    }
}

/// Half of the certificate's life is over then. If that has passed already (clocks differ), half of what is left, at
/// most 30 s: neither at once again and again, nor too late.
fn until_renewal(validity: Validity, wall: SystemTime) -> Duration {
    let Validity {
        not_before,
        not_after,
    } = validity;
    let left = not_after.duration_since(wall).unwrap_or_default();
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let half_life = not_before.checked_add(life / 2).unwrap_or(not_after);
    let until_half = half_life.duration_since(wall).unwrap_or_default();
    until_half.max((left / 2).min(SOONEST_RENEWAL)).max(FIRST_BACKOFF)
}

/// As upstream's ztunnel has it.
const MAX_FETCHES: usize = 8;
const FIRST_BACKOFF: Duration = Duration::from_millis(500);
/// While a valid certificate is held there is no hurry.
const FIRST_BACKOFF_HELD: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(150);
/// Between two attempts that connections ask for.
const MIN_SPACING: Duration = Duration::from_secs(5);
const SOONEST_RENEWAL: Duration = Duration::from_secs(30);
const ROLLOVER_SPREAD: Duration = Duration::from_mins(1);
const ROLLOVER_SPACING: Duration = Duration::from_mins(10);
/// Its multiples spread evenly over 0..1, however many there are.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

#[cfg(test)]
mod tests;
