//! Which rule takes a request or connection?
//!
//! # Layout
//! - this file: [`RouteTable`], all routes of one parent, what it answers, and how it changes.
//! - `entry`: one match of one rule of one route.
//! - `rank`: which of several rules that match wins.
//! - `matches`: whether a rule matches, read off its fields.
//! - `hosts`: host names and wildcards, the most specific first.
//! - `paths`, `bucket`: the index that finds the few rules that can match among thousands.
//! - `by_name`: the map that index is made of; tables that differ by a route share the rest.
//! - `connections`: rules for TLS and TCP.
//! - [`weight`]: which of a rule's destinations gets a request.
//!
//! The index only ever leaves out rules that cannot match; what is left is tested in full. The tests hold every answer
//! to a naive reading of the rules.

mod bucket;
mod by_name;
mod connections;
mod entry;
mod hosts;
mod matches;
mod paths;
mod rank;
pub mod weight;

use std::sync::Arc;

use mesh_types::Strng;

use self::by_name::{ByName, Part};
use self::connections::{Destinations, ServerNames};
use self::entry::Entry;
use self::hosts::Hosts;
use self::paths::Paths;
use super::request::{Claims, Client, Local, Request};
use super::route::{HttpMatch, HttpRule, Route, Rules, TcpRule, TlsRule};

pub use weight::{Spread, pick_backend};

/// All routes of one parent, compiled.
///
/// Where routes of the client's own namespace are attached (consumer routes), they alone count for it, as those of
/// another namespace do not merge with the service's own (Gateway API, GEP-1294).
///
/// A clone is a few reference counts, and a change of a route costs what that route touches: whoever reads keeps a table
/// that nobody changes, and the next one shares the rest with it.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    hostnames: Hostnames,
    http: Scopes<Hosts<Paths>>,
    tls: Scopes<ServerNames>,
    tcp: Scopes<Destinations>,
}

/// What [`super::Route::hostnames`] mean to a parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hostnames {
    /// Nothing: the parent is a service, which was chosen by its address (Gateway API, GEP-1294).
    #[default]
    Ignored,
    /// Requests for other hosts are not for this route: the parent is a gateway's listener.
    Matched,
}

/// The rule that takes a request.
#[derive(Clone, Copy, Debug)]
pub struct Selected<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// The rule.
    pub rule: &'t HttpRule,
    /// Its place in the route.
    pub rule_index: usize,
    /// Which of its matches did; absent for a rule without any.
    pub match_index: Option<usize>,
}

/// The rule that takes a connection.
#[derive(Debug)]
pub struct SelectedConnection<'t, R> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// The rule.
    pub rule: &'t R,
    /// Its place in the route.
    pub rule_index: usize,
}

/// The service's own, and those of other namespaces for their own clients.
#[derive(Clone, Debug)]
struct Scopes<T> {
    own: T,
    consumers: ByName<T>,
}

impl RouteTable {
    /// Compiles the routes that are attached to one parent; their order does not matter.
    #[must_use]
    pub fn compile(routes: impl IntoIterator<Item = Arc<Route>>, hostnames: Hostnames) -> Self {
        let mut table = Self {
            hostnames,
            ..Self::default()
        };
        for route in routes {
            table.insert(&route);
        }
        table
    }

    /// Attaches a route that was not there; of one that was, the former state is to be removed first.
    pub fn insert(&mut self, route: &Arc<Route>) {
        let consumer = route.consumer.as_ref();
        match &route.rules {
            Rules::Http { .. } => self.change_http(route, Paths::insert),
            Rules::Tls(_) => self.tls.change(consumer, |names| names.insert(route)),
            Rules::Tcp(_) => self
                .tcp
                .change(consumer, |destinations| destinations.insert(route)),
        }
    }

    /// Detaches a route, in the state in which it was attached.
    pub fn remove(&mut self, route: &Arc<Route>) {
        let consumer = route.consumer.as_ref();
        match &route.rules {
            Rules::Http { .. } => self.change_http(route, Paths::remove),
            Rules::Tls(_) => self.tls.change(consumer, |names| names.remove(route)),
            Rules::Tcp(_) => self
                .tcp
                .change(consumer, |destinations| destinations.remove(route)),
        }
    }

    fn change_http(&mut self, route: &Arc<Route>, change: impl Fn(&mut Paths, &Entry)) {
        let entries: Vec<_> = Entry::all_of(route).collect();
        if entries.is_empty() {
            return;
        }
        let change = |paths: &mut Paths| entries.iter().for_each(|entry| change(paths, entry));
        let hostnames = self.hostnames;
        self.http.change(route.consumer.as_ref(), |hosts| {
            hosts.change_names(route, hostnames, change);
        });
    }

    /// Whether there are rules for requests of a client. With them, one that none takes is answered with 404; without
    /// any, it goes where the parent leads by itself.
    #[must_use]
    pub fn has_http(&self, client: &Client<'_>) -> bool {
        !self.http.of(client).is_empty()
    }

    /// Whether there are rules for TLS for a client. With them, a connection that none takes is refused.
    #[must_use]
    pub fn has_tls(&self, client: &Client<'_>) -> bool {
        !self.tls.of(client).is_empty()
    }

    /// Whether there are rules for TCP for a client. With them, a connection that none takes is refused.
    #[must_use]
    pub fn has_tcp(&self, client: &Client<'_>) -> bool {
        !self.tcp.of(client).is_empty()
    }

    /// The rule that takes a request.
    #[must_use]
    pub fn select(
        &self,
        request: &Request<'_>,
        client: &Client<'_>,
        claims: &Claims,
    ) -> Option<Selected<'_>> {
        let matches = |entry: &Entry| {
            let matched = entry.matched();
            matched.is_none_or(|m| m.matches(request, client, claims))
        };
        let hosts = self.http.of(client);
        let entry = hosts.find(request.host(), |paths| paths.first(request, &matches))?;
        Some(entry.selected())
    }

    /// The rule for TLS that takes a connection, by the name in its handshake. Asked before [`Self::select_tcp`].
    #[must_use]
    pub fn select_tls(
        &self,
        server_name: Option<&str>,
        client: &Client<'_>,
    ) -> Option<SelectedConnection<'_, TlsRule>> {
        self.tls.of(client).select(server_name)
    }

    /// The rule for TCP that takes a connection.
    #[must_use]
    pub fn select_tcp(&self, local: Local, client: &Client<'_>) -> Option<SelectedConnection<'_, TcpRule>> {
        self.tcp.of(client).select(local.address)
    }
}

impl<'t> Selected<'t> {
    /// What matched; absent for a rule without matches.
    #[must_use]
    pub fn matched(&self) -> Option<&'t HttpMatch> {
        self.rule.matches.get(self.match_index?)
    }
}

impl<T: Part> Scopes<T> {
    fn of(&self, client: &Client<'_>) -> &T {
        let consumers = client.namespace().and_then(|ns| self.consumers.get(ns));
        consumers.unwrap_or(&self.own)
    }

    fn change(&mut self, consumer: Option<&Strng>, change: impl FnOnce(&mut T)) {
        match consumer {
            Some(namespace) => self.consumers.change(namespace.clone(), change),
            None => change(&mut self.own),
        }
    }
}

impl<T: Default> Default for Scopes<T> {
    fn default() -> Self {
        Self {
            own: T::default(),
            consumers: ByName::default(),
        }
    }
}

#[cfg(test)]
mod tests;
