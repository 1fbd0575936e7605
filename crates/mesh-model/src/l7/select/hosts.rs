//! Host names and wildcards, the most specific first.

use std::borrow::Cow;
use std::collections::HashMap;

use mesh_types::Strng;

use super::Hostnames;
use crate::l7::route::Route;

/// Something for names, for all names below one, and for any name.
#[derive(Debug)]
pub(super) struct Hosts<T> {
    exact: HashMap<Strng, T>,
    /// By what is behind the star, the dot included.
    below: HashMap<Strng, T>,
    any: Option<T>,
}

/// No name is longer (RFC 1035, section 2.3.4); what is, no wildcard takes.
const MAX_NAME: usize = 255;

impl<T: Default> Hosts<T> {
    /// What is there for a pattern: a name, `*.` in front of one for all below, or `*`.
    pub(super) fn of_mut(&mut self, pattern: &str) -> &mut T {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('*') {
            Some("") => self.any.get_or_insert_default(),
            Some(suffix) => self.below.entry(suffix.into()).or_default(),
            None => self.exact.entry(pattern.into()).or_default(),
        }
    }

    /// What is there for any name.
    pub(super) fn any_mut(&mut self) -> &mut T {
        self.any.get_or_insert_default()
    }

    /// Shows what is there for each of a route's names.
    pub(super) fn names_of(&mut self, route: &Route, hostnames: Hostnames, mut f: impl FnMut(&mut T)) {
        if hostnames == Hostnames::Ignored || route.hostnames.is_empty() {
            f(self.any_mut());
            return;
        }
        let mut names: Vec<_> = route.hostnames.iter().map(|n| n.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| f(self.of_mut(name)));
    }
}

impl<T> Hosts<T> {
    /// Asks what is there for a name: for itself, for all below the longest of its parents, and so on, and for any,
    /// until one knows.
    pub(super) fn find<'t, R>(&'t self, name: &str, ask: impl FnMut(&'t T) -> Option<R>) -> Option<R> {
        if self.exact.is_empty() && self.below.is_empty() {
            return self.any.as_ref().and_then(ask);
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(name.to_ascii_lowercase()),
            false => Cow::Borrowed(name),
        };
        let known = if name.len() <= MAX_NAME { &*name } else { "" };
        let dots = known.match_indices('.').filter(|(at, _)| *at > 0);
        let below = dots.filter_map(|(at, _)| self.below.get(&known[at..]));
        let exact = self.exact.get(known);
        exact.into_iter().chain(below).chain(&self.any).find_map(ask)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_none()
    }

    pub(super) fn map<U>(self, f: impl Fn(T) -> U) -> Hosts<U> {
        let all = |map: HashMap<Strng, T>| map.into_iter().map(|(name, t)| (name, f(t))).collect();
        Hosts {
            exact: all(self.exact),
            below: all(self.below),
            any: self.any.map(&f),
        }
    }
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            any: None,
        }
    }
}
