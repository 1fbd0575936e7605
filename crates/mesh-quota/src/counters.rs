//! The counts: what is left of each limit, and what must be on the disk before it may be given out.
//!
//! A request is taken out of a *reservation*. A reservation is written to the log before anything of it is given out, and
//! what is recovered of a log counts as used up: a crash may cost requests ([`Limit::block`] less one, for each counter)
//! and never gives any twice.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::sync::Arc;

use crate::journal::Record;
use crate::key::Key;
use crate::limit::Limit;
use crate::window::{Moment, Unit, Window};

/// The counts of one shard.
#[derive(Debug)]
pub struct Counters {
    counters: HashMap<Key, Counter>,
    /// Which counters may be over when; one that went on into another window stands there, too.
    ends: BTreeMap<Moment, Vec<Key>>,
    capacity: usize,
    /// What the records' checksums begin with.
    seed: u64,
    outbox: Vec<u8>,
    position: Position,
}

/// How much was ever handed to the log. What was taken may be given out when the log is durable up to here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// What a request is counted as, and its limit.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is counted as.
    pub key: Key,
    /// The limit.
    pub limit: Arc<Limit>,
    /// What it is counted as where there is no room.
    together: Key,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// One for each that was asked, in order.
    pub statuses: Vec<Status>,
    /// What must be durable before the request may pass; of consequence only where no limit is exceeded.
    pub position: Position,
}

/// What is left of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The request is one too many.
    pub over: bool,
    /// More than four fifths are used up (Envoy's `near_limit`).
    pub near: bool,
    /// How many more there may be.
    pub remaining: u64,
    /// Seconds until there may be as many as at the beginning.
    pub reset: u64,
    /// It was counted together with others, for want of room.
    pub together: bool,
    /// The limit.
    pub limit: Arc<Limit>,
}

/// A counter, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it counts.
    pub key: Key,
    /// In which window.
    pub window: Window,
    /// How many.
    pub used: u64,
    /// How many a crash would make of it.
    pub reserved: u64,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    window: Window,
    used: u64,
    reserved: u64,
    /// Of its last reservation.
    position: Position,
}

impl Asked {
    /// A descriptor and its limit.
    #[must_use]
    pub fn new(domain: &str, key: Key, limit: Arc<Limit>) -> Self {
        Self {
            together: Key::together(domain, &limit.name),
            key,
            limit,
        }
    }
}

impl Counters {
    /// None yet; about `capacity` of them at once. `seed` goes into the log's checksums.
    #[must_use]
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self {
            counters: HashMap::new(),
            ends: BTreeMap::new(),
            capacity,
            seed,
            outbox: Vec::new(),
            position: Position::default(),
        }
    }

    /// Takes `hits` requests out of every limit, or out of none if one has too few left.
    pub fn take(&mut self, asked: &[Asked], hits: u32, now: Moment) -> Taken {
        self.forget(now, SWEPT_AT_ONCE);
        let hits = u64::from(hits.max(1));
        let slots: Vec<Slot> = asked.iter().map(|asked| self.slot(asked, now)).collect();
        let mut done = Vec::with_capacity(slots.len());
        let mut refused = None;
        for (n, (slot, asked)) in slots.iter().zip(asked).enumerate() {
            let counter = self.counter(slot);
            if counter.used.saturating_add(hits) > u64::from(asked.limit.requests) {
                refused.get_or_insert(n);
                done.push(false);
            } else {
                counter.used += hits;
                done.push(true);
            }
        }
        if refused.is_some() {
            for (slot, done) in slots.iter().zip(&done) {
                if *done {
                    self.counter(slot).used -= hits;
                }
            }
        }
        let mut position = Position::default();
        let mut statuses = Vec::with_capacity(slots.len());
        for ((slot, asked), done) in slots.iter().zip(asked).zip(done) {
            if refused.is_none() {
                position = position.max(self.reserve(slot, &asked.limit));
            }
            statuses.push(self.status(slot, asked, !done, now));
        }
        Taken { statuses, position }
    }

    /// What is left of each limit; nothing is taken.
    #[must_use]
    pub fn look(&self, asked: &[Asked], now: Moment) -> Vec<Status> {
        let look = |asked: &Asked| {
            let current = asked.limit.unit.window(now);
            let known = |key: &Key| {
                let counter = self.counters.get(key)?;
                let counts = counter.window.unit == current.unit && counter.window.counts_in(current);
                counts.then_some((counter.window, counter.used))
            };
            let (window, used) = known(&asked.key).unwrap_or((current, 0));
            status(asked, window, used, false, false, now)
        };
        asked.iter().map(look).collect()
    }

    /// What is to be written to the log, after everything that was handed out before; and up to where that reaches.
    pub fn take_records(&mut self) -> (Vec<u8>, Position) {
        (std::mem::take(&mut self.outbox), self.position)
    }

    /// Whether something is to be written.
    #[must_use]
    pub fn has_records(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What is there, to be written in pieces by [`Self::snapshot`].
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.counters.keys().cloned().collect()
    }

    /// The records of counters that are still there and not over, to be written after what [`Self::take_records`] gives
    /// at the same time.
    pub fn snapshot(&self, keys: &[Key], now: Moment, into: &mut Vec<u8>) {
        for key in keys {
            let Some(counter) = self.counters.get(key) else {
                continue;
            };
            if counter.window.unit.is_durable() && counter.window.end() > now {
                let record = Record {
                    key: key.clone(),
                    window: counter.window,
                    amount: counter.reserved,
                };
                record.encode(self.seed, into);
            }
        }
    }

    /// Gives back what is reserved and not used: before an orderly end, so that it costs nobody a request.
    pub fn settle(&mut self) {
        let mut records = Vec::new();
        for (key, counter) in &mut self.counters {
            if counter.window.unit.is_durable() && counter.reserved > counter.used {
                counter.reserved = counter.used;
                records.push((key.clone(), counter.window, counter.used));
            }
        }
        for (key, window, amount) in records {
            self.write(key, window, amount);
        }
    }

    /// Takes a record of a log; later ones take the place of earlier ones. What is over is left out.
    pub fn recover(&mut self, record: Record, now: Moment) {
        let Record { key, window, amount } = record;
        if window.end() <= now {
            self.counters.remove(&key);
            return;
        }
        self.ends.entry(window.end()).or_default().push(key.clone());
        let counter = Counter {
            window,
            used: amount,
            reserved: amount,
            position: Position::default(),
        };
        self.counters.insert(key, counter);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// Those whose text contains `wanted` and that are not over, the most used first, at most `most`.
    #[must_use]
    pub fn list(&self, wanted: &str, most: usize, now: Moment) -> Vec<Count> {
        let counters = self.counters.iter();
        let counters = counters.filter(|(key, c)| c.window.end() > now && key.as_str().contains(wanted));
        let mut list: Vec<Count> = counters
            .map(|(key, counter)| Count {
                key: key.clone(),
                window: counter.window,
                used: counter.used,
                reserved: counter.reserved,
            })
            .collect();
        list.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.key.cmp(&b.key)));
        list.truncate(most);
        list
    }

    /// Takes out what is over, of at most so many that may be.
    fn forget(&mut self, now: Moment, most: usize) {
        let mut looked = 0;
        while looked < most {
            let Some(mut first) = self.ends.first_entry().filter(|first| *first.key() <= now) else {
                return;
            };
            let keys = first.get_mut();
            while looked < most
                && let Some(key) = keys.pop()
            {
                looked += 1;
                if let Entry::Occupied(counter) = self.counters.entry(key)
                    && counter.get().window.end() <= now
                {
                    counter.remove();
                }
            }
            if keys.is_empty() {
                first.remove();
            }
        }
    }

    /// The counter of what is asked, in the window that counts now.
    fn slot(&mut self, asked: &Asked, now: Moment) -> Slot {
        if !self.counters.contains_key(&asked.key) && self.counters.len() >= self.capacity {
            self.forget(now, usize::MAX);
            if self.counters.len() >= self.capacity {
                self.begin(&asked.together, asked.limit.unit, now);
                return Slot {
                    key: asked.together.clone(),
                    together: true,
                };
            }
        }
        self.begin(&asked.key, asked.limit.unit, now);
        Slot {
            key: asked.key.clone(),
            together: false,
        }
    }

    fn begin(&mut self, key: &Key, unit: Unit, now: Moment) {
        let window = unit.window(now);
        let fresh = Counter {
            window,
            used: 0,
            reserved: 0,
            position: Position::default(),
        };
        match self.counters.entry(key.clone()) {
            Entry::Occupied(mut known) => {
                let old = known.get().window;
                if old.unit == unit && old.counts_in(window) {
                    return;
                }
                known.insert(fresh);
            }
            Entry::Vacant(free) => drop(free.insert(fresh)),
        }
        self.ends.entry(window.end()).or_default().push(key.clone());
    }

    fn counter(&mut self, slot: &Slot) -> &mut Counter {
        let counter = self.counters.get_mut(&slot.key);
        counter.expect("a slot's counter was begun under the same borrow")
    }

    /// What must be durable for what is used of a counter.
    fn reserve(&mut self, slot: &Slot, limit: &Limit) -> Position {
        let counter = self.counter(slot);
        if counter.used <= counter.reserved {
            return counter.position;
        }
        let most = u64::from(limit.requests).max(counter.used);
        counter.reserved = counter.used.saturating_add(limit.block() - 1).min(most);
        let (window, amount) = (counter.window, counter.reserved);
        if window.unit.is_durable() {
            let position = self.write(slot.key.clone(), window, amount);
            self.counter(slot).position = position;
            return position;
        }
        Position::default()
    }

    fn write(&mut self, key: Key, window: Window, amount: u64) -> Position {
        let before = self.outbox.len();
        Record { key, window, amount }.encode(self.seed, &mut self.outbox);
        self.position.0 += (self.outbox.len() - before) as u64;
        self.position
    }

    fn status(&mut self, slot: &Slot, asked: &Asked, over: bool, now: Moment) -> Status {
        let Counter { window, used, .. } = *self.counter(slot);
        status(asked, window, used, over, slot.together, now)
    }
}

/// Where something is counted.
struct Slot {
    key: Key,
    together: bool,
}

fn status(asked: &Asked, window: Window, used: u64, over: bool, together: bool, now: Moment) -> Status {
    let requests = u64::from(asked.limit.requests);
    Status {
        over,
        near: used.saturating_mul(5) > requests * 4,
        remaining: requests.saturating_sub(used),
        reset: window.left(now),
        together,
        limit: asked.limit.clone(),
    }
}

/// A request pays for the removal of so many.
const SWEPT_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests;
