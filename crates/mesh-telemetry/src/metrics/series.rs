//! One time series of one worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::labels::Labels;
use super::{BUCKETS, Metric};

/// A time series. Only its worker adds to it.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: Metric,
    pub(super) labels: Arc<Labels>,
    /// The tick of its last use.
    touched: AtomicU32,
    /// It is about to be forgotten: whoever wants to count makes a new one.
    retiring: AtomicBool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Counter(AtomicU64),
    Histogram(Box<Histogram>),
}

#[derive(Debug, Default)]
struct Histogram {
    /// One for each bound, and one for what is beyond.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    /// The bits of a floating-point number.
    sum: AtomicU64,
}

/// The sums of some series with the same labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) count: u64,
    pub(super) sum: f64,
    pub(super) buckets: [u64; BUCKETS.len() + 1],
}

impl Series {
    pub(super) fn new(metric: Metric, labels: Arc<Labels>, now: u32) -> Self {
        let values = match metric.is_histogram() {
            true => Values::Histogram(Box::default()),
            false => Values::Counter(AtomicU64::new(0)),
        };
        Self {
            metric,
            labels,
            touched: AtomicU32::new(now),
            retiring: AtomicBool::new(false),
            values,
        }
    }

    /// Adds to a counter.
    pub(super) fn add(&self, n: u64, now: u32) {
        self.touched.store(now, Ordering::Relaxed);
        if let Values::Counter(counter) = &self.values {
            add(counter, n);
        }
    }

    /// Adds to a counter that others add to as well.
    pub(super) fn add_shared(&self, n: u64, now: u32) {
        self.touched.store(now, Ordering::Relaxed);
        if let Values::Counter(counter) = &self.values {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Adds to a histogram.
    pub(super) fn observe(&self, value: f64, now: u32) {
        self.touched.store(now, Ordering::Relaxed);
        if let Values::Histogram(histogram) = &self.values {
            let bucket = BUCKETS.partition_point(|bound| *bound < value);
            add(&histogram.buckets[bucket], 1);
            let sum = f64::from_bits(histogram.sum.load(Ordering::Relaxed)) + value;
            histogram.sum.store(sum.to_bits(), Ordering::Relaxed);
        }
    }

    pub(super) fn touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Ordering::Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retiring.store(true, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        match &self.values {
            Values::Counter(counter) => totals.count += counter.load(Ordering::Relaxed),
            Values::Histogram(histogram) => {
                for (total, bucket) in totals.buckets.iter_mut().zip(&histogram.buckets) {
                    let count = bucket.load(Ordering::Relaxed);
                    *total += count;
                    totals.count += count;
                }
                totals.sum += f64::from_bits(histogram.sum.load(Ordering::Relaxed));
            }
        }
    }
}

/// There is one writer: no other addition can come in between.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}
