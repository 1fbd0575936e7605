//! Time as it is given: nanoseconds since some beginning that the caller chose, and that all callers of a group share.

use std::ops::Add;
use std::time::Duration;

/// A point in time. It fits an atomic, which an `Instant` does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The beginning.
    pub const ZERO: Self = Self(0);

    /// So long after the beginning; 500 years at most.
    #[must_use]
    pub fn after(beginning: Duration) -> Self {
        Self(u64::try_from(beginning.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Of nanoseconds since the beginning.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// How long after another one; zero when before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let nanos = u64::try_from(later.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}
