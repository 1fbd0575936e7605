//! Which rules can match by their path?

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_types::Strng;

use super::bucket::Bucket;
use super::by_name::{ByName, Part};
use super::entry::Entry;
use super::matches::segments;
use crate::l7::request::Request;
use crate::l7::route::PathMatch;

/// Rules by what they ask of the path. Its clones share what it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    literal: Literal,
    /// In lower case; absent while there are none.
    ignoring_case: Option<Arc<Literal>>,
    /// Those that ask for no path, or for a regular expression that may begin with anything.
    others: Bucket,
}

#[derive(Clone, Debug, Default)]
struct Literal {
    exact: ByName<Bucket>,
    /// Rules that ask for whole segments.
    segments: Prefixes,
    /// Rules that ask for texts that begin so, or for regular expressions that do.
    raw: Prefixes,
}

/// Rules by the beginning that they ask for.
#[derive(Clone, Debug, Default)]
struct Prefixes {
    by_text: ByName<Bucket>,
    /// Of how many texts each length is: only beginnings of such lengths are looked up.
    lengths: Arc<BTreeMap<usize, usize>>,
}

impl Paths {
    /// The strongest rule of which `matches` is true.
    pub(super) fn first(&self, request: &Request<'_>, matches: &impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let mut best = None;
        let mut ask = |bucket| best = Bucket::first(bucket, best, request, matches);
        self.literal.buckets(request.path, &mut ask);
        if let Some(literal) = &self.ignoring_case {
            literal.buckets(&lower(request.path), &mut ask);
        }
        ask(&self.others);
        best
    }

    /// Puts a rule in its place.
    pub(super) fn insert(&mut self, entry: &Entry) {
        self.change(entry, |bucket| bucket.insert(entry));
    }

    /// Takes a rule out.
    pub(super) fn remove(&mut self, entry: &Entry) {
        self.change(entry, |bucket| bucket.remove(entry));
    }

    /// Changes the bucket that a rule belongs into.
    fn change(&mut self, entry: &Entry, change: impl FnOnce(&mut Bucket)) {
        match entry.matched().and_then(|m| m.path.as_ref()) {
            Some(PathMatch::Exact(path)) => self.literal.exact.change(path.clone(), change),
            Some(PathMatch::Segments(prefix)) => {
                let text = match segments(prefix) {
                    shorter if shorter.len() < prefix.len() => shorter.into(),
                    _ => prefix.clone(),
                };
                self.literal.segments.change(text, change);
            }
            Some(PathMatch::Prefix(prefix)) => self.literal.raw.change(prefix.clone(), change),
            Some(PathMatch::Regex(pattern)) => match pattern.literal_prefix() {
                prefix if prefix.is_empty() => change(&mut self.others),
                prefix => self.literal.raw.change(prefix.into(), change),
            },
            Some(PathMatch::ExactIgnoringCase(path)) => {
                self.change_ignoring_case(|literal| literal.exact.change((&*lower(path)).into(), change));
            }
            Some(PathMatch::PrefixIgnoringCase(prefix)) => {
                self.change_ignoring_case(|literal| literal.raw.change((&*lower(prefix)).into(), change));
            }
            None => change(&mut self.others),
        }
    }

    fn change_ignoring_case(&mut self, change: impl FnOnce(&mut Literal)) {
        let literal = Arc::make_mut(self.ignoring_case.get_or_insert_default());
        change(literal);
        if literal.is_empty() {
            self.ignoring_case = None;
        }
    }
}

impl Part for Paths {
    fn is_empty(&self) -> bool {
        self.literal.is_empty() && self.ignoring_case.is_none() && self.others.is_empty()
    }
}

impl Literal {
    fn buckets<'t>(&'t self, path: &str, ask: &mut impl FnMut(&'t Bucket)) {
        self.exact.get(path).into_iter().for_each(&mut *ask);
        self.segments.buckets(path, segments_end, ask);
        self.raw.buckets(path, |_, _| true, ask);
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.segments.by_text.is_empty() && self.raw.by_text.is_empty()
    }
}

impl Prefixes {
    /// The buckets of all beginnings of a path, the longest first, of which `may_end` is true.
    fn buckets<'t>(
        &'t self,
        path: &str,
        may_end: impl Fn(&str, usize) -> bool,
        ask: &mut impl FnMut(&'t Bucket),
    ) {
        for length in self.lengths.range(..=path.len()).rev().map(|(length, _)| *length) {
            if let Some(beginning) = path.get(..length)
                && may_end(path, length)
                && let Some(bucket) = self.by_text.get(beginning)
            {
                ask(bucket);
            }
        }
    }

    fn change(&mut self, text: Strng, change: impl FnOnce(&mut Bucket)) {
        let length = text.len();
        let (mut before, mut after) = (false, false);
        self.by_text.change(text, |bucket| {
            before = !bucket.is_empty();
            change(bucket);
            after = !bucket.is_empty();
        });
        match (before, after) {
            (false, true) => *Arc::make_mut(&mut self.lengths).entry(length).or_default() += 1,
            (true, false) => {
                let lengths = Arc::make_mut(&mut self.lengths);
                let last = lengths.get_mut(&length).is_none_or(|texts| {
                    *texts -= 1;
                    *texts == 0
                });
                if last {
                    lengths.remove(&length);
                }
            }
            _ => {}
        }
    }
}

/// Whether a segment ends there.
fn segments_end(path: &str, at: usize) -> bool {
    path.as_bytes().get(at).is_none_or(|byte| *byte == b'/')
}

fn lower(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => text.to_ascii_lowercase().into(),
        false => text.into(),
    }
}
