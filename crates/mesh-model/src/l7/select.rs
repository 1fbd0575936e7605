//! Which rule takes a request or connection?
//!
//! # Layout
//! - this file: [`RouteTable`], all routes of one parent, and what it answers.
//! - `rank`: which of several rules that match wins.
//! - `matches`: whether a rule matches, read off its fields.
//! - `hosts`: host names and wildcards, the most specific first.
//! - `paths`, `bucket`: the index that finds the few rules that can match among thousands.
//! - `connections`: rules for TLS and TCP.
//! - [`weight`]: which of a rule's destinations gets a request.
//!
//! The index only ever leaves out rules that cannot match; what is left is tested in full. The tests hold every answer
//! to a naive reading of the rules.

mod bucket;
mod connections;
mod hosts;
mod matches;
mod paths;
mod rank;
pub mod weight;

use std::collections::HashMap;
use std::sync::Arc;

use mesh_types::Strng;

use self::connections::Connections;
use self::hosts::Hosts;
use self::paths::Paths;
use self::rank::Rank;
use super::request::{Claims, Client, Local, Request};
use super::route::{HttpMatch, HttpRule, Route, Rules, TcpRule, TlsRule};

pub use weight::{Spread, pick_backend};

/// All routes of one parent, compiled.
///
/// Where routes of the client's own namespace are attached (consumer routes), they alone count for it, as those of
/// another namespace do not merge with the service's own (Gateway API, GEP-1294).
#[derive(Debug, Default)]
pub struct RouteTable {
    /// All rules for requests, the strongest first; elsewhere they go by their place here.
    entries: Vec<Entry>,
    http: Scopes<Hosts<Paths>>,
    tls: Scopes<Connections<TlsRule>>,
    tcp: Scopes<Connections<TcpRule>>,
}

/// What [`super::Route::hostnames`] mean to a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostnames {
    /// Nothing: the parent is a service, which was chosen by its address (Gateway API, GEP-1294).
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

/// One match of one rule of one route.
#[derive(Clone, Debug)]
struct Entry {
    route: Arc<Route>,
    rule: usize,
    matched: Option<usize>,
}

/// The service's own, and those of other namespaces for their own clients.
#[derive(Debug)]
struct Scopes<T> {
    own: T,
    consumers: HashMap<Strng, T>,
}

impl RouteTable {
    /// Compiles the routes that are attached to one parent; their order does not matter.
    #[must_use]
    pub fn compile(routes: impl IntoIterator<Item = Arc<Route>>, hostnames: Hostnames) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        let entries = rank::sorted(routes.iter().flat_map(entries_of));
        let mut http = Scopes::<Hosts<Vec<u32>>>::default();
        for (place, entry) in (0..).zip(&entries) {
            let hosts = http.of_mut(entry.route.consumer.as_ref());
            hosts.names_of(&entry.route, hostnames, |places| places.push(place));
        }
        let (mut tls, mut tcp) = (Scopes::<Vec<_>>::default(), Scopes::<Vec<_>>::default());
        for route in &routes {
            let consumer = route.consumer.as_ref();
            match &route.rules {
                Rules::Http { .. } => {}
                Rules::Tls(_) => tls.of_mut(consumer).push(route.clone()),
                Rules::Tcp(_) => tcp.of_mut(consumer).push(route.clone()),
            }
        }
        Self {
            http: http.map(|hosts| hosts.map(|places| Paths::of(&entries, places))),
            tls: tls.map(Connections::<TlsRule>::of),
            tcp: tcp.map(Connections::<TcpRule>::of),
            entries,
        }
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
        let matches = |place: u32| {
            let matched = self.entry(place).matched();
            matched.is_none_or(|m| m.matches(request, client, claims))
        };
        let hosts = self.http.of(client);
        let place = hosts.find(request.host(), |paths| paths.first(request, &matches))?;
        Some(self.entry(place).selected())
    }

    /// The rule for TLS that takes a connection, by the name in its handshake. Asked before [`Self::select_tcp`].
    #[must_use]
    pub fn select_tls(
        &self,
        server_name: Option<&str>,
        client: &Client<'_>,
    ) -> Option<SelectedConnection<'_, TlsRule>> {
        self.tls.of(client).by_server_name(server_name)
    }

    /// The rule for TCP that takes a connection.
    #[must_use]
    pub fn select_tcp(&self, local: Local, client: &Client<'_>) -> Option<SelectedConnection<'_, TcpRule>> {
        self.tcp.of(client).by_destination(local.address)
    }

    fn entry(&self, place: u32) -> &Entry {
        &self.entries[place as usize]
    }
}

impl<'t> Selected<'t> {
    /// What matched; absent for a rule without matches.
    #[must_use]
    pub fn matched(&self) -> Option<&'t HttpMatch> {
        self.rule.matches.get(self.match_index?)
    }
}

/// One for each match of each rule. What is behind a rule that takes everything, in a list that is read in order,
/// never has its turn.
fn entries_of(route: &Arc<Route>) -> impl Iterator<Item = (Rank<'_>, Entry)> {
    let (order, rules) = match &route.rules {
        Rules::Http { order, rules } => (Some(*order), rules.as_slice()),
        Rules::Tls(_) | Rules::Tcp(_) => (None, &[][..]),
    };
    let places = rules.iter().enumerate().flat_map(|(rule, content)| {
        let none = content.matches.is_empty().then_some((rule, None));
        none.into_iter()
            .chain((0..content.matches.len()).map(move |m| (rule, Some(m))))
    });
    let mut closed = false;
    places.map_while(move |(rule, matched)| {
        let entry = Entry {
            route: route.clone(),
            rule,
            matched,
        };
        let rank = Rank::of(route, rule, (matched, entry.matched()), order?);
        let open = !closed;
        closed |= rank.closes_list();
        open.then_some((rank, entry))
    })
}

impl Entry {
    fn rule(&self) -> &HttpRule {
        let Rules::Http { rules, .. } = &self.route.rules else {
            unreachable!("entries are made of rules for requests only")
        };
        &rules[self.rule]
    }

    fn matched(&self) -> Option<&HttpMatch> {
        self.matched.map(|at| &self.rule().matches[at])
    }

    fn selected(&self) -> Selected<'_> {
        Selected {
            route: &self.route,
            rule: self.rule(),
            rule_index: self.rule,
            match_index: self.matched,
        }
    }
}

impl<T: Default> Scopes<T> {
    fn of_mut(&mut self, consumer: Option<&Strng>) -> &mut T {
        match consumer {
            Some(namespace) => self.consumers.entry(namespace.clone()).or_default(),
            None => &mut self.own,
        }
    }
}

impl<T> Scopes<T> {
    fn of(&self, client: &Client<'_>) -> &T {
        let consumers = client.namespace().and_then(|ns| self.consumers.get(ns));
        consumers.unwrap_or(&self.own)
    }

    fn map<U>(self, f: impl Fn(T) -> U) -> Scopes<U> {
        Scopes {
            own: f(self.own),
            consumers: self.consumers.into_iter().map(|(ns, t)| (ns, f(t))).collect(),
        }
    }
}

impl<T: Default> Default for Scopes<T> {
    fn default() -> Self {
        Self {
            own: T::default(),
            consumers: HashMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
