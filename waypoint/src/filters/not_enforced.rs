//! Nothing is served as if a policy were not there: where one is attached that protects something and that this version
//! does not carry out, or does not understand, requests and connections are refused, loudly.

use std::ops::ControlFlow;
use std::rc::Rc;

use http::StatusCode;
use mesh_model::l7::authorization::Action;
use mesh_model::l7::{Policy, PolicyKind};
use mesh_types::Strng;

use super::applied::Applied;
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
        PolicyKind::Authorization(_)
        | PolicyKind::Authentication(_)
        | PolicyKind::RateLimit(_)
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
        | PolicyKind::ForwardClientIdentity(_)
        | PolicyKind::TrustedProxies(_) => None,
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

/// The same for what is attached to the rule that takes the request, which came only with it.
pub(crate) struct RuleGuard;

impl Filter for RuleGuard {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let (here, at_rule) = (&exchange.compiled.applied, &exchange.applied);
        if Rc::ptr_eq(here, at_rule) {
            return ControlFlow::Continue(());
        }
        let policy = at_rule.not_enforced.policy().cloned();
        let Some(policy) = policy.or_else(|| too_late(here, at_rule)) else {
            return ControlFlow::Continue(());
        };
        exchange.story.policy = Some(policy);
        ControlFlow::Break(refusal())
    }
}

/// Tokens are looked at, and others asked, before a rule is chosen: what is attached to a rule comes too late for that.
fn too_late(here: &Applied, at_rule: &Applied) -> Option<Strng> {
    let (here, at_rule) = (&here.effective, &at_rule.effective);
    let tokens = at_rule
        .authentications
        .iter()
        .find(|given| !here.authentications.contains(given));
    let asks = at_rule.authorizations.iter().find(|given| {
        let asks = matches!(
            given.value.action,
            Action::External(_) | Action::ExternalUnknown(_)
        );
        asks && !given.value.dry_run && !here.authorizations.contains(given)
    });
    let object = tokens
        .map(|given| &given.object)
        .or_else(|| asks.map(|given| &given.object));
    object.map(|object| object.to_string().into())
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
