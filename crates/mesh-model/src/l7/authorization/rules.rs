//! Compiled rules.

use std::sync::OnceLock;

use super::index::Index;
use super::paths::Paths;
use super::subject::{Subject, Text};
use super::values::Texts;
use super::{Action, Condition, IpAttribute, Operation, Rule, Source, TextAttribute, Values};
use crate::authz::values::{Ports, Ranges};

/// All rules of one action.
#[derive(Debug, Default)]
pub(super) struct Group {
    rules: Vec<CompiledRule>,
    /// For requests, for requests whose token is not known yet, and for connections. Made when they are needed, since
    /// few proxies meet more than one.
    indices: [OnceLock<Index>; 3],
}

#[derive(Debug)]
pub(super) struct CompiledRule {
    policy: usize,
    rule: usize,
    /// All must match.
    pub(super) clauses: Vec<Clause>,
    effect: Effect,
}

/// One of these must match, and of it everything.
pub(super) type Clause = Vec<Vec<Test>>;

/// What happens where it cannot be said whether a test holds: whom it would let pass it does not match, whom it would
/// keep out it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    LetsPass,
    KeepsOut,
}

#[derive(Debug)]
pub(super) enum Test {
    Text(Text, Sides<Texts>),
    Path(Sides<Paths>),
    Ip(IpAttribute, Sides<Ranges>),
    Port(Sides<Ports>),
}

/// What may, and what may not be.
#[derive(Debug)]
pub(super) struct Sides<T> {
    pub(super) any: Option<T>,
    none: Option<T>,
}

impl Group {
    pub(super) fn add(&mut self, policy: usize, action: &Action, rules: &[Rule]) {
        let effect = match action {
            Action::Allow => Effect::LetsPass,
            Action::Deny | Action::Audit | Action::External(_) | Action::ExternalUnknown(_) => {
                Effect::KeepsOut
            }
        };
        let rules = rules.iter().enumerate();
        self.rules.extend(rules.filter_map(|(place, rule)| {
            let clauses = clauses(rule, effect)?;
            Some(CompiledRule {
                policy,
                rule: place,
                clauses,
                effect,
            })
        }));
        self.indices = Default::default();
    }

    /// The first rule that matches: policy, rule.
    pub(super) fn first(&self, subject: &Subject<'_>) -> Option<(usize, usize)> {
        let mut best: Option<u32> = None;
        self.index(subject).lists(subject, |list| {
            let stronger = list.iter().take_while(|place| best.is_none_or(|b| **place < b));
            let mut stronger = stronger.copied();
            best = stronger.find(|place| self.rule(*place).matches(subject)).or(best);
        });
        best.map(|place| self.rule(place).place())
    }

    /// All rules that match, in order.
    pub(super) fn all(&self, subject: &Subject<'_>) -> Vec<(usize, usize)> {
        if self.rules.is_empty() {
            return Vec::new();
        }
        let mut places = Vec::new();
        self.index(subject).lists(subject, |list| {
            places.extend(
                list.iter()
                    .copied()
                    .filter(|place| self.rule(*place).matches(subject)),
            );
        });
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|place| self.rule(place).place()).collect()
    }

    fn index(&self, subject: &Subject<'_>) -> &Index {
        self.indices[subject.known() as usize].get_or_init(|| Index::of(&self.rules, subject.known()))
    }

    fn rule(&self, place: u32) -> &CompiledRule {
        &self.rules[place as usize]
    }
}

impl CompiledRule {
    fn place(&self) -> (usize, usize) {
        (self.policy, self.rule)
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let holds = |test: &Test| test.holds(subject, self.effect);
        let alternative = |tests: &Vec<Test>| tests.iter().all(holds);
        self.clauses.iter().all(|clause| clause.iter().any(alternative))
    }
}

impl Test {
    /// Whether a subject of which these things are known has what is tested.
    pub(super) fn is_known(&self, known: super::subject::Known) -> bool {
        match self {
            Self::Text(text, _) => text.is_known(known),
            Self::Path(_) => known.is_request(),
            Self::Ip(..) | Self::Port(_) => true,
        }
    }

    fn holds(&self, subject: &Subject<'_>, effect: Effect) -> bool {
        if !self.is_known(subject.known()) {
            return effect == Effect::KeepsOut;
        }
        match self {
            // Several values of a header count one by one only where that keeps a request out.
            Self::Text(text, sides) => {
                let keeps_out = effect == Effect::KeepsOut;
                sides
                    .any
                    .as_ref()
                    .is_none_or(|set| subject.any_text(text, keeps_out, |t| set.contain(t)))
                    && !sides
                        .none
                        .as_ref()
                        .is_some_and(|set| subject.any_text(text, !keeps_out, |t| set.contain(t)))
            }
            Self::Path(sides) => sides.hold(|set| subject.path().is_some_and(|path| set.contain(path))),
            Self::Ip(ip, sides) => sides.hold(|set| set.contain(subject.ip(*ip))),
            Self::Port(sides) => sides.hold(|set| set.contain(subject.port())),
        }
    }
}

impl<T> Sides<T> {
    fn hold(&self, contains: impl Fn(&T) -> bool) -> bool {
        self.any.as_ref().is_none_or(&contains) && !self.none.as_ref().is_some_and(&contains)
    }
}

/// `None` for a rule that never matches.
fn clauses(rule: &Rule, effect: Effect) -> Option<Vec<Clause>> {
    let mut clauses = Vec::with_capacity(2 + rule.when.len());
    clauses.extend(clause(&rule.from, effect, source)?);
    clauses.extend(clause(&rule.to, effect, operation)?);
    for condition in &rule.when {
        let tests = condition_tests(condition, effect)?;
        if !tests.is_empty() {
            clauses.push(vec![tests]);
        }
    }
    Some(clauses)
}

/// `None` where no alternative ever matches; no clause where there is none, or where one always does.
fn clause<T>(
    alternatives: &[T],
    effect: Effect,
    tests: impl Fn(&T, Effect) -> Option<Vec<Test>>,
) -> Option<Option<Clause>> {
    let compiled: Clause = alternatives.iter().filter_map(|a| tests(a, effect)).collect();
    match () {
        () if alternatives.is_empty() || compiled.iter().any(Vec::is_empty) => Some(None),
        () if compiled.is_empty() => None,
        () => Some(Some(compiled)),
    }
}

fn source(source: &Source, effect: Effect) -> Option<Vec<Test>> {
    use TextAttribute::{
        RequestPrincipal, SourceNamespace, SourcePrincipal, SourceServiceAccount, SourceTrustDomain,
    };
    let text = |attribute, values| text(Text::Attribute(attribute), values);
    let ip = |attribute, values| test(values, Ranges::compile, |sides| Test::Ip(attribute, sides));
    gather(
        effect,
        [
            text(SourcePrincipal, &source.principals),
            text(RequestPrincipal, &source.request_principals),
            text(SourceNamespace, &source.namespaces),
            text(SourceServiceAccount, &source.service_accounts),
            text(SourceTrustDomain, &source.trust_domains),
            ip(IpAttribute::Source, &source.ips),
            ip(IpAttribute::Remote, &source.remote_ips),
        ],
    )
}

fn operation(operation: &Operation, effect: Effect) -> Option<Vec<Test>> {
    gather(
        effect,
        [
            text(Text::Host, &operation.hosts),
            test(&operation.ports, Ports::compile, Test::Port),
            text(Text::Method, &operation.methods),
            test(&operation.paths, Paths::compile, Test::Path),
        ],
    )
}

fn condition_tests(condition: &Condition, effect: Effect) -> Option<Vec<Test>> {
    let test = match condition {
        Condition::Text(attribute, values) => text(Text::Attribute(attribute.clone()), values),
        Condition::Ip(ip, values) => test(values, Ranges::compile, |sides| Test::Ip(*ip, sides)),
        Condition::DestinationPort(values) => test(values, Ports::compile, Test::Port),
        Condition::Unknown(_) => Compiled::Broken,
    };
    gather(effect, [test])
}

enum Compiled {
    /// Anything will do.
    Any,
    /// Nobody knows what was meant.
    Broken,
    Test(Test),
}

/// The tests that are left; `None` where one can never hold.
fn gather<const N: usize>(effect: Effect, tests: [Compiled; N]) -> Option<Vec<Test>> {
    let mut gathered = Vec::new();
    for test in tests {
        match test {
            Compiled::Any => {}
            Compiled::Broken if effect == Effect::LetsPass => return None,
            Compiled::Broken => {}
            Compiled::Test(test) => gathered.push(test),
        }
    }
    Some(gathered)
}

fn text(text: Text, values: &Values<crate::l7::TextMatch>) -> Compiled {
    let ignoring_case = text.ignores_case();
    let compile = |values: &[_]| Texts::compile(values, ignoring_case);
    test(values, compile, |sides| Test::Text(text, sides))
}

fn test<V, T>(
    values: &Values<V>,
    compile: impl Fn(&[V]) -> T,
    build: impl FnOnce(Sides<T>) -> Test,
) -> Compiled {
    if values.is_any() {
        return Compiled::Any;
    }
    if values.broken {
        return Compiled::Broken;
    }
    let side = |values: &Vec<V>| (!values.is_empty()).then(|| compile(values));
    Compiled::Test(build(Sides {
        any: side(&values.any),
        none: side(&values.none),
    }))
}
