//! Latencies in buckets of 1 µs up to 100 ms: exact enough for a percentile, and no allocation while measuring.

use std::time::Duration;

/// Counts of latencies.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    /// Without any.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
        }
    }

    /// One more.
    pub fn record(&mut self, took: Duration) {
        let bucket = usize::try_from(took.as_micros()).map_or(BUCKETS - 1, |b| b.min(BUCKETS - 1));
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency in µs that this share of all stayed under.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return bucket as u64;
            }
        }
        BUCKETS as u64
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

const BUCKETS: usize = 100_000;
