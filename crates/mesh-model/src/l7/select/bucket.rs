//! Rules that ask for the same path, told apart by what else most of them ask for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use mesh_types::Strng;

use super::Entry;
use crate::l7::TextMatch;
use crate::l7::request::Request;
use crate::l7::route::HttpMatch;

/// Rules by their places, the strongest first.
#[derive(Debug)]
pub(super) enum Bucket {
    /// One after the other.
    List(Vec<u32>),
    /// By the value that they ask for.
    Split {
        by: Key,
        values: HashMap<Strng, Self>,
        /// Those that do not ask for one value.
        rest: Box<Self>,
    },
}

/// Something of which a rule may ask for exactly one value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Of places in their order.
    pub(super) fn of(entries: &[Entry], places: Vec<u32>) -> Self {
        Self::split(entries, places, &[])
    }

    /// The first one of which `matches` is true, if it is stronger than `best`, else `best`.
    pub(super) fn first(
        &self,
        best: Option<u32>,
        request: &Request<'_>,
        matches: &impl Fn(u32) -> bool,
    ) -> Option<u32> {
        match self {
            Self::List(places) => {
                let mut stronger = places
                    .iter()
                    .copied()
                    .take_while(|place| best.is_none_or(|b| *place < b));
                stronger.find(|place| matches(*place)).or(best)
            }
            Self::Split { by, values, rest } => {
                let value = by.of_request(request);
                let same = value.and_then(|value| values.get(&*value));
                let best = same.map_or(best, |bucket| bucket.first(best, request, matches));
                rest.first(best, request, matches)
            }
        }
    }

    /// Splits by what most ask for, as long as that is at least half of them and was not split by before.
    fn split(entries: &[Entry], places: Vec<u32>, done: &[Key]) -> Self {
        if places.len() <= SHORT {
            return Self::List(places);
        }
        let keys = |place: u32| keys(entries[place as usize].matched());
        let mut counts = BTreeMap::<Key, usize>::new();
        for (key, _) in places.iter().flat_map(|place| keys(*place)) {
            *counts.entry(key).or_default() += 1;
        }
        let best = counts.into_iter().filter(|(key, _)| !done.contains(key));
        let best = best.max_by_key(|(_, count)| *count);
        let Some((by, _)) = best.filter(|(_, count)| *count * 2 >= places.len()) else {
            return Self::List(places);
        };
        let (mut values, mut rest) = (HashMap::<Strng, Vec<u32>>::new(), Vec::new());
        for place in places {
            match keys(place).find(|(key, _)| *key == by) {
                Some((_, value)) => values.entry(value).or_default().push(place),
                None => rest.push(place),
            }
        }
        let done = [done, std::slice::from_ref(&by)].concat();
        let values = values.into_iter();
        Self::Split {
            by,
            values: values
                .map(|(value, places)| (value, Self::split(entries, places, &done)))
                .collect(),
            rest: Box::new(Self::split(entries, rest, &done)),
        }
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::List(Vec::new())
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

/// What a match asks for exactly.
fn keys(matched: Option<&HttpMatch>) -> impl Iterator<Item = (Key, Strng)> {
    let exact = |value: &TextMatch| match value {
        TextMatch::Exact(value) => Some(value.clone()),
        _ => None,
    };
    let of = move |m: &HttpMatch| {
        let host = m.authority.as_ref().and_then(exact);
        let host = host.map(|host| (Key::Host, host.to_ascii_lowercase().into()));
        let headers = m.headers.iter();
        let headers = headers.filter_map(|h| Some((Key::Header(h.name.clone()), exact(&h.value)?)));
        let query = m.query.iter();
        let query = query.filter_map(|q| Some((Key::Query(q.name.clone()), exact(&q.value)?)));
        host.into_iter().chain(headers).chain(query).collect::<Vec<_>>()
    };
    matched.map(of).into_iter().flatten()
}
