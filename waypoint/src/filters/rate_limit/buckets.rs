//! Buckets of tokens, shared by all workers of the process.
//!
//! A bucket is one number: the time at which it would be full if nothing more were taken ("generic cell rate algorithm",
//! ITU-T I.371). A bucket that is full is the same as none, so that what is forgotten is exactly what does not matter, and
//! there is a limit to how many there are: further ones of a limit are then counted together.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// All buckets. Clones are the same.
#[derive(Clone, Debug)]
pub struct Buckets {
    shared: Arc<Shared>,
}

/// Which one. Nobody outside can find out which values share one, as the hash is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bucket {
    key: u128,
    /// The one that counts where there is no room for the former.
    common: u128,
}

/// How fast tokens come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Nanoseconds for one token; absent where there are none.
    each: Option<u64>,
    burst: u64,
}

/// What became of taking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) allowed: bool,
    /// Tokens that are left.
    pub(crate) remaining: u64,
    /// Until it is full.
    pub(crate) full: Duration,
    /// Until there is a token.
    pub(crate) next: Duration,
}

#[derive(Debug)]
struct Shared {
    began: Instant,
    hashers: [RandomState; 2],
    shards: Vec<Mutex<Shard>>,
    most_in_shard: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each is full, in nanoseconds since the beginning.
    full_at: HashMap<u128, u64>,
    tidied: u64,
}

impl Rate {
    /// So many in this time, and so many at once; as many as come back in the time if that is 0.
    pub(crate) fn new(requests: u32, interval: Duration, burst: u32) -> Self {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        Self {
            each: nanos.checked_div(u64::from(requests)).map(|each| each.max(1)),
            burst: u64::from(if burst == 0 { requests } else { burst }),
        }
    }

    /// How many there may be at once.
    pub(crate) fn burst(self) -> u64 {
        self.burst
    }
}

impl Buckets {
    /// At most about so many; limits themselves come on top.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                began: Instant::now(),
                hashers: [RandomState::new(), RandomState::new()],
                shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
                most_in_shard: most.div_ceil(SHARDS),
            }),
        }
    }

    /// The bucket of a limit for these values.
    pub(crate) fn bucket(&self, limit: &impl Hash, values: &impl Hash) -> Bucket {
        Bucket {
            key: self.hash(&(limit, Some(values))),
            common: self.hash(&(limit, None::<()>)),
        }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&self, bucket: Bucket, rate: Rate, now: Instant) -> Taken {
        let now = nanos(now.saturating_duration_since(self.shared.began));
        let Some(each) = rate.each else {
            return Taken {
                allowed: false,
                remaining: 0,
                full: Duration::ZERO,
                next: Duration::from_secs(u64::from(u32::MAX)),
            };
        };
        let most = each.saturating_mul(rate.burst);
        self.with(bucket, now, |full_at| {
            let wanted = (*full_at).max(now).saturating_add(each);
            let owed = wanted - now;
            let allowed = owed <= most;
            if allowed {
                *full_at = wanted;
            }
            let full = (*full_at).saturating_sub(now);
            Taken {
                allowed,
                remaining: most.saturating_sub(full) / each,
                full: Duration::from_nanos(full),
                next: Duration::from_nanos(owed.saturating_sub(most)),
            }
        })
    }

    /// A token was taken in vain.
    pub(crate) fn give_back(&self, bucket: Bucket, rate: Rate) {
        let each = rate.each.unwrap_or(0);
        let mut shard = self.shard(bucket.key).lock();
        if let Some(full_at) = shard.full_at.get_mut(&bucket.key) {
            *full_at = full_at.saturating_sub(each);
            return;
        }
        drop(shard);
        if let Some(full_at) = self.shard(bucket.common).lock().full_at.get_mut(&bucket.common) {
            *full_at = full_at.saturating_sub(each);
        }
    }

    fn with(&self, bucket: Bucket, now: u64, take: impl Fn(&mut u64) -> Taken) -> Taken {
        let mut shard = self.shard(bucket.key).lock();
        if let Some(full_at) = shard.full_at.get_mut(&bucket.key) {
            return take(full_at);
        }
        if shard.has_room(self.shared.most_in_shard, now) {
            return take(shard.full_at.entry(bucket.key).or_insert(0));
        }
        drop(shard);
        let mut shard = self.shard(bucket.common).lock();
        take(shard.full_at.entry(bucket.common).or_insert(0))
    }

    fn shard(&self, key: u128) -> &Mutex<Shard> {
        let place = (key % SHARDS as u128) as usize;
        &self.shared.shards[place]
    }

    fn hash(&self, value: &impl Hash) -> u128 {
        let [high, low] = self
            .shared
            .hashers
            .each_ref()
            .map(|hasher| hasher.hash_one(value));
        u128::from(high) << 64 | u128::from(low)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shared
            .shards
            .iter()
            .map(|shard| shard.lock().full_at.len())
            .sum()
    }
}

impl Default for Buckets {
    /// About ten MiB at most.
    fn default() -> Self {
        Self::new(250_000)
    }
}

impl Shard {
    /// Forgets what is full, but not all the time.
    fn has_room(&mut self, most: usize, now: u64) -> bool {
        if self.full_at.len() < most {
            return true;
        }
        if now.saturating_sub(self.tidied) < TIDY_INTERVAL && self.tidied > 0 {
            return false;
        }
        self.tidied = now.max(1);
        self.full_at.retain(|_, full_at| *full_at > now);
        self.full_at.len() < most
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const SHARDS: usize = 64;
/// Nanoseconds.
const TIDY_INTERVAL: u64 = 100_000_000;

#[cfg(test)]
mod tests;
