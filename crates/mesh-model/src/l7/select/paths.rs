//! Which rules can match by their path?

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use mesh_types::Strng;

use super::Entry;
use super::bucket::Bucket;
use super::matches::segments;
use crate::l7::prefixes::PrefixMap;
use crate::l7::request::Request;
use crate::l7::route::PathMatch;

/// Rules by what they ask of the path; each is known by its place, the lesser one being the stronger.
#[derive(Debug, Default)]
pub(super) struct Paths {
    literal: Literal,
    /// In lower case.
    ignoring_case: Option<Literal>,
    /// Those that ask for no path, or for a regular expression that may begin with anything.
    others: Bucket,
}

#[derive(Debug, Default)]
struct Literal {
    exact: HashMap<Strng, Bucket>,
    prefixes: PrefixMap<Prefixed>,
}

#[derive(Debug)]
struct Prefixed {
    /// Rules that ask for whole segments.
    segments: Bucket,
    /// Rules that ask for texts that begin so, or for regular expressions that do.
    raw: Bucket,
}

#[derive(Default)]
struct Builder<'e> {
    exact: HashMap<Cow<'e, str>, Vec<u32>>,
    prefixes: BTreeMap<Cow<'e, str>, (Vec<u32>, Vec<u32>)>,
}

impl Paths {
    pub(super) fn of(entries: &[Entry], places: Vec<u32>) -> Self {
        let (mut literal, mut ignoring_case) = (Builder::default(), Builder::default());
        let mut others = Vec::new();
        for place in places {
            let matched = entries[place as usize].matched();
            let list = match matched.and_then(|m| m.path.as_ref()) {
                Some(PathMatch::Exact(path)) => literal.exact.entry(path.as_str().into()).or_default(),
                Some(PathMatch::Segments(prefix)) => &mut literal.prefix(segments(prefix).into()).0,
                Some(PathMatch::Prefix(prefix)) => &mut literal.prefix(prefix.as_str().into()).1,
                Some(PathMatch::ExactIgnoringCase(path)) => {
                    ignoring_case.exact.entry(lower(path)).or_default()
                }
                Some(PathMatch::PrefixIgnoringCase(prefix)) => &mut ignoring_case.prefix(lower(prefix)).1,
                Some(PathMatch::Regex(pattern)) => match pattern.literal_prefix() {
                    prefix if prefix.is_empty() => &mut others,
                    prefix => &mut literal.prefix(prefix.into()).1,
                },
                None => &mut others,
            };
            list.push(place);
        }
        Self {
            literal: literal.build(entries),
            ignoring_case: ignoring_case.any().then(|| ignoring_case.build(entries)),
            others: Bucket::of(entries, others),
        }
    }

    /// The strongest rule of which `matches` is true.
    pub(super) fn first(&self, request: &Request<'_>, matches: &impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = None;
        let mut ask = |bucket: &Bucket| best = bucket.first(best, request, matches);
        self.literal.buckets(request.path, &mut ask);
        if let Some(literal) = &self.ignoring_case {
            literal.buckets(&lower(request.path), &mut ask);
        }
        ask(&self.others);
        best
    }
}

impl<'e> Builder<'e> {
    fn prefix(&mut self, prefix: Cow<'e, str>) -> &mut (Vec<u32>, Vec<u32>) {
        self.prefixes.entry(prefix).or_default()
    }

    fn any(&self) -> bool {
        !self.exact.is_empty() || !self.prefixes.is_empty()
    }

    fn build(self, entries: &[Entry]) -> Literal {
        let bucket = |places| Bucket::of(entries, places);
        let prefixed = |(segments, raw)| Prefixed {
            segments: bucket(segments),
            raw: bucket(raw),
        };
        let prefixes = self.prefixes.into_iter();
        let prefixes: BTreeMap<_, _> = prefixes.map(|(text, lists)| (text, prefixed(lists))).collect();
        let exact = self
            .exact
            .into_iter()
            .map(|(path, places)| (Strng::from(&*path), bucket(places)));
        Literal {
            exact: exact.collect(),
            prefixes: prefixes.into(),
        }
    }
}

impl Literal {
    fn buckets<'t>(&'t self, path: &str, ask: &mut impl FnMut(&'t Bucket)) {
        self.exact.get(path).into_iter().for_each(&mut *ask);
        for (prefix, rules) in self.prefixes.of(path) {
            let rest = &path.as_bytes()[prefix.len()..];
            if rest.first().is_none_or(|byte| *byte == b'/') {
                ask(&rules.segments);
            }
            ask(&rules.raw);
        }
    }
}

fn lower(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => text.to_ascii_lowercase().into(),
        false => text.into(),
    }
}
