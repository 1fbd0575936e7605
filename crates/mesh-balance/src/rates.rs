//! Who does worse than the others, or too badly (Envoy, "Outlier detection", success rate and failure percentage).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use mesh_model::l7::traffic::{FailureRate, OutlierDetection, SuccessRate};

use crate::outlier::Reason;

/// Requests of one endpoint since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    all: AtomicU32,
    good: AtomicU32,
}

/// What they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) all: u32,
    pub(crate) good: u32,
}

/// Whether anybody wants requests to be counted.
pub(crate) fn are_wanted(rules: &OutlierDetection) -> bool {
    rules.success_rate.is_some() || rules.failure_rate.is_some()
}

/// Those who are to be left out, with the reason: by their places in the list. `is_in`: those who are out already are not
/// compared.
pub(crate) fn bad(
    tallies: &[Tally],
    is_in: impl Fn(&usize) -> bool,
    rules: &OutlierDetection,
) -> Vec<(usize, Reason)> {
    let mut bad = Vec::new();
    if let Some(rule) = &rules.success_rate {
        let found = worse(tallies, &is_in, rule);
        bad.extend(found.into_iter().map(|at| (at, Reason::SuccessRate)));
    }
    if let Some(rule) = &rules.failure_rate {
        let found = failing(tallies, &is_in, rule);
        let known: Vec<usize> = bad.iter().map(|(at, _)| *at).collect();
        let new = found.into_iter().filter(|at| !known.contains(at));
        bad.extend(new.map(|at| (at, Reason::FailureRate)));
    }
    bad
}

/// Below the mean by so many standard deviations.
fn worse(tallies: &[Tally], is_in: impl Fn(&usize) -> bool, rule: &SuccessRate) -> Vec<usize> {
    let busy = busy(tallies, is_in, rule.request_volume);
    if busy.is_empty() || busy.len() < rule.minimum_hosts as usize {
        return Vec::new();
    }
    let count = busy.len() as f64;
    let mean = busy.iter().map(|(_, good)| good).sum::<f64>() / count;
    let variance = busy.iter().map(|(_, good)| (good - mean).powi(2)).sum::<f64>() / count;
    let least = mean - variance.sqrt() * f64::from(rule.deviations_milli) / 1_000.0;
    let below = busy.into_iter().filter(|(_, good)| *good < least);
    below.map(|(at, _)| at).collect()
}

/// Of which so many per cent fail.
fn failing(tallies: &[Tally], is_in: impl Fn(&usize) -> bool, rule: &FailureRate) -> Vec<usize> {
    let busy = busy(tallies, is_in, rule.request_volume);
    if busy.len() < rule.minimum_hosts as usize {
        return Vec::new();
    }
    let failing = busy
        .into_iter()
        .filter(|(_, good)| 100.0 - good >= f64::from(rule.percent));
    failing.map(|(at, _)| at).collect()
}

/// Those with enough requests, and how many per cent of them succeeded.
fn busy(tallies: &[Tally], is_in: impl Fn(&usize) -> bool, volume: u32) -> Vec<(usize, f64)> {
    let all = tallies.iter().enumerate();
    let enough = all.filter(|(at, tally)| is_in(at) && tally.all > 0 && tally.all >= volume);
    enough
        .map(|(at, tally)| (at, f64::from(tally.good) * 100.0 / f64::from(tally.all)))
        .collect()
}

impl Tallies {
    /// One more request.
    pub(crate) fn count(&self, good: bool) {
        self.all.fetch_add(1, Relaxed);
        if good {
            self.good.fetch_add(1, Relaxed);
        }
    }

    /// What there was, and begins anew. Requests of that very moment may count on either side.
    pub(crate) fn take(&self) -> Tally {
        let all = self.all.swap(0, Relaxed);
        let good = self.good.swap(0, Relaxed);
        Tally {
            all,
            good: good.min(all),
        }
    }
}

#[cfg(test)]
mod tests;
