//! Delays between attempts.

use std::time::Duration;

/// Doubling delays with a bound, each spread by 20 % to either side, so that a fleet does not come back in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// A first delay, and the delay that is not exceeded (before spreading).
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            next: initial,
        }
    }

    /// The streams' backoff: 10 ms, doubling to 15 s, as upstream's ztunnel does.
    #[must_use]
    pub fn of_streams() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(15))
    }

    /// The delay before the next attempt; `random` is in 0..1.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.max);
        spread(delay, random)
    }

    /// What was attempted held this long: if longer than the bound, begin again with the first delay. Success alone is
    /// not enough: a server that accepts a stream and breaks it at the first message would be asked in a tight loop.
    pub fn held_for(&mut self, duration: Duration) {
        if duration >= self.max {
            self.next = self.initial;
        }
    }
}

/// A delay moved by up to 20 % to either side; `random` is in 0..1.
#[must_use]
pub fn spread(delay: Duration, random: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
