//! Compiled rules, and the index that finds the few that can match among thousands.

mod index;

use std::cell::OnceCell;
use std::net::IpAddr;

use mesh_types::{Identity, address::canonical};

use super::Connection;
use super::values::{Accounts, Ports, Ranges, Strings};
use crate::policy::{Clause, Match, Rule};
use index::Index;

/// A rule's place: the policy's within its group, the rule's within the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleId {
    pub(super) policy: usize,
    pub(super) rule: usize,
}

/// The rules of many policies.
#[derive(Debug, Default)]
pub(super) struct RuleSet {
    rules: Vec<CompiledRule>,
    index: Index,
}

/// What rules look at, taken from a connection once.
pub(super) struct Subject<'a> {
    identity: Option<&'a Identity>,
    principal: OnceCell<Option<String>>,
    source_ip: IpAddr,
    destination_ip: IpAddr,
    destination_port: u16,
}

/// All clauses must match; trivially true ones are gone.
#[derive(Debug)]
struct CompiledRule {
    id: RuleId,
    clauses: Vec<CompiledClause>,
}

/// Any alternative must match; there is at least one.
#[derive(Debug)]
struct CompiledClause {
    alternatives: Vec<CompiledMatch>,
}

/// All tests must hold; there is at least one.
#[derive(Debug)]
struct CompiledMatch {
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Principal(Sides<Strings>),
    Account(Sides<Accounts>),
    Namespace(Sides<Strings>),
    Source(Sides<Ranges>),
    Destination(Sides<Ranges>),
    Port(Sides<Ports>),
}

/// The values of which one must be had, and those of which none may be.
#[derive(Debug)]
struct Sides<S> {
    any_of: Option<S>,
    none_of: Option<S>,
}

// === impl RuleSet ===

impl RuleSet {
    pub(super) fn compile<'r>(rules: impl Iterator<Item = (RuleId, &'r Rule)>) -> Self {
        let rules: Vec<_> = rules
            .filter_map(|(id, rule)| CompiledRule::compile(id, rule))
            .collect();
        Self {
            index: Index::of(&rules),
            rules,
        }
    }

    /// Some rule that matches.
    pub(super) fn any_match(&self, subject: &Subject<'_>) -> Option<RuleId> {
        if self.rules.is_empty() {
            return None;
        }
        let mut found = None;
        self.index.candidates(subject, |at| {
            found = self.matching(at, subject);
            found.is_none()
        });
        found
    }

    /// Every rule that matches, in no order, some perhaps twice.
    pub(super) fn all_matches(&self, subject: &Subject<'_>) -> Vec<RuleId> {
        let mut found = Vec::new();
        if self.rules.is_empty() {
            return found;
        }
        self.index.candidates(subject, |at| {
            found.extend(self.matching(at, subject));
            true
        });
        found
    }

    fn matching(&self, at: usize, subject: &Subject<'_>) -> Option<RuleId> {
        let rule = self.rules.get(at)?;
        rule.matches(subject).then_some(rule.id)
    }
}

// === impl Subject ===

impl<'a> Subject<'a> {
    pub(super) fn new(connection: &Connection<'a>) -> Self {
        Self {
            identity: connection.source,
            principal: OnceCell::new(),
            source_ip: canonical(connection.source_ip),
            destination_ip: canonical(connection.destination_ip),
            destination_port: connection.destination_port,
        }
    }

    fn namespace(&self) -> Option<&str> {
        self.identity.map(|id| id.namespace().as_str())
    }

    /// Written out once, and only where a rule asks for it.
    fn principal(&self) -> Option<&str> {
        self.principal
            .get_or_init(|| self.identity.map(Identity::principal))
            .as_deref()
    }
}

// === impl CompiledRule, CompiledClause, CompiledMatch, Test ===

impl CompiledRule {
    /// `None` for a rule that can never match.
    fn compile(id: RuleId, rule: &Rule) -> Option<Self> {
        let real = rule.clauses.iter().filter(|clause| !clause.matches.is_empty());
        let clauses = real.map(CompiledClause::compile).collect::<Option<_>>()?;
        Some(Self { id, clauses })
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.clauses.iter().all(|clause| {
            let alternatives = &clause.alternatives;
            alternatives
                .iter()
                .any(|m| m.tests.iter().all(|t| t.holds(subject)))
        })
    }
}

impl CompiledClause {
    /// `None` for a clause whose every match is without values: such a match is skipped, and nothing is left to hold.
    fn compile(clause: &Clause) -> Option<Self> {
        let real = clause.matches.iter().filter(|m| !m.is_empty());
        let alternatives: Vec<_> = real.map(CompiledMatch::compile).collect();
        (!alternatives.is_empty()).then_some(Self { alternatives })
    }
}

impl CompiledMatch {
    /// Cheap and telling tests first.
    fn compile(m: &Match) -> Self {
        let tests = [
            Sides::compile(&m.destination_ports, &m.not_destination_ports, Ports::compile).map(Test::Port),
            Sides::compile(&m.namespaces, &m.not_namespaces, Strings::compile).map(Test::Namespace),
            Sides::compile(&m.service_accounts, &m.not_service_accounts, Accounts::compile)
                .map(Test::Account),
            Sides::compile(&m.source_ips, &m.not_source_ips, Ranges::compile).map(Test::Source),
            Sides::compile(&m.destination_ips, &m.not_destination_ips, Ranges::compile)
                .map(Test::Destination),
            Sides::compile(&m.principals, &m.not_principals, Strings::compile).map(Test::Principal),
        ];
        Self {
            tests: tests.into_iter().flatten().collect(),
        }
    }
}

impl Test {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Principal(sides) => sides.hold(|set| set.contain(subject.principal())),
            Self::Account(sides) => sides.hold(|set| set.contain(subject.identity)),
            Self::Namespace(sides) => sides.hold(|set| set.contain(subject.namespace())),
            Self::Source(sides) => sides.hold(|set| set.contain(subject.source_ip)),
            Self::Destination(sides) => sides.hold(|set| set.contain(subject.destination_ip)),
            Self::Port(sides) => sides.hold(|set| set.contain(subject.destination_port)),
        }
    }
}

impl<S> Sides<S> {
    /// `None` where neither side has values.
    fn compile<V>(any_of: &[V], none_of: &[V], compile: impl Fn(&[V]) -> S) -> Option<Self> {
        let side = |values: &[V]| (!values.is_empty()).then(|| compile(values));
        (!any_of.is_empty() || !none_of.is_empty()).then(|| Self {
            any_of: side(any_of),
            none_of: side(none_of),
        })
    }

    fn hold(&self, contains: impl Fn(&S) -> bool) -> bool {
        self.any_of.as_ref().is_none_or(&contains) && !self.none_of.as_ref().is_some_and(&contains)
    }
}
