//! The order in which policies decide.

use super::group::{PolicyGroup, Trial};
use super::rules::Subject;
use super::{Connection, Decision, DenyReason, DryRun, PolicySet, Verdict};

/// May this connection pass?
///
/// In this order: a matching DENY rule refuses it; a listed policy that has not arrived refuses it; without ALLOW
/// policies it passes; a matching ALLOW rule lets it pass; otherwise it is refused. Policies on trial are asked on the
/// way and never decide. An ALLOW policy without rules counts as one that matches nothing.
pub fn evaluate(connection: &Connection<'_>, policies: &PolicySet) -> Decision {
    let subject = Subject::new(connection);
    let mut dry_run = Vec::new();
    let verdict = decide(&subject, policies, &mut dry_run);
    Decision { verdict, dry_run }
}

fn decide(subject: &Subject<'_>, policies: &PolicySet, dry_run: &mut Vec<DryRun>) -> Verdict {
    let groups = || policies.groups.iter().map(AsRef::as_ref);
    for group in groups() {
        group.on_trial(Trial::Deny, subject, |rule| {
            dry_run.push(DryRun::WouldDeny(rule));
        });
    }
    if let Some(rule) = groups().find_map(|group| group.denies(subject)) {
        return Verdict::Deny(DenyReason::Policy(rule));
    }
    if let Some(policy) = policies.unknown.first() {
        return Verdict::Deny(DenyReason::UnknownPolicy(policy.clone()));
    }
    let before = dry_run.len();
    for group in groups() {
        group.on_trial(Trial::Allow, subject, |rule| {
            dry_run.push(DryRun::WouldAllow(rule));
        });
    }
    if !groups().any(PolicyGroup::has_allow) {
        if groups().any(PolicyGroup::has_allow_on_trial) && dry_run.len() == before {
            dry_run.push(DryRun::NoAllowWouldMatch);
        }
        return Verdict::Allow { by: None };
    }
    match groups().find_map(|group| group.allows(subject)) {
        Some(rule) => Verdict::Allow { by: Some(rule) },
        None => Verdict::Deny(DenyReason::NoAllowMatched),
    }
}
