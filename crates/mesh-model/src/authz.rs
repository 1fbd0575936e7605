//! May this connection pass? L4 authorization, as Istio defines it (istio.io, "Authorization Policy", "Implicit
//! enablement"; the field rules are those of `istio.security.Authorization`).
//!
//! # Layout
//! - this file: what is asked ([`Connection`], [`PolicySet`]) and what is answered ([`Decision`]).
//! - `evaluate`: the order in which policies decide.
//! - `group`: policies compiled together, to be asked at once.
//! - `rules`: compiled rules, and the index that finds the few that can match among thousands.
//! - `values`: compiled lists of values.
//!
//! The index only ever leaves out rules that cannot match; what is left is tested in full. The tests hold every answer
//! to a naive reading of the rules.

mod evaluate;
mod group;
mod rules;
pub(crate) mod values;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_types::{Identity, NamespacedName, PortSet};

pub use evaluate::evaluate;
pub use group::PolicyGroup;

/// A connection, as its destination sees it.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// Who the peer proved to be; `None` for plaintext.
    pub source: Option<&'a Identity>,
    /// Where it comes from.
    pub source_ip: IpAddr,
    /// The workload's address.
    pub destination_ip: IpAddr,
    /// The workload's port, not the service's.
    pub destination_port: u16,
}

/// The policies that apply to one workload.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// The policies, in groups of those that always apply together.
    pub groups: Vec<Arc<PolicyGroup>>,
    /// Policies that the workload lists and that have not arrived. Nobody knows whom they would refuse, so that every
    /// connection is.
    pub unknown: Vec<NamespacedName>,
}

/// The answer, and what policies on trial would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// What policies on trial would have done; for the log only.
    pub dry_run: Vec<DryRun>,
}

/// May the connection pass?
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It may.
    Allow {
        /// The rule that lets it; `None` where no ALLOW policy applies to the workload.
        by: Option<RuleRef>,
    },
    /// It may not.
    Deny(DenyReason),
}

/// Why a connection may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenyReason {
    /// A rule of a DENY policy matches it.
    Policy(RuleRef),
    /// There are ALLOW policies, and none of their rules matches it.
    NoAllowMatched,
    /// The workload lists this policy, which has not arrived (yet).
    UnknownPolicy(NamespacedName),
}

/// What policies on trial would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// This rule of a DENY policy would have refused the connection.
    WouldDeny(RuleRef),
    /// This rule of an ALLOW policy would have let it pass.
    WouldAllow(RuleRef),
    /// Only ALLOW policies on trial apply, and none would have let it pass.
    NoAllowWouldMatch,
}

/// A rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// The policy.
    pub policy: NamespacedName,
    /// The rule's place in it, from 0.
    pub rule: usize,
}

// === impl PolicySet, Decision, Verdict, DenyReason ===

impl PolicySet {
    /// The ports at which whoever proves no identity is refused, from wherever. At others, some are perhaps.
    #[must_use]
    pub fn refuses_plaintext_at(&self) -> PortSet {
        if !self.unknown.is_empty() {
            return PortSet::all();
        }
        let refused = self
            .groups
            .iter()
            .map(|group| group.plaintext_denied_at().clone());
        refused.fold(PortSet::none(), PortSet::union)
    }
}

impl Decision {
    /// Whether the connection may pass.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self.verdict, Verdict::Allow { .. })
    }
}

impl Verdict {
    /// The policy that decided, where a single one did.
    #[must_use]
    pub fn policy(&self) -> Option<&NamespacedName> {
        match self {
            Self::Allow { by } => by.as_ref().map(|rule| &rule.policy),
            Self::Deny(reason) => reason.policy(),
        }
    }
}

impl DenyReason {
    /// The policy that is to blame, where a single one is.
    #[must_use]
    pub fn policy(&self) -> Option<&NamespacedName> {
        match self {
            Self::Policy(rule) => Some(&rule.policy),
            Self::UnknownPolicy(policy) => Some(policy),
            Self::NoAllowMatched => None,
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(rule) => write!(f, "denied by policy {rule}"),
            Self::NoAllowMatched => f.write_str("no ALLOW policy matches"),
            Self::UnknownPolicy(policy) => write!(f, "policy {policy} applies and has not arrived"),
        }
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldDeny(rule) => write!(f, "dry run: would be denied by policy {rule}"),
            Self::WouldAllow(rule) => write!(f, "dry run: would be allowed by policy {rule}"),
            Self::NoAllowWouldMatch => f.write_str("dry run: no ALLOW policy would match"),
        }
    }
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rule {}", self.policy, self.rule)
    }
}

#[cfg(test)]
mod tests;
