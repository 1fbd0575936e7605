//! Rules that ask for the same path, told apart by what else they ask for.

use std::borrow::Cow;
use std::sync::Arc;

use mesh_types::Strng;

use super::by_name::{ByName, Part};
use super::entry::Entry;
use crate::l7::TextMatch;
use crate::l7::request::Request;
use crate::l7::route::HttpMatch;

/// Some rules. Its clones share what it holds.
#[derive(Clone, Debug, Default)]
pub(super) enum Bucket {
    #[default]
    Empty,
    One(Entry),
    /// One after the other, the strongest first.
    List(Arc<Vec<Entry>>),
    Split(Arc<Split>),
}

/// Rules by the first of the values that they ask for and that they were not split by before.
#[derive(Clone, Debug, Default)]
pub(super) struct Split {
    by: Vec<(Key, ByName<Bucket>)>,
    /// Those that do not ask for one value, the strongest first.
    rest: Arc<Vec<Entry>>,
}

/// Something of which a rule may ask for exactly one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The host.
    Host,
    /// A header.
    Header(Strng),
    /// A query parameter.
    Query(Strng),
}

/// Up to so many rules are read one after the other.
const SHORT: usize = 8;

impl Bucket {
    /// The first one of which `matches` is true, if it is stronger than `best`, else `best`.
    pub(super) fn first<'t>(
        &'t self,
        best: Option<&'t Entry>,
        request: &Request<'_>,
        matches: &impl Fn(&Entry) -> bool,
    ) -> Option<&'t Entry> {
        match self {
            Self::Empty => best,
            Self::One(entry) => first_of(std::slice::from_ref(entry), best, matches),
            Self::List(entries) => first_of(entries, best, matches),
            Self::Split(split) => {
                let values = split.by.iter();
                let buckets = values.filter_map(|(key, by)| by.get(&key.of_request(request)?));
                let best = buckets.fold(best, |best, bucket| bucket.first(best, request, matches));
                first_of(&split.rest, best, matches)
            }
        }
    }

    /// Puts a rule in its place.
    pub(super) fn insert(&mut self, entry: &Entry) {
        self.insert_split(entry, &mut Vec::new());
    }

    /// Takes a rule out.
    pub(super) fn remove(&mut self, entry: &Entry) {
        self.remove_split(entry, &mut Vec::new());
    }

    fn insert_split(&mut self, entry: &Entry, done: &mut Vec<Key>) {
        match self {
            Self::Empty => *self = Self::One(entry.clone()),
            Self::One(one) => {
                let mut entries = vec![one.clone()];
                insert_sorted(&mut entries, entry);
                *self = Self::List(Arc::new(entries));
            }
            Self::List(entries) if entries.len() < SHORT => insert_sorted(Arc::make_mut(entries), entry),
            Self::List(entries) => {
                let mut split = Split::default();
                let all = entries.iter().chain([entry]);
                all.for_each(|entry| split.insert(entry, done));
                *self = Self::Split(Arc::new(split));
            }
            Self::Split(split) => Arc::make_mut(split).insert(entry, done),
        }
    }

    fn remove_split(&mut self, entry: &Entry, done: &mut Vec<Key>) {
        let empty = match self {
            Self::Empty => false,
            Self::One(one) => one.is_same(entry),
            Self::List(entries) => {
                let entries = Arc::make_mut(entries);
                remove_sorted(entries, entry);
                entries.is_empty()
            }
            Self::Split(split) => {
                let split = Arc::make_mut(split);
                split.remove(entry, done);
                split.by.is_empty() && split.rest.is_empty()
            }
        };
        if empty {
            *self = Self::Empty;
        }
    }
}

impl Part for Bucket {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl Split {
    fn insert(&mut self, entry: &Entry, done: &mut Vec<Key>) {
        let Some((key, value)) = first_key(entry, done) else {
            return insert_sorted(Arc::make_mut(&mut self.rest), entry);
        };
        let known = self.by.iter().position(|(by, _)| *by == key);
        let at = known.unwrap_or_else(|| {
            self.by.push((key.clone(), ByName::default()));
            self.by.len() - 1
        });
        done.push(key);
        self.by[at]
            .1
            .change(value, |bucket| bucket.insert_split(entry, done));
        done.pop();
    }

    fn remove(&mut self, entry: &Entry, done: &mut Vec<Key>) {
        let Some((key, value)) = first_key(entry, done) else {
            return remove_sorted(Arc::make_mut(&mut self.rest), entry);
        };
        let Some(at) = self.by.iter().position(|(by, _)| *by == key) else {
            return;
        };
        done.push(key);
        let by = &mut self.by[at].1;
        by.change(value, |bucket| bucket.remove_split(entry, done));
        done.pop();
        if self.by[at].1.is_empty() {
            self.by.swap_remove(at);
        }
    }
}

impl Key {
    fn of_request<'a>(&self, request: &Request<'a>) -> Option<Cow<'a, str>> {
        match self {
            Self::Host => Some(request.host().to_ascii_lowercase().into()),
            Self::Header(name) => request.header(name),
            Self::Query(name) => request.query_parameter(name),
        }
    }
}

fn first_of<'t>(
    entries: &'t [Entry],
    best: Option<&'t Entry>,
    matches: &impl Fn(&Entry) -> bool,
) -> Option<&'t Entry> {
    let stronger = entries
        .iter()
        .take_while(|entry| best.is_none_or(|best| entry.rank() < best.rank()));
    let mut stronger = stronger;
    stronger.find(|entry| matches(entry)).or(best)
}

/// Ranks of different rules differ.
fn insert_sorted(entries: &mut Vec<Entry>, entry: &Entry) {
    let rank = entry.rank();
    match entries.binary_search_by(|other| other.rank().cmp(&rank)) {
        Ok(at) => entries[at] = entry.clone(),
        Err(at) => entries.insert(at, entry.clone()),
    }
}

fn remove_sorted(entries: &mut Vec<Entry>, entry: &Entry) {
    let rank = entry.rank();
    if let Ok(at) = entries.binary_search_by(|other| other.rank().cmp(&rank)) {
        entries.remove(at);
    }
}

/// The first thing that a match asks for exactly and that is not among these.
fn first_key(entry: &Entry, done: &[Key]) -> Option<(Key, Strng)> {
    keys(entry.matched()?).find(|(key, _)| !done.contains(key))
}

/// What a match asks for exactly.
fn keys(m: &HttpMatch) -> impl Iterator<Item = (Key, Strng)> + '_ {
    let exact = |value: &TextMatch| match value {
        TextMatch::Exact(value) => Some(value.clone()),
        _ => None,
    };
    let host = m.authority.as_ref().and_then(exact);
    let host = host.map(|host| (Key::Host, host.to_ascii_lowercase().into()));
    let headers = m.headers.iter();
    let headers = headers.filter_map(move |h| Some((Key::Header(h.name.clone()), exact(&h.value)?)));
    let query = m.query.iter();
    let query = query.filter_map(move |q| Some((Key::Query(q.name.clone()), exact(&q.value)?)));
    host.into_iter().chain(headers).chain(query)
}
