//! An AuthorizationPolicy becomes what a waypoint decides by (Istio reference, "Authorization Policy").
//!
//! A part that is malformed never lets more through than its author wrote: it is told as broken, and the waypoint takes
//! a broken part as one that never matches in an ALLOW rule, and always does in others.

mod rule;

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::security::{self, AuthorizationPolicySpec};
use mesh_model::l7::authorization::{Action, Authorization, ExternalAuth};
use mesh_types::Strng;

use crate::derived::{Condition, ConditionReason};

/// What stands around a policy.
pub(super) struct Around<'a> {
    /// Its namespace.
    pub(super) namespace: &'a Strng,
    /// What identities of this mesh may begin with: the trust domain first, then its aliases.
    pub(super) trust_domains: &'a [Strng],
}

/// What a policy says. `provider` finds who is asked by a CUSTOM one, or says why nobody can be.
pub(super) fn authorization(
    around: &Around<'_>,
    annotations: &Labels,
    spec: &AuthorizationPolicySpec,
    provider: impl FnOnce(&str) -> Result<ExternalAuth, String>,
    conditions: &mut Vec<Condition>,
) -> Authorization {
    let action = match spec.action {
        security::Action::Allow => Action::Allow,
        security::Action::Deny => Action::Deny,
        security::Action::Audit => Action::Audit,
        security::Action::Custom => custom(spec, provider, conditions),
    };
    let dry_run = annotations.get(DRY_RUN).is_some_and(|value| value == "true");
    let rules = spec.rules.iter().enumerate();
    let rules = rules.map(|(i, rule)| {
        let mut problems = rule::Problems::new(format!("spec.rules[{i}]"));
        let lowered = rule::rule(around, rule, &mut problems);
        problems.tell(&action, conditions);
        lowered
    });
    let rules = rules.collect();
    Authorization {
        action,
        rules,
        dry_run,
    }
}

fn custom(
    spec: &AuthorizationPolicySpec,
    provider: impl FnOnce(&str) -> Result<ExternalAuth, String>,
    conditions: &mut Vec<Condition>,
) -> Action {
    let name = spec.provider.as_ref().map(|p| p.name.clone()).unwrap_or_default();
    match provider(&name) {
        Ok(external) => Action::External(Box::new(external)),
        Err(why) => {
            let message = format!("{why}: whatever the policy matches is refused");
            let field = "spec.provider.name";
            conditions.push(Condition::at(
                ConditionReason::ReferenceUnresolved,
                field,
                message,
            ));
            Action::ExternalUnknown(name)
        }
    }
}

const DRY_RUN: &str = "istio.io/dry-run";

#[cfg(test)]
mod tests;
