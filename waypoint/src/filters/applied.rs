//! What policies want of the filters at one place, compiled together. Which of them count there, and how they merge, is
//! [`mesh_model::l7::attach`]'s, as `explain` has it.

use std::collections::BTreeMap;
use std::rc::Rc;

use mesh_model::l7::attach::{AttachedPolicies, Effective, Place};
use mesh_model::l7::authorization::Authorizer;
use mesh_model::l7::resilience::Retry;
use mesh_state::l7::L7Snapshot;
use mesh_telemetry::plan::Plan;

use super::jwt::rules::TokenRules;
use super::not_enforced::NotEnforced;
use super::rate_limit::Limits;

/// What policies want of the filters at one place.
#[derive(Debug, Default)]
pub struct Applied {
    /// Everything, and who says so.
    pub effective: Effective,
    /// Of it, which requests may pass.
    pub authorizer: Authorizer,
    /// Which tokens are known.
    pub tokens: TokenRules,
    /// How many requests there may be.
    pub limits: Limits,
    /// When requests are tried again whose rule does not say.
    pub retry: Rc<Retry>,
    /// What is told of requests.
    pub telemetry: Rc<Plan>,
    /// What is wanted and not done here.
    pub not_enforced: NotEnforced,
}

impl Applied {
    /// Of the policies that are attached to a place.
    #[must_use]
    pub fn compile(snapshot: &L7Snapshot, place: &Place) -> Self {
        let effective = Effective::at(snapshot, place);
        let targets = place.targets();
        let attached = targets.iter().flat_map(|target| snapshot.attached_to(target));
        // One that is attached to several of them counts once.
        let attached: BTreeMap<_, _> = attached.map(|policy| (policy.key(), &**policy)).collect();
        let attached: Vec<_> = attached.into_values().collect();
        let retry = effective.retry.as_ref().map(|given| given.value.clone());
        let (plan, unusable) = Plan::compile(&effective);
        for unusable in unusable {
            tracing::warn!(%unusable, "a part of the telemetry that is wanted cannot be carried out");
        }
        Self {
            telemetry: Rc::new(plan),
            authorizer: effective.authorizer(),
            tokens: TokenRules::compile(effective.authentications.iter().map(|given| &given.value)),
            limits: Limits::compile(&effective.rate_limits),
            retry: Rc::new(retry.unwrap_or_default()),
            not_enforced: NotEnforced::among(&attached),
            effective,
        }
    }
}
