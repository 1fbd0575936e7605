//! An L4 authorization policy, as it is written. What it decides is in [`crate::authz`].

mod wire;

use ipnet::IpNet;
use mesh_types::{NamespacedName, PortSet, Strng};

pub(crate) use wire::decode_range;

/// An authorization policy (`istio.security.Authorization`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Its key.
    pub name: NamespacedName,
    /// To which workloads it applies.
    pub scope: Scope,
    /// What happens to connections that it matches.
    pub action: Action,
    /// Any of them may match; without rules the policy matches nothing.
    pub rules: Vec<Rule>,
    /// It is evaluated and reported, but decides nothing.
    pub dry_run: bool,
}

/// To which workloads a policy applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// To all.
    Global,
    /// To those in the policy's namespace.
    Namespace,
    /// To those that list it.
    WorkloadSelector,
}

/// What happens to connections that a policy matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// They may pass; others may not, unless another policy lets them.
    Allow,
    /// They may not pass, whatever other policies say.
    Deny,
}

/// Every clause must match; without clauses the rule matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The clauses: what Istio calls `from`, `to` and each `when`.
    pub clauses: Vec<Clause>,
}

/// Any match must match; without any the clause does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clause {
    /// The alternatives.
    pub matches: Vec<Match>,
}

/// Every kind of field that has values must match: one of its values must, and none of its `not_` values may. Without
/// any value at all it matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The namespace of the peer's identity.
    pub namespaces: Vec<StringMatch>,
    /// What that may not be.
    pub not_namespaces: Vec<StringMatch>,
    /// The peer's identity, without `spiffe://`.
    pub principals: Vec<StringMatch>,
    /// What that may not be.
    pub not_principals: Vec<StringMatch>,
    /// The peer's service account, in any trust domain.
    pub service_accounts: Vec<ServiceAccountMatch>,
    /// What that may not be.
    pub not_service_accounts: Vec<ServiceAccountMatch>,
    /// The address that the connection comes from.
    pub source_ips: Vec<IpNet>,
    /// What that may not be.
    pub not_source_ips: Vec<IpNet>,
    /// The workload's address.
    pub destination_ips: Vec<IpNet>,
    /// What that may not be.
    pub not_destination_ips: Vec<IpNet>,
    /// The workload's port.
    pub destination_ports: Vec<u16>,
    /// What that may not be.
    pub not_destination_ports: Vec<u16>,
}

/// A text to compare with; never empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StringMatch {
    /// This text.
    Exact(Strng),
    /// Texts that begin so.
    Prefix(Strng),
    /// Texts that end so.
    Suffix(Strng),
    /// Any text, as long as there is one.
    Presence,
}

/// A service account, whatever its trust domain; neither part is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAccountMatch {
    /// The namespace.
    pub namespace: Strng,
    /// The account.
    pub service_account: Strng,
}

impl Authorization {
    /// The ports at which it refuses everybody who proves no identity, from wherever, as the mode STRICT does.
    #[must_use]
    pub fn denies_plaintext_at(&self) -> PortSet {
        if self.action != Action::Deny || self.dry_run {
            return PortSet::none();
        }
        let rules = self.rules.iter().map(Rule::matches_plaintext_at);
        rules.fold(PortSet::none(), PortSet::union)
    }
}

impl Rule {
    fn matches_plaintext_at(&self) -> PortSet {
        let clauses = self.clauses.iter().map(Clause::matches_plaintext_at);
        clauses.fold(PortSet::all(), PortSet::intersection)
    }
}

impl Clause {
    fn matches_plaintext_at(&self) -> PortSet {
        if self.matches.is_empty() {
            return PortSet::all();
        }
        let matches = self.matches.iter().map(Match::matches_plaintext_at);
        matches.fold(PortSet::none(), PortSet::union)
    }
}

impl Match {
    /// What is not said is not one of those that may not be.
    fn matches_plaintext_at(&self) -> PortSet {
        let nothing_else = Self {
            not_principals: self.not_principals.clone(),
            destination_ports: self.destination_ports.clone(),
            not_destination_ports: self.not_destination_ports.clone(),
            ..Self::default()
        };
        if self.is_empty() || *self != nothing_else {
            return PortSet::none();
        }
        let set = |ports: &[u16]| ports.iter().copied().collect();
        let at = match &*self.destination_ports {
            [] => PortSet::all(),
            ports => PortSet::Only(set(ports)),
        };
        at.intersection(PortSet::AllBut(set(&self.not_destination_ports)))
    }

    /// Whether it has no value at all, and therefore matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
}

#[cfg(test)]
mod tests;
