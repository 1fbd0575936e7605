//! The time that logs are of. A kubelet knows where a log is to begin, and not where it is to end. Pure.

use crate::clock::seconds;

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    since: u64,
    /// Seconds since 1970; nothing where logs go on to the present.
    end: Option<i64>,
}

impl Window {
    /// From so many seconds ago to so many seconds ago.
    pub(super) fn ago(now: u64, since: u64, until: u64) -> Self {
        let end = i64::try_from(now.saturating_sub(until)).unwrap_or(i64::MAX);
        Self {
            since,
            end: (until > 0).then_some(end),
        }
    }

    /// How many seconds ago it begins.
    pub(super) fn since(self) -> u64 {
        self.since
    }

    /// The lines of a log that were written before the end; each begins with its time, and one that does not belongs to the
    /// line before it.
    pub(super) fn cut(self, log: &str) -> String {
        let Some(end) = self.end else {
            return log.to_owned();
        };
        let mut kept = String::new();
        for line in log.split_inclusive('\n') {
            let time = line.split(' ').next().and_then(seconds);
            if time.is_some_and(|time| time >= end) {
                break;
            }
            kept.push_str(line);
        }
        kept
    }
}

#[cfg(test)]
mod tests;
