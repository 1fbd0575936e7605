//! Which of several rules that match wins?
//!
//! Gateway API, HTTPRoute, "matches", and "ties" there. What it leaves open: a regular expression on the path ranks
//! below prefixes, longer ones first, but above a match that takes every path, which is what most routes end with.

use std::cmp::Reverse;

use crate::l7::Created;
use crate::l7::route::{HttpMatch, Order, PathMatch, Route};

/// The lesser one wins. No two are equal as long as routes have distinct names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank<'r> {
    specificity: Specificity,
    created: Created,
    namespace: &'r str,
    name: &'r str,
    kind: &'r str,
    part: &'r str,
    rule: usize,
    matched: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    /// A list that is read in order. Of several lists, none hides another one by a rule that takes everything.
    Listed { takes_everything: bool },
    /// By what is asked of the request.
    Measured {
        path: PathClass,
        length: Reverse<usize>,
        any_method: bool,
        headers: Reverse<usize>,
        query: Reverse<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathClass {
    Exact,
    Prefix,
    Regex,
    Any,
}

impl<'r> Rank<'r> {
    pub(super) fn of(
        route: &'r Route,
        rule: usize,
        matched: (Option<usize>, Option<&HttpMatch>),
        order: Order,
    ) -> Self {
        let (place, matched) = matched;
        let object = &route.object;
        let specificity = match order {
            Order::Listed => Specificity::Listed {
                takes_everything: matched.is_none_or(|m| *m == HttpMatch::default()),
            },
            Order::Specificity => measure(matched),
        };
        Self {
            specificity,
            created: route.created,
            namespace: &object.name.namespace,
            name: &object.name.name,
            kind: &object.kind,
            part: &route.part,
            rule,
            matched: place,
        }
    }

    /// Whether nothing behind it in its own list ever has its turn.
    pub(super) fn closes_list(&self) -> bool {
        let takes_everything = true;
        self.specificity == Specificity::Listed { takes_everything }
    }
}

fn measure(matched: Option<&HttpMatch>) -> Specificity {
    let (path, length) = measure_path(matched.and_then(|m| m.path.as_ref()));
    Specificity::Measured {
        path,
        length: Reverse(length),
        any_method: matched.is_none_or(|m| m.method.is_none()),
        headers: Reverse(matched.map_or(0, |m| m.headers.len())),
        query: Reverse(matched.map_or(0, |m| m.query.len())),
    }
}

fn measure_path(path: Option<&PathMatch>) -> (PathClass, usize) {
    match path {
        Some(PathMatch::Exact(path) | PathMatch::ExactIgnoringCase(path)) => (PathClass::Exact, path.len()),
        Some(PathMatch::Segments(p) | PathMatch::Prefix(p) | PathMatch::PrefixIgnoringCase(p))
            if p.len() > 1 =>
        {
            (PathClass::Prefix, p.len())
        }
        Some(PathMatch::Regex(pattern)) => (PathClass::Regex, pattern.as_str().len()),
        Some(_) | None => (PathClass::Any, 0),
    }
}
