//! When an object is written again that cannot be written, or that somebody else writes too: each by itself, so that no other
//! one waits for it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_kube::{Fault, KubeError};
use tokio::time::Instant;

/// What became of earlier attempts, by the object's place.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<String, Paced>);

/// Of one object.
#[derive(Clone, Copy, Debug)]
struct Paced {
    last: Last,
    /// How often that happened in a row, but for the first time.
    again: u32,
    at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It was written.
    Written,
    /// It was refused.
    Refused,
}

/// What follows from an error for the other objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody can be asked at present.
    Everywhere,
    /// The API server says that it is not able to: all of it, or what it asks about this object (a webhook).
    Perhaps,
    /// It is about this object.
    Here,
}

impl Trouble {
    /// Whose trouble it is.
    #[must_use]
    pub fn of(error: &KubeError) -> Self {
        match (error, error.fault()) {
            (KubeError::Busy(_), _) => Self::Perhaps,
            (_, Fault::Server | Fault::Configuration) => Self::Everywhere,
            (_, Fault::Rights | Fault::Race | Fault::Request) => Self::Here,
        }
    }
}

/// When there is more to do after a round over all objects, though nobody says anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// For one that waits by itself.
    pub wake: Option<Instant>,
    /// For all of them: nothing is written before.
    pub resume: Option<Instant>,
}

impl Round {
    /// When to look again; nothing while there is nothing to wait for.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.resume.or(self.wake)
    }

    /// One of them waits until then.
    pub fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |before| before.min(at)));
    }
}

impl Pace {
    /// Before when it is not to be written again.
    #[must_use]
    pub fn not_before(&self, place: &str) -> Option<Instant> {
        let paced = self.0.get(place)?;
        // Whoever changes it once or twice is an operator: it is put back at once.
        let free = match paced.last {
            Last::Written => FREE,
            Last::Refused => 0,
        };
        let times = paced.again.checked_sub(free)?;
        Some(paced.at + delay(times))
    }

    /// It was written. Says whether it is to be told now that somebody else writes it again and again.
    pub fn written(&mut self, place: &str, now: Instant) -> bool {
        self.note(place, Last::Written, now) == FREE
    }

    /// It was refused. Says whether that is to be told: once, for as long as it is so.
    pub fn refused(&mut self, place: &str, now: Instant) -> bool {
        self.note(place, Last::Refused, now) == 0
    }

    /// Nothing is to be written there any more.
    pub fn forget(&mut self, place: &str) {
        self.0.remove(place);
    }

    /// Nothing is to be written any more where this says no.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|place, _| keep(place));
    }

    fn note(&mut self, place: &str, last: Last, now: Instant) -> u32 {
        let before = self.0.get(place);
        let lasts = before.filter(|before| before.last == last && now < before.at + CALM);
        let again = lasts.map_or(0, |before| before.again.saturating_add(1));
        self.0.insert(place.to_owned(), Paced { last, again, at: now });
        again
    }
}

fn delay(times: u32) -> Duration {
    let factor = 2_u32.saturating_pow(times);
    FIRST.saturating_mul(factor).min(MOST)
}

/// How often what others change is put back at once.
const FREE: u32 = 3;
const FIRST: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(600);
/// Nothing happened for so long: what happens next is something new.
const CALM: Duration = Duration::from_secs(1800);

#[cfg(test)]
mod tests;
