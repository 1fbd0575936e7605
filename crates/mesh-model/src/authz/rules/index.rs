//! Which rules can match at all?
//!
//! Every rule that can be is filed under values of which a connection must have one for the rule to match: those of one
//! of its clauses, for every alternative of that clause the values of one test. A connection then only meets the rules
//! filed under its own values, and the few that could not be filed.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use mesh_types::Strng;

use super::{CompiledClause, CompiledMatch, CompiledRule, Sides, Subject, Test};
use crate::authz::values::{Strings, masked};

/// Rules by the values that they need; a rule is known by its place in the list.
#[derive(Debug, Default)]
pub(super) struct Index {
    principals: HashMap<Strng, Vec<usize>>,
    accounts: HashMap<(Strng, Strng), Vec<usize>>,
    sources: RangeIndex,
    namespaces: HashMap<Strng, Vec<usize>>,
    ports: HashMap<u16, Vec<usize>>,
    destinations: RangeIndex,
    /// Those that could not be filed.
    others: Vec<usize>,
}

/// Rules by range: for every length of prefix that occurs, the prefixes.
#[derive(Debug, Default)]
struct RangeIndex(Vec<(u8, HashMap<IpAddr, Vec<usize>>)>);

impl Index {
    pub(super) fn of(rules: &[CompiledRule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let best = rule
                .clauses
                .iter()
                .filter_map(weight)
                .min_by_key(|(weight, _)| *weight);
            match best {
                Some((_, tests)) => tests.into_iter().for_each(|test| index.file(test, at)),
                None => index.others.push(at),
            }
        }
        index
    }

    /// Shows the rules that can match, some perhaps twice, until `more` says that it has seen enough.
    pub(super) fn candidates(&self, subject: &Subject<'_>, mut more: impl FnMut(usize) -> bool) {
        let lists = [
            Some(&self.others),
            self.ports.get(&subject.destination_port),
            subject.namespace().and_then(|ns| self.namespaces.get(ns)),
            self.account(subject),
            self.principal(subject),
        ];
        let ranges = self
            .sources
            .lists(subject.source_ip)
            .chain(self.destinations.lists(subject.destination_ip));
        for list in lists.into_iter().flatten().chain(ranges) {
            if !list.iter().all(|at| more(*at)) {
                return;
            }
        }
    }

    fn account(&self, subject: &Subject<'_>) -> Option<&Vec<usize>> {
        let id = subject.identity.filter(|_| !self.accounts.is_empty())?;
        self.accounts
            .get(&(id.namespace().clone(), id.service_account().clone()))
    }

    fn principal(&self, subject: &Subject<'_>) -> Option<&Vec<usize>> {
        (!self.principals.is_empty())
            .then(|| subject.principal())
            .flatten()
            .and_then(|principal| self.principals.get(principal))
    }

    fn file(&mut self, test: &Test, at: usize) {
        match test {
            Test::Principal(sides) => file_all(&mut self.principals, exact(sides), at),
            Test::Namespace(sides) => file_all(&mut self.namespaces, exact(sides), at),
            Test::Account(sides) => {
                let accounts = sides.any_of.iter().flat_map(|set| set.iter());
                file_all(&mut self.accounts, accounts, at);
            }
            Test::Port(sides) => {
                let ports = sides.any_of.iter().flat_map(|set| set.iter());
                file_all(&mut self.ports, ports, at);
            }
            Test::Source(sides) => {
                let ranges = sides.any_of.iter().flat_map(|set| set.iter());
                ranges.for_each(|(length, prefix)| self.sources.file(length, prefix, at));
            }
            Test::Destination(sides) => {
                let ranges = sides.any_of.iter().flat_map(|set| set.iter());
                ranges.for_each(|(length, prefix)| self.destinations.file(length, prefix, at));
            }
        }
    }
}

impl RangeIndex {
    fn file(&mut self, length: u8, prefix: IpAddr, at: usize) {
        let place = match self.0.iter().position(|(l, _)| *l == length) {
            Some(place) => place,
            None => {
                self.0.push((length, HashMap::new()));
                self.0.len() - 1
            }
        };
        self.0[place].1.entry(prefix).or_default().push(at);
    }

    fn lists(&self, ip: IpAddr) -> impl Iterator<Item = &Vec<usize>> {
        self.0
            .iter()
            .filter_map(move |(length, prefixes)| prefixes.get(&masked(ip, *length)?))
    }
}

/// The best tests to file a clause under, one for each of its alternatives, and how little they tell; `None` where an
/// alternative has none.
fn weight(clause: &CompiledClause) -> Option<(u8, Vec<&Test>)> {
    let best = clause.alternatives.iter().map(best_test);
    let best: Vec<_> = best.collect::<Option<_>>()?;
    let weight = best.iter().map(|(weight, _)| *weight).max()?;
    Some((weight, best.into_iter().map(|(_, test)| test).collect()))
}

fn best_test(m: &CompiledMatch) -> Option<(u8, &Test)> {
    let tests = m.tests.iter();
    tests
        .filter_map(|test| Some((test_weight(test)?, test)))
        .min_by_key(|(weight, _)| *weight)
}

/// How little a test tells; `None` for one that cannot be filed, as it has no list of exact values to have one of.
fn test_weight(test: &Test) -> Option<u8> {
    let can_file = match test {
        Test::Principal(sides) | Test::Namespace(sides) => {
            sides.any_of.as_ref().is_some_and(Strings::all_exact)
        }
        Test::Account(sides) => sides.any_of.is_some(),
        Test::Port(sides) => sides.any_of.is_some(),
        Test::Source(sides) | Test::Destination(sides) => sides.any_of.is_some(),
    };
    can_file.then_some(match test {
        Test::Principal(_) => 0,
        Test::Account(_) => 1,
        Test::Source(_) => 2,
        Test::Namespace(_) => 3,
        Test::Port(_) => 4,
        Test::Destination(_) => 5,
    })
}

fn exact(sides: &Sides<Strings>) -> impl Iterator<Item = Strng> {
    sides.any_of.iter().flat_map(|set| set.exact().iter().cloned())
}

fn file_all<K: Hash + Eq>(index: &mut HashMap<K, Vec<usize>>, keys: impl Iterator<Item = K>, at: usize) {
    for key in keys {
        index.entry(key).or_default().push(at);
    }
}

#[cfg(test)]
mod tests;
