//! Policies that always apply together, compiled to be asked at once.

use std::sync::Arc;

use mesh_types::PortSet;

use super::RuleRef;
use super::rules::{RuleId, RuleSet, Subject};
use crate::policy::{Action, Authorization};

/// Policies that always apply together: those of the mesh, those of a namespace, or a single one.
///
/// Compiling costs some microseconds per rule and happens when policies change; asking costs a few look-ups, however
/// many rules there are.
#[derive(Debug, Default)]
pub struct PolicyGroup {
    policies: Vec<Arc<Authorization>>,
    deny: RuleSet,
    allow: RuleSet,
    deny_on_trial: RuleSet,
    allow_on_trial: RuleSet,
    has_allow: bool,
    has_allow_on_trial: bool,
    /// Where whoever proves no identity is refused.
    plaintext_denied_at: PortSet,
}

/// Which policies on trial are asked.
#[derive(Clone, Copy)]
pub(super) enum Trial {
    Deny,
    Allow,
}

impl PolicyGroup {
    /// Compiles policies; their order decides nothing.
    #[must_use]
    pub fn compile(policies: impl IntoIterator<Item = Arc<Authorization>>) -> Self {
        let mut policies: Vec<_> = policies.into_iter().collect();
        policies.sort_by(|a, b| a.name.cmp(&b.name));
        let has = |action, dry_run| {
            policies
                .iter()
                .any(|p| p.action == action && p.dry_run == dry_run)
        };
        let rules = |action, dry_run| {
            let chosen = policies.iter().enumerate();
            let chosen = chosen.filter(|(_, p)| p.action == action && p.dry_run == dry_run);
            RuleSet::compile(chosen.flat_map(|(i, p)| {
                let id = move |rule| RuleId { policy: i, rule };
                p.rules.iter().enumerate().map(move |(r, rule)| (id(r), rule))
            }))
        };
        let denied = policies.iter().map(|p| p.denies_plaintext_at());
        Self {
            plaintext_denied_at: denied.fold(PortSet::none(), PortSet::union),
            deny: rules(Action::Deny, false),
            allow: rules(Action::Allow, false),
            deny_on_trial: rules(Action::Deny, true),
            allow_on_trial: rules(Action::Allow, true),
            has_allow: has(Action::Allow, false),
            has_allow_on_trial: has(Action::Allow, true),
            policies,
        }
    }

    /// The policies, by name.
    #[must_use]
    pub fn policies(&self) -> &[Arc<Authorization>] {
        &self.policies
    }

    pub(super) fn plaintext_denied_at(&self) -> &PortSet {
        &self.plaintext_denied_at
    }

    pub(super) fn has_allow(&self) -> bool {
        self.has_allow
    }

    pub(super) fn has_allow_on_trial(&self) -> bool {
        self.has_allow_on_trial
    }

    pub(super) fn denies(&self, subject: &Subject<'_>) -> Option<RuleRef> {
        self.deny.any_match(subject).map(|id| self.rule(id))
    }

    pub(super) fn allows(&self, subject: &Subject<'_>) -> Option<RuleRef> {
        self.allow.any_match(subject).map(|id| self.rule(id))
    }

    /// Reports one matching rule of every policy on trial that has one.
    pub(super) fn on_trial(&self, trial: Trial, subject: &Subject<'_>, report: impl FnMut(RuleRef)) {
        let rules = match trial {
            Trial::Deny => &self.deny_on_trial,
            Trial::Allow => &self.allow_on_trial,
        };
        let mut matching = rules.all_matches(subject);
        matching.sort();
        matching.dedup_by_key(|id| id.policy);
        matching.into_iter().map(|id| self.rule(id)).for_each(report);
    }

    /// Ids were given out by [`Self::compile`], for these very policies.
    fn rule(&self, id: RuleId) -> RuleRef {
        RuleRef {
            policy: self.policies[id.policy].name.clone(),
            rule: id.rule,
        }
    }
}
