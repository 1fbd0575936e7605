//! How many certificates one caller may ask for: a bucket that holds one for each identity of its node, and a few, and
//! fills again at a steady rate (reliability.md, invariant I4).

use std::collections::BTreeMap;
use std::time::Duration;

/// The buckets of all callers.
#[derive(Debug, Default)]
pub struct Budgets {
    buckets: BTreeMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    filled_at: Duration,
}

impl Budgets {
    /// Takes one from the caller's bucket; `false` when it is empty. `identities` is how many its node has, `uptime` a
    /// clock that only goes forward.
    pub fn take(&mut self, caller: &str, identities: usize, uptime: Duration) -> bool {
        let size = SPARE + identities as f64;
        self.make_room(uptime);
        let bucket = self.buckets.entry(caller.to_owned()).or_insert(Bucket {
            level: size,
            filled_at: uptime,
        });
        let elapsed = uptime.saturating_sub(bucket.filled_at);
        bucket.level = (bucket.level + elapsed.as_secs_f64() * PER_SECOND).min(size);
        bucket.filled_at = uptime;
        if bucket.level < 1.0 {
            return false;
        }
        bucket.level -= 1.0;
        true
    }

    /// Forgets callers that have been quiet for so long that their buckets are full again.
    fn make_room(&mut self, uptime: Duration) {
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets
                .retain(|_, b| uptime.saturating_sub(b.filled_at) < QUIET);
        }
    }
}

/// For retries and for identities that the index does not know yet.
const SPARE: f64 = 32.0;
const PER_SECOND: f64 = 5.0;
const MAX_BUCKETS: usize = 16 * 1024;
const QUIET: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
