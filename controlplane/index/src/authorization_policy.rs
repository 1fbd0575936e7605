//! An AuthorizationPolicy becomes an authorization, as far as a node proxy can enforce it.
//!
//! What cannot be enforced must never let more through than the author wrote: an ALLOW rule with such a part is left out
//! whole, a DENY rule loses the part and denies more. A value that is malformed is treated the same way; files with such
//! values are refused before, other sources may not be so careful.

mod rule;

use controlplane_k8s_api::security::{self, AuthorizationPolicy};
use controlplane_k8s_api::{Kind, Labels, ObjectKey};
use mesh_model::Authorization;
use mesh_model::policy::{Action, Scope};
use mesh_types::{NamespacedName, Strng};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason};

/// The authorization of a policy; nothing for those that are a waypoint's business or ask for what a node proxy cannot do.
pub(crate) fn authorization_from_policy(
    config: &MeshConfig,
    trust_domains: &[Strng],
    name: &NamespacedName,
    policy: &AuthorizationPolicy,
) -> Derived<Authorization> {
    let provenance = ObjectKey {
        kind: Kind::AuthorizationPolicy,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    };
    let spec = &policy.spec;
    if spec.target_ref.is_some() || !spec.target_refs.is_empty() {
        let message = "is attached to a target: waypoints enforce it, node proxies do not";
        let condition = Condition::at(ConditionReason::NotForNodeProxy, "spec.targetRefs", message);
        return Derived::nothing(provenance, condition);
    }
    let action = match spec.action {
        security::Action::Allow => Action::Allow,
        security::Action::Deny => Action::Deny,
        security::Action::Audit | security::Action::Custom => {
            let message = "a node proxy can only ALLOW or DENY: the policy is not enforced by it";
            let condition = Condition::at(ConditionReason::Unsupported, "spec.action", message);
            return unsupported(provenance, condition);
        }
    };
    let dry_run = policy
        .metadata
        .annotations
        .get(DRY_RUN)
        .is_some_and(|a| a == "true");
    if dry_run && !config.dry_run_policies {
        let message = "dry run is switched off in this mesh: the policy is neither tried nor enforced";
        let condition = Condition::at(ConditionReason::Unsupported, DRY_RUN, message);
        return unsupported(provenance, condition);
    }
    let mut conditions = Vec::new();
    let rules = spec.rules.iter().enumerate();
    let rules = rules.filter_map(|(i, rule)| {
        rule::convert(
            action,
            rule::Around {
                namespace: &name.namespace,
                trust_domains,
            },
            rule,
            &format!("spec.rules[{i}]"),
            &mut conditions,
        )
    });
    let authorization = Authorization {
        name: name.clone(),
        scope: match (selector(policy), name.namespace == config.root_namespace) {
            (Some(_), _) => Scope::WorkloadSelector,
            (None, true) => Scope::Global,
            (None, false) => Scope::Namespace,
        },
        action,
        rules: rules.collect(),
        dry_run,
    };
    Derived {
        status: vec![accepted(&conditions)],
        conditions,
        ..Derived::of(provenance, authorization)
    }
}

fn unsupported(provenance: ObjectKey, condition: Condition) -> Derived<Authorization> {
    Derived {
        status: vec![accepted(std::slice::from_ref(&condition))],
        ..Derived::nothing(provenance, condition)
    }
}

/// Whether node proxies enforce the policy as it is written. (Of one with targets there is nothing to be said: they are
/// waypoints' business.)
fn accepted(conditions: &[Condition]) -> Stated {
    let (holds, reason, message) = match conditions.is_empty() {
        true => (
            true,
            StatusReason::Accepted,
            "node proxies enforce it as it is written".to_owned(),
        ),
        false => {
            let all: Vec<String> = conditions.iter().map(ToString::to_string).collect();
            (false, StatusReason::UnsupportedValue, all.join("; "))
        }
    };
    StatusCondition::new(ConditionType::ZtunnelAccepted, holds, reason, message).into()
}

/// The selector, if it selects: an empty one stands for the whole namespace, as none does.
pub(crate) fn selector(policy: &AuthorizationPolicy) -> Option<&Labels> {
    let selector = policy.spec.selector.as_ref().map(|s| &s.match_labels);
    selector.filter(|labels| !labels.is_empty())
}

const DRY_RUN: &str = "istio.io/dry-run";

#[cfg(test)]
mod tests;
