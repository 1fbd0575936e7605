//! When an endpoint is asked whether it is well, and what the answers mean (HealthCheckPolicy; Envoy, "Health checking").

use std::time::Duration;

use mesh_model::l7::health::HealthCheck;

use crate::{Chance, Moment};

/// One endpoint under check.
///
/// ```text
///              first answer good                  `unhealthy_threshold` bad in a row
///   Unknown ────────────────────────► Well ───────────────────────────────────────► Ill
///      └──────────────────────────────────────────────────────────────────────────►  │
///              first answer bad       ◄──────────────────────────────────────────────┘
///                                      `healthy_threshold` good in a row
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    state: State,
    /// Answers in a row that speak against the state.
    against: u32,
    due: Moment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Well,
    Ill,
}

/// What an answer changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is well, as nobody knew or it was not.
    Well,
    /// It is ill.
    Ill,
}

impl Check {
    /// Of an endpoint that nobody asked yet: soon, but not all endpoints at once.
    #[must_use]
    pub fn new(rules: &HealthCheck, now: Moment, chance: &mut impl Chance) -> Self {
        let within = rules.interval.min(FIRST_WITHIN);
        Self {
            state: State::Unknown,
            against: 0,
            due: now + part(within, chance.below(1_000)),
        }
    }

    /// When it is asked next.
    #[must_use]
    pub fn due(&self) -> Moment {
        self.due
    }

    /// It answered, or did not.
    pub fn answered(
        &mut self,
        good: bool,
        rules: &HealthCheck,
        now: Moment,
        chance: &mut impl Chance,
    ) -> Option<Changed> {
        // A tenth more or less, so that many gateways and endpoints do not fall into step.
        self.due = now + rules.interval.mul_f64(0.9) + part(rules.interval, chance.below(200));
        let (agrees, threshold, turned) = match self.state {
            State::Unknown => (false, 1, if good { State::Well } else { State::Ill }),
            State::Well => (good, rules.unhealthy_threshold, State::Ill),
            State::Ill => (!good, rules.healthy_threshold, State::Well),
        };
        if agrees {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < threshold {
            return None;
        }
        (self.state, self.against) = (turned, 0);
        Some(match turned {
            State::Ill => Changed::Ill,
            State::Well | State::Unknown => Changed::Well,
        })
    }
}

/// So many thousandths of a time.
fn part(of: Duration, thousandths: u64) -> Duration {
    of.mul_f64(thousandths as f64 / 1_000.0)
}

/// Nobody waits for a first answer longer than that.
const FIRST_WITHIN: Duration = Duration::from_millis(200);
