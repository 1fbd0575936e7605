//! Nothing is served as if a policy were not there: where one is attached that protects something and that this version
//! does not carry out, or does not understand, requests and connections are refused, loudly.

use std::ops::ControlFlow;

use http::StatusCode;
use mesh_model::l7::authorization::{Action, Authorization};
use mesh_model::l7::filter::Filter as RuleFilter;
use mesh_model::l7::{Policy, PolicyKind};
use mesh_types::Strng;

use crate::exchange::{Exchange, Filter, Next};
use crate::reply::LocalReply;

/// What is wanted and not done here; usually nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotEnforced {
    first: Option<Strng>,
}

/// Why a policy is not carried out here; `None` for those that are, and for those that protect nothing.
#[must_use]
pub fn why_not(policy: &Policy) -> Option<Strng> {
    match &policy.kind {
        PolicyKind::Unusable(unusable) => Some(unusable.reason.clone()),
        PolicyKind::Authorization(Authorization {
            action: Action::External(_),
            dry_run: false,
            ..
        }) => Some("external authorization is not carried out by this version".into()),
        PolicyKind::RateLimit(_) => Some("requests are not counted by this version".into()),
        PolicyKind::Authorization(_)
        | PolicyKind::Authentication(_)
        | PolicyKind::Traffic(_)
        | PolicyKind::BackendTls(_)
        | PolicyKind::HealthCheck(_)
        | PolicyKind::Session(_)
        | PolicyKind::Retry(_)
        | PolicyKind::RetryBudget(_)
        | PolicyKind::Fault(_)
        | PolicyKind::AccessLogging(_)
        | PolicyKind::Metrics(_)
        | PolicyKind::Tracing(_)
        | PolicyKind::PathNormalization(_)
        | PolicyKind::ForwardClientIdentity(_) => None,
    }
}

impl NotEnforced {
    /// Among policies that are attached to one place.
    #[must_use]
    pub fn among(policies: &[&Policy]) -> Self {
        let mut not = policies.iter().filter(|policy| why_not(policy).is_some());
        Self {
            first: not.next().map(|policy| policy.key()),
        }
    }

    /// The first such policy.
    #[must_use]
    pub fn policy(&self) -> Option<&Strng> {
        self.first.as_ref()
    }
}

/// Refuses where something is wanted that is not done.
pub(crate) struct Guard;

impl Filter for Guard {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        match exchange.compiled.applied.not_enforced.policy() {
            None => ControlFlow::Continue(()),
            Some(policy) => {
                exchange.story.policy = Some(policy.clone());
                ControlFlow::Break(refusal())
            }
        }
    }
}

/// What a rule wants that is not done here.
pub(crate) struct RuleGuard;

impl Filter for RuleGuard {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        // What is attached to the rule came only with it.
        if let Some(policy) = exchange.applied.not_enforced.policy() {
            exchange.story.policy = Some(policy.clone());
            return ControlFlow::Break(refusal());
        }
        let external = |filter: &RuleFilter| matches!(filter, RuleFilter::ExternalAuth(_));
        if !exchange.rule_filters().iter().any(external) {
            return ControlFlow::Continue(());
        }
        exchange.story.policy = Some("ExternalAuth filter of the route".into());
        ControlFlow::Break(refusal())
    }
}

/// The answer: nothing about the policy, which is none of the client's business.
fn refusal() -> LocalReply {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    LocalReply::new(status, DETAILS, "a policy cannot be enforced here")
}

/// For logs.
pub(crate) const DETAILS: &str = "policy_not_enforced";

#[cfg(test)]
mod tests;
