//! Rules for connections.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use super::SelectedConnection;
use super::by_name::Part;
use super::hosts::Hosts;
use crate::l7::route::{Route, Rules, TcpRule, TlsRule};

/// Rules for TLS, by the names that they ask for. Its clones share what it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerNames {
    names: Hosts<Candidates>,
    routes: usize,
}

/// Rules for TCP, the strongest first: the older route, then by its name. Its clones share what it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Destinations(Arc<Vec<Arc<Route>>>);

/// Rules for one name: the older route, then by its name, then by the order of its rules.
#[derive(Clone, Debug, Default)]
struct Candidates(Arc<Vec<(Arc<Route>, usize)>>);

impl ServerNames {
    /// By the most specific name; without a name only rules for any take it.
    pub(super) fn select(&self, name: Option<&str>) -> Option<SelectedConnection<'_, TlsRule>> {
        let (route, rule) = self
            .names
            .find(name.unwrap_or_default(), |candidates| candidates.0.first())?;
        Some(SelectedConnection {
            route,
            rule: &tls_rules(route)[*rule],
            rule_index: *rule,
        })
    }

    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        self.routes += 1;
        self.change(route, |candidates, rule| {
            let at = candidates.binary_search_by(|other| compare(other, (route, rule)));
            if let Err(at) = at {
                candidates.insert(at, (route.clone(), rule));
            }
        });
    }

    pub(super) fn remove(&mut self, route: &Arc<Route>) {
        self.routes = self.routes.saturating_sub(1);
        self.change(route, |candidates, rule| {
            if let Ok(at) = candidates.binary_search_by(|other| compare(other, (route, rule))) {
                candidates.remove(at);
            }
        });
    }

    fn change(&mut self, route: &Route, change: impl Fn(&mut Vec<(Arc<Route>, usize)>, usize)) {
        for (rule, content) in tls_rules(route).iter().enumerate() {
            let change = |candidates: &mut Candidates| change(Arc::make_mut(&mut candidates.0), rule);
            match content.server_names.as_slice() {
                [] => self.names.change_any(change),
                wanted => wanted.iter().for_each(|name| self.names.change(name, change)),
            }
        }
    }
}

impl Destinations {
    /// The first one in order (VirtualService; of several TCPRoutes only the oldest serves).
    pub(super) fn select(&self, address: IpAddr) -> Option<SelectedConnection<'_, TcpRule>> {
        let takes = |rule: &TcpRule| {
            rule.destinations.is_empty() || rule.destinations.iter().any(|range| range.contains(&address))
        };
        self.0.iter().find_map(|route| {
            let rules = tcp_rules(route);
            let rule_index = rules.iter().position(takes)?;
            Some(SelectedConnection {
                route,
                rule: &rules[rule_index],
                rule_index,
            })
        })
    }

    pub(super) fn insert(&mut self, route: &Arc<Route>) {
        let routes = Arc::make_mut(&mut self.0);
        match routes.binary_search_by(|other| by_age(other, route)) {
            Ok(at) => routes[at] = route.clone(),
            Err(at) => routes.insert(at, route.clone()),
        }
    }

    pub(super) fn remove(&mut self, route: &Arc<Route>) {
        if let Ok(at) = self.0.binary_search_by(|other| by_age(other, route)) {
            Arc::make_mut(&mut self.0).remove(at);
        }
    }
}

impl Part for ServerNames {
    /// A route without any rule counts as well.
    fn is_empty(&self) -> bool {
        self.routes == 0
    }
}

impl Part for Destinations {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Part for Candidates {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn compare(one: &(Arc<Route>, usize), other: (&Arc<Route>, usize)) -> Ordering {
    by_age(&one.0, other.0).then(one.1.cmp(&other.1))
}

fn by_age(one: &Route, other: &Route) -> Ordering {
    let key = |route: &'_ Route| (route.created, route.object.name.clone(), route.key());
    key(one).cmp(&key(other))
}

fn tls_rules(route: &Route) -> &[TlsRule] {
    match &route.rules {
        Rules::Tls(rules) => rules,
        Rules::Http { .. } | Rules::Tcp(_) => &[],
    }
}

fn tcp_rules(route: &Route) -> &[TcpRule] {
    match &route.rules {
        Rules::Tcp(rules) => rules,
        Rules::Http { .. } | Rules::Tls(_) => &[],
    }
}
