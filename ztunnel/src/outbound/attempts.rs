//! What a connection's attempts have taught it, and whether another one follows. Pure.

use std::sync::Arc;

use mesh_dns::ResolveError;
use mesh_model::Workload;
use mesh_types::{OrigDst, Strng, WorkloadUid};

use super::connect::ConnectFailure;
use super::plan::{Names, Plan, Question, Refused, Resolved, Via};

/// What was tried so far, in vain, and what was found out.
#[derive(Debug)]
pub struct Attempts {
    tried: Vec<WorkloadUid>,
    names: Names,
    waypoint_unreachable: bool,
    random: fastrand::Rng,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            tried: Vec::new(),
            names: Names::new(),
            waypoint_unreachable: false,
            random: fastrand::Rng::new(),
        }
    }
}

impl Attempts {
    /// What is asked for the next one.
    #[must_use]
    pub fn question<'a>(&'a self, client: &'a Workload, to: OrigDst) -> Question<'a> {
        Question {
            client,
            to,
            avoid: &self.tried,
            names: &self.names,
            waypoint_unreachable: self.waypoint_unreachable,
        }
    }

    /// Chance, the same until the next attempt: what a plan needs is found out for just that plan.
    #[must_use]
    pub fn random(&self) -> fastrand::Rng {
        self.random.clone()
    }

    /// Remembers what a host name stands for.
    pub fn learn(&mut self, name: Strng, resolved: Result<Arc<[std::net::IpAddr]>, ResolveError>) {
        let resolved = match resolved {
            Ok(addresses) => Resolved::Addresses(addresses),
            Err(error) => Resolved::Failed(error.to_string().into()),
        };
        self.names.insert(name, resolved);
    }

    /// Whether another attempt follows one that failed: with another endpoint where there are several, and without the
    /// waypoint where all that was tried of it are not there and its binding allows that.
    pub fn again_after(&mut self, plan: &Plan, failure: &ConnectFailure) -> bool {
        let Some(target) = plan.target() else {
            return false;
        };
        let several = target.service.is_some() || target.via.is_waypoint();
        let endpoint = target.workload.as_ref().filter(|_| several && failure.retryable);
        if endpoint.is_some_and(|w| self.another(&w.uid)) {
            return true;
        }
        let past = failure.nobody && target.via == (Via::Waypoint { fail_open: true });
        if past && !self.waypoint_unreachable {
            self.waypoint_unreachable = true;
            self.tried.clear();
            return true;
        }
        false
    }

    /// Whether another plan may do better than one that was refused.
    pub fn again_after_refusal(&mut self, refused: &Refused) -> bool {
        refused.endpoint().is_some_and(|uid| self.another(uid))
    }

    /// Remembers the endpoint that failed; whether another one may be tried.
    fn another(&mut self, failed: &WorkloadUid) -> bool {
        if self.tried.len() + 1 >= ATTEMPTS || self.tried.contains(failed) {
            return false;
        }
        self.tried.push(failed.clone());
        self.random = fastrand::Rng::new();
        true
    }
}

/// How many endpoints of a service are tried for one connection.
const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests;
