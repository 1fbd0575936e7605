//! May this request or connection pass?

use super::rules::Group;
use super::subject::Subject;
use super::{Action, Authorization, ExternalAuth};
use crate::l7::ObjectRef;
use crate::l7::request::{Claims, Client, Local, Request};

/// Policies that apply together, compiled.
#[derive(Debug, Default)]
pub struct Authorizer {
    policies: Vec<Named>,
    external: Group,
    deny: Group,
    audit: Group,
    allow: Group,
    external_on_trial: Group,
    deny_on_trial: Group,
    allow_on_trial: Group,
    has_allow: bool,
    has_allow_on_trial: bool,
}

/// A rule that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'t> {
    /// The policy.
    pub policy: &'t ObjectRef,
    /// The place of the rule in it.
    pub rule: usize,
}

/// Somebody else who is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'t> {
    /// What asks for it.
    pub hit: Hit<'t>,
    /// Who is asked; a provider that is not known lets nobody pass.
    pub provider: Result<&'t ExternalAuth, &'t str>,
}

/// The answer, and what is to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision<'t> {
    /// The answer.
    pub verdict: Verdict<'t>,
    /// AUDIT rules that matched, for the log.
    pub audited: Vec<Hit<'t>>,
    /// What policies on trial would have done, for the log.
    pub dry_run: Vec<DryRun<'t>>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'t> {
    /// It may pass.
    Allow {
        /// What lets it; absent where nothing needs to.
        by: Option<Hit<'t>>,
    },
    /// It may not.
    Deny(DenyReason<'t>),
}

/// Why something may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyReason<'t> {
    /// A DENY rule matched.
    Policy(Hit<'t>),
    /// There are ALLOW policies, and none of them matched.
    NoAllowMatched,
}

/// What a policy on trial would have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DryRun<'t> {
    /// Refused it.
    WouldDeny(Hit<'t>),
    /// Let it pass.
    WouldAllow(Hit<'t>),
    /// Asked somebody else.
    WouldAsk(Hit<'t>),
    /// Refused it, as no ALLOW policy on trial matched.
    NoAllowWouldMatch,
}

#[derive(Debug)]
struct Named {
    object: ObjectRef,
    action: Action,
}

impl Authorizer {
    /// Compiles. Where several rules match, the answer names the first of the first policy.
    #[must_use]
    pub fn compile<'p>(policies: impl IntoIterator<Item = (&'p ObjectRef, &'p Authorization)>) -> Self {
        let mut authorizer = Self::default();
        for (object, policy) in policies {
            authorizer.add(object, policy);
        }
        authorizer
    }

    /// Who is to be asked about a request, before its token is looked at and before [`Self::request`]. Everybody who is
    /// asked must agree. Conditions on tokens are left out, as nobody knows them yet.
    #[must_use]
    pub fn ask(&self, request: &Request<'_>, client: &Client<'_>, local: Local) -> Vec<Ask<'_>> {
        self.asks(&Subject::new(client, local, Some(request), None))
    }

    /// Who is to be asked about a connection.
    #[must_use]
    pub fn ask_connection(&self, client: &Client<'_>, local: Local) -> Vec<Ask<'_>> {
        self.asks(&Subject::new(client, local, None, None))
    }

    /// May this request pass, once everybody agrees who was to be asked?
    ///
    /// A matching DENY rule refuses it; without ALLOW policies it passes; a matching ALLOW rule lets it pass; otherwise
    /// it is refused. Policies on trial are asked on the way and never decide.
    pub fn request(
        &self,
        request: &Request<'_>,
        client: &Client<'_>,
        claims: &Claims,
        local: Local,
    ) -> Decision<'_> {
        self.decide(&Subject::new(client, local, Some(request), Some(claims)))
    }

    /// May this connection pass, of whose bytes nothing is understood?
    pub fn connection(&self, client: &Client<'_>, local: Local) -> Decision<'_> {
        self.decide(&Subject::new(client, local, None, None))
    }

    /// Whether there is nothing to decide: everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    fn add(&mut self, object: &ObjectRef, policy: &Authorization) {
        let group = match (&policy.action, policy.dry_run) {
            (Action::Allow, false) => &mut self.allow,
            (Action::Allow, true) => &mut self.allow_on_trial,
            (Action::Deny, false) => &mut self.deny,
            (Action::Deny, true) => &mut self.deny_on_trial,
            // On trial or not, it is only noted.
            (Action::Audit, _) => &mut self.audit,
            (Action::External(_) | Action::ExternalUnknown(_), false) => &mut self.external,
            (Action::External(_) | Action::ExternalUnknown(_), true) => &mut self.external_on_trial,
        };
        group.add(self.policies.len(), &policy.action, &policy.rules);
        if policy.action == Action::Allow {
            self.has_allow |= !policy.dry_run;
            self.has_allow_on_trial |= policy.dry_run;
        }
        self.policies.push(Named {
            object: object.clone(),
            action: policy.action.clone(),
        });
    }

    fn asks(&self, subject: &Subject<'_>) -> Vec<Ask<'_>> {
        let mut asks: Vec<Ask<'_>> = Vec::new();
        for (policy, rule) in self.external.all(subject) {
            let provider = match &self.policies[policy].action {
                Action::External(provider) => Ok(&**provider),
                Action::ExternalUnknown(name) => Err(name.as_str()),
                Action::Allow | Action::Deny | Action::Audit => continue,
            };
            if asks.iter().all(|ask| ask.provider != provider) {
                let hit = self.hit((policy, rule));
                asks.push(Ask { hit, provider });
            }
        }
        asks
    }

    fn decide(&self, subject: &Subject<'_>) -> Decision<'_> {
        let hits = |group: &Group| group.all(subject).into_iter().map(|hit| self.hit(hit));
        let mut dry_run: Vec<_> = hits(&self.external_on_trial).map(DryRun::WouldAsk).collect();
        dry_run.extend(hits(&self.deny_on_trial).map(DryRun::WouldDeny));
        let before = dry_run.len();
        dry_run.extend(hits(&self.allow_on_trial).map(DryRun::WouldAllow));
        if self.has_allow_on_trial && dry_run.len() == before {
            dry_run.push(DryRun::NoAllowWouldMatch);
        }
        Decision {
            verdict: self.verdict(subject),
            audited: hits(&self.audit).collect(),
            dry_run,
        }
    }

    fn verdict(&self, subject: &Subject<'_>) -> Verdict<'_> {
        if let Some(hit) = self.deny.first(subject) {
            return Verdict::Deny(DenyReason::Policy(self.hit(hit)));
        }
        if !self.has_allow {
            return Verdict::Allow { by: None };
        }
        match self.allow.first(subject) {
            Some(hit) => Verdict::Allow {
                by: Some(self.hit(hit)),
            },
            None => Verdict::Deny(DenyReason::NoAllowMatched),
        }
    }

    fn hit(&self, (policy, rule): (usize, usize)) -> Hit<'_> {
        Hit {
            policy: &self.policies[policy].object,
            rule,
        }
    }
}

impl Decision<'_> {
    /// Whether it may pass.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allow { .. })
    }
}
