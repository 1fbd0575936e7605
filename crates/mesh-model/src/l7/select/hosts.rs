//! Host names and wildcards, the most specific first.

use std::borrow::Cow;

use super::Hostnames;
use super::by_name::{ByName, Part};
use crate::l7::route::Route;

/// Something for names, for all names below one, and for any name. Its clones share what it holds.
#[derive(Clone, Debug)]
pub(super) struct Hosts<T> {
    exact: ByName<T>,
    /// By what is behind the star, the dot included.
    below: ByName<T>,
    any: Option<T>,
}

/// No name is longer (RFC 1035, section 2.3.4); what is, no wildcard takes.
const MAX_NAME: usize = 255;

impl<T: Part> Hosts<T> {
    /// Changes what is there for a pattern: a name, `*.` in front of one for all below, or `*`.
    pub(super) fn change(&mut self, pattern: &str, change: impl FnOnce(&mut T)) {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('*') {
            Some("") => self.change_any(change),
            Some(suffix) => self.below.change(suffix.into(), change),
            None => self.exact.change(pattern.into(), change),
        }
    }

    /// Changes what is there for any name.
    pub(super) fn change_any(&mut self, change: impl FnOnce(&mut T)) {
        let any = self.any.get_or_insert_default();
        change(any);
        if any.is_empty() {
            self.any = None;
        }
    }

    /// Changes what is there for each of a route's names.
    pub(super) fn change_names(&mut self, route: &Route, hostnames: Hostnames, change: impl Fn(&mut T)) {
        if hostnames == Hostnames::Ignored || route.hostnames.is_empty() {
            return self.change_any(change);
        }
        let mut names: Vec<_> = route.hostnames.iter().map(|n| n.to_ascii_lowercase()).collect();
        names.sort_unstable();
        names.dedup();
        names.iter().for_each(|name| self.change(name, &change));
    }

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
}

impl<T: Part> Part for Hosts<T> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_none()
    }
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        Self {
            exact: ByName::default(),
            below: ByName::default(),
            any: None,
        }
    }
}
