//! Units of time, and the windows that they cut time into: whole multiples since the epoch, as Envoy's rate-limit service
//! has them. A day begins at midnight UTC, a week on Thursday; a month is 30 days and a year 365.

use std::fmt;

/// Seconds since the epoch (1970-01-01T00:00:00Z).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

/// A window of time: it begins at `start` and is over at `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// What it is one of.
    pub unit: Unit,
    /// When it begins.
    pub start: Moment,
}

impl Unit {
    /// All of them, the shortest first.
    pub const ALL: [Self; 7] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
    ];

    /// How long it is.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
            Self::Week => 7 * 24 * 60 * 60,
            Self::Month => 30 * 24 * 60 * 60,
            Self::Year => 365 * 24 * 60 * 60,
        }
    }

    /// The window that a moment is in.
    #[must_use]
    pub const fn window(self, now: Moment) -> Window {
        Window {
            unit: self,
            start: Moment(now.0 - now.0 % self.seconds()),
        }
    }

    /// Whether counts of it outlive a process. Those of a second do not: nobody counts before the next one after a start.
    #[must_use]
    pub const fn is_durable(self) -> bool {
        !matches!(self, Self::Second)
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Second => 1,
            Self::Minute => 2,
            Self::Hour => 3,
            Self::Day => 4,
            Self::Month => 5,
            Self::Year => 6,
            Self::Week => 7,
        }
    }

    pub(crate) fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.code() == code)
    }
}

impl Window {
    /// When it is over.
    #[must_use]
    pub const fn end(self) -> Moment {
        Moment(self.start.0.saturating_add(self.unit.seconds()))
    }

    /// Seconds until it is over; 0 afterwards.
    #[must_use]
    pub const fn left(self, now: Moment) -> u64 {
        self.end().0.saturating_sub(now.0)
    }

    /// Whether what was counted in it still counts when it is asked about in `current`. One that is a single step ahead
    /// does: the clock was set back, and nobody gets a second quota by that. One further ahead was a clock's mistake.
    #[must_use]
    pub const fn counts_in(self, current: Self) -> bool {
        self.start.0 >= current.start.0 && self.start.0 <= current.end().0
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Second => "Second",
            Self::Minute => "Minute",
            Self::Hour => "Hour",
            Self::Day => "Day",
            Self::Week => "Week",
            Self::Month => "Month",
            Self::Year => "Year",
        })
    }
}

#[cfg(test)]
mod tests;
