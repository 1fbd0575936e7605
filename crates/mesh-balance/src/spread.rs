//! Shares by weight.

use crate::chance::scaled;

/// Weights, added up: a number below the sum says whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    count: usize,
    sum: u64,
    /// Up to and with each; empty where all weights are equal.
    ends: Vec<u64>,
}

impl Spread {
    /// Of these weights.
    #[must_use]
    pub fn of(weights: impl ExactSizeIterator<Item = u64> + Clone) -> Self {
        let count = weights.len();
        let first = weights.clone().next().unwrap_or_default();
        if weights.clone().all(|weight| weight == first) {
            let sum = if first == 0 { 0 } else { count as u64 };
            return Self {
                count,
                sum,
                ends: Vec::new(),
            };
        }
        let mut sum = 0_u64;
        let ends = weights.map(|weight| {
            sum = sum.saturating_add(weight);
            sum
        });
        let ends = ends.collect();
        Self { count, sum, ends }
    }

    /// Nobody has a share.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sum == 0
    }

    /// How many have one, or none.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether all have the same.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whose share a number is in, any number of 64 bits; nobody's when there are none.
    #[must_use]
    pub fn at(&self, any: u64) -> Option<usize> {
        if self.sum == 0 {
            return None;
        }
        let place = scaled(any, self.sum);
        Some(match self.ends.is_empty() {
            true => place as usize,
            false => self.ends.partition_point(|end| *end <= place),
        })
    }
}
