//! Which rules can match at all?
//!
//! Every rule that can be is filed under values of which a subject must have one for the rule to match: those of one of
//! its clauses, for every alternative of that clause the values of one test. Of several such clauses and tests it is
//! the ones whose values the fewest other rules ask for. A subject then only meets the rules filed under its own
//! values, and the few that could not be filed.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use mesh_types::Strng;

use super::IpAttribute;
use super::paths::Beginning;
use super::rules::{Clause, CompiledRule, Test};
use super::subject::{Known, Subject, Text};
use crate::authz::values::masked;
use crate::l7::prefixes::PrefixMap;

/// Rules by the values that they need. A rule is known by its place in the list; all lists are in order.
#[derive(Debug, Default)]
pub(super) struct Index {
    texts: Vec<(Text, HashMap<Strng, Vec<u32>>)>,
    paths: HashMap<Strng, Vec<u32>>,
    prefixes: PrefixMap<Vec<u32>>,
    ranges: Vec<(IpAttribute, u8, HashMap<IpAddr, Vec<u32>>)>,
    ports: HashMap<u16, Vec<u32>>,
    /// Those that could not be filed.
    others: Vec<u32>,
}

/// A value that a rule needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Text(Text, Strng),
    Path(Beginning),
    Range(IpAttribute, u8, IpAddr),
    Port(u16),
}

impl Index {
    pub(super) fn of(rules: &[CompiledRule], known: Known) -> Self {
        let choices: Vec<Vec<Vec<Key>>> = rules.iter().map(|rule| choices(rule, known)).collect();
        let mut asked = HashMap::<&Key, usize>::new();
        for key in choices.iter().flatten().flatten() {
            *asked.entry(key).or_default() += 1;
        }
        let crowd = |keys: &Vec<Key>| keys.iter().map(|key| asked[key]).max().unwrap_or_default();
        let (mut index, mut prefixes) = (Self::default(), BTreeMap::new());
        for (place, choices) in (0..).zip(&choices) {
            match choices.iter().min_by_key(|keys| crowd(keys)) {
                Some(keys) => keys.iter().for_each(|key| index.file(key, place, &mut prefixes)),
                None => index.others.push(place),
            }
        }
        index.prefixes = prefixes.into();
        index
    }

    /// Shows the lists of rules that can match; a rule may be in several.
    pub(super) fn lists(&self, subject: &Subject<'_>, show: impl FnMut(&[u32])) {
        let show = RefCell::new(show);
        let show = |list: Option<&Vec<u32>>| list.into_iter().for_each(|list| show.borrow_mut()(list));
        show(Some(&self.others));
        show(self.ports.get(&subject.port()));
        for (text, values) in &self.texts {
            subject.any_text(text, true, |value| {
                show(values.get(value));
                false
            });
        }
        if let Some(path) = subject.path() {
            show(self.paths.get(path));
            self.prefixes.of(path).for_each(|(_, list)| show(Some(list)));
        }
        for (ip, length, values) in &self.ranges {
            show(masked(subject.ip(*ip), *length).and_then(|masked| values.get(&masked)));
        }
    }

    fn file(&mut self, key: &Key, place: u32, prefixes: &mut BTreeMap<Strng, Vec<u32>>) {
        let list = match key {
            Key::Text(text, value) => {
                let same = self.texts.iter().position(|(other, _)| other == text);
                let at = same.unwrap_or_else(|| {
                    self.texts.push((text.clone(), HashMap::new()));
                    self.texts.len() - 1
                });
                self.texts[at].1.entry(value.clone()).or_default()
            }
            Key::Path(Beginning::Exact(path)) => self.paths.entry(path.clone()).or_default(),
            Key::Path(Beginning::Prefix(prefix)) => prefixes.entry(prefix.clone()).or_default(),
            Key::Range(ip, length, prefix) => {
                let same = self.ranges.iter().position(|(i, l, _)| (i, l) == (ip, length));
                let at = same.unwrap_or_else(|| {
                    self.ranges.push((*ip, *length, HashMap::new()));
                    self.ranges.len() - 1
                });
                self.ranges[at].2.entry(*prefix).or_default()
            }
            Key::Port(port) => self.ports.entry(*port).or_default(),
        };
        if list.last() != Some(&place) {
            list.push(place);
        }
    }
}

/// All sets of values of each of which a subject must have one.
fn choices(rule: &CompiledRule, known: Known) -> Vec<Vec<Key>> {
    rule.clauses
        .iter()
        .flat_map(|clause| clause_choices(clause, known))
        .collect()
}

/// Of a clause with one alternative each of its tests is a choice; of several alternatives one test each makes one.
fn clause_choices(clause: &Clause, known: Known) -> Vec<Vec<Key>> {
    let of =
        |tests: &Vec<Test>| -> Vec<Vec<Key>> { tests.iter().filter_map(|test| keys(test, known)).collect() };
    match clause.as_slice() {
        [one] => of(one),
        several => {
            let fewest = several
                .iter()
                .map(|tests| of(tests).into_iter().min_by_key(Vec::len));
            let all: Option<Vec<Vec<Key>>> = fewest.collect();
            all.map(|all| all.concat()).into_iter().collect()
        }
    }
}

/// The values of which one must be there; `None` for a test that has no list of values, or that is left out where what
/// it asks for is not known.
fn keys(test: &Test, known: Known) -> Option<Vec<Key>> {
    if !test.is_known(known) {
        return None;
    }
    Some(match test {
        Test::Text(text, sides) => {
            let exact = sides.any.as_ref()?.all_exact()?.iter();
            exact
                .map(|value| Key::Text(text.clone(), value.clone()))
                .collect()
        }
        Test::Path(sides) => sides
            .any
            .as_ref()?
            .beginnings()?
            .into_iter()
            .map(Key::Path)
            .collect(),
        Test::Ip(ip, sides) => {
            let ranges = sides.any.as_ref()?.iter();
            ranges
                .map(|(length, prefix)| Key::Range(*ip, length, prefix))
                .collect()
        }
        Test::Port(sides) => sides.any.as_ref()?.iter().map(Key::Port).collect(),
    })
}
