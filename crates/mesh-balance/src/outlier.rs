//! When an endpoint is left out for what it answers, and for how long (Envoy, "Outlier detection"; DestinationRule,
//! `outlierDetection`).

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use mesh_model::l7::traffic::OutlierDetection;
use mesh_types::Strng;

use crate::rates::{self, Tally};
use crate::{Group, Host, Moment};

/// How a try at an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer of this status.
    Answered(u16),
    /// With an answer of this gRPC status.
    AnsweredGrpc(u8),
    /// A connection came about, and there is no more to say of bytes.
    Connected,
    /// There was no connection, or no answer on it, or not in time.
    Failed,
}

/// Why an endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 5xx in a row.
    Consecutive5xx,
    /// 502, 503, 504 or no answer in a row.
    ConsecutiveGatewayErrors,
    /// No answer in a row.
    ConsecutiveLocalOriginFailures,
    /// A smaller part of its requests succeeds than of the others'.
    SuccessRate,
    /// Too large a part of its requests fails.
    FailureRate,
}

/// An endpoint is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub until: Moment,
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(crate) struct Streaks {
    server_errors: AtomicU32,
    gateway_errors: AtomicU32,
    local_failures: AtomicU32,
}

/// How often it was out.
#[derive(Debug, Default)]
pub(crate) struct Past {
    times: u32,
    /// When it came back last.
    back: Moment,
}

impl Outcome {
    /// As a status, the way Envoy sees it: what never was an answer counts as 503 where it is not counted apart. Where
    /// statuses are listed, others are no errors, and those below 500 count as 500.
    fn status(self, rules: &OutlierDetection) -> u16 {
        let listed = |status: u16| match rules.error_statuses.contains(&status) {
            true => status.max(500),
            false => 200,
        };
        match self {
            Self::Answered(status) if !rules.error_statuses.is_empty() => listed(status),
            // It came with 200.
            Self::AnsweredGrpc(_) if !rules.error_statuses.is_empty() => listed(200),
            Self::Answered(status) => status,
            // gRPC, "HTTP to gRPC Status Code Mapping", the other way round; Envoy does the same.
            Self::AnsweredGrpc(14) => 503,
            Self::AnsweredGrpc(2 | 4 | 8 | 13 | 15) => 500,
            Self::AnsweredGrpc(_) | Self::Connected => 200,
            Self::Failed => 503,
        }
    }
}

impl Group {
    /// A try at an endpoint ended. Says whether that was one failure too many.
    ///
    /// As long as all goes well this reads three numbers and writes none.
    pub fn report(
        &self,
        host: &Host,
        outcome: Outcome,
        rules: &OutlierDetection,
        now: Moment,
    ) -> Option<Ejection> {
        let split = outcome == Outcome::Failed && rules.consecutive_local_origin_failures.is_some();
        if rates::are_wanted(rules) && !split {
            host.tally.count(outcome.status(rules) < 500);
        }
        let reason = host.streaks.count(outcome, rules)?;
        self.eject(host, reason, rules, now)
    }

    /// Once in an interval, whoever comes first: looks who does worse than the others, or too badly. Gives those that are
    /// left out now.
    pub fn compare(&self, rules: &OutlierDetection, now: Moment) -> Vec<(Strng, Ejection)> {
        if !rates::are_wanted(rules) || !self.is_time_to_compare(rules.interval, now) {
            return Vec::new();
        }
        let hosts = self.all();
        let tallies: Vec<Tally> = hosts.iter().map(|host| host.tally.take()).collect();
        let is_in = |at: &usize| !hosts[*at].is_ejected(now);
        let bad = rates::bad(&tallies, is_in, rules);
        bad.into_iter()
            .filter_map(|(at, reason)| {
                let host = &hosts[at];
                Some((host.key().clone(), self.eject(host, reason, rules, now)?))
            })
            .collect()
    }

    /// Leaves an endpoint out, unless too many are out already.
    fn eject(&self, host: &Host, reason: Reason, rules: &OutlierDetection, now: Moment) -> Option<Ejection> {
        // One at a time, so that the part that is out is never exceeded.
        let hosts = self.hosts();
        if host.is_ejected(now) {
            return None;
        }
        let (total, out) = hosts.counts(now);
        let within = (out + 1) * 100 <= total * rules.max_ejection_percent as usize;
        if out > 0 && !within || rules.max_ejection_percent == 0 {
            return None;
        }
        let mut past = host.past.lock();
        let calm = now.since(past.back).as_nanos() / rules.interval.as_nanos().max(1);
        let forgiven = u32::try_from(calm).unwrap_or(u32::MAX);
        past.times = past.times.saturating_sub(forgiven).saturating_add(1);
        let base = rules.base_ejection_time;
        let most = base.max(LONGEST);
        let until = now + base.saturating_mul(past.times).min(most);
        past.back = until;
        host.streaks.clear();
        host.eject_until(until);
        drop(past);
        drop(hosts);
        self.changed();
        Some(Ejection { reason, until })
    }
}

impl Streaks {
    /// Says which of them is complete.
    fn count(&self, outcome: Outcome, rules: &OutlierDetection) -> Option<Reason> {
        let failed = outcome == Outcome::Failed;
        if let (true, Some(most)) = (failed, rules.consecutive_local_origin_failures) {
            return one_more(&self.local_failures, most).then_some(Reason::ConsecutiveLocalOriginFailures);
        }
        if !failed {
            zero(&self.local_failures);
        }
        let status = outcome.status(rules);
        if status < 500 {
            zero(&self.server_errors);
            zero(&self.gateway_errors);
            return None;
        }
        let server = one_more(&self.server_errors, rules.consecutive_5xx);
        let gateway = match status {
            502..=504 => one_more(&self.gateway_errors, rules.consecutive_gateway_errors),
            _ => {
                zero(&self.gateway_errors);
                false
            }
        };
        match (server, gateway) {
            (true, _) => Some(Reason::Consecutive5xx),
            (_, true) => Some(Reason::ConsecutiveGatewayErrors),
            _ => None,
        }
    }

    fn clear(&self) {
        zero(&self.server_errors);
        zero(&self.gateway_errors);
        zero(&self.local_failures);
    }
}

/// Counts one more; whether that makes `most`, which 0 never is.
fn one_more(count: &AtomicU32, most: u32) -> bool {
    most > 0 && count.fetch_add(1, Relaxed).saturating_add(1) >= most
}

fn zero(count: &AtomicU32) {
    // What is 0 stays in every worker's cache.
    if count.load(Relaxed) != 0 {
        count.store(0, Relaxed);
    }
}

impl Reason {
    /// In a word, for logs and metrics (Envoy, `cluster.outlier_detection`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGatewayErrors => "consecutive_gateway_failure",
            Self::ConsecutiveLocalOriginFailures => "consecutive_local_origin_failure",
            Self::SuccessRate => "success_rate",
            Self::FailureRate => "failure_percentage",
        }
    }
}

/// Envoy's `max_ejection_time`.
const LONGEST: Duration = Duration::from_secs(300);
