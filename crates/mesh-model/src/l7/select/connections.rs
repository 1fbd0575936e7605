//! Rules for connections.

use std::net::IpAddr;
use std::sync::Arc;

use super::SelectedConnection;
use super::hosts::Hosts;
use crate::l7::route::{Route, Rules, TcpRule, TlsRule};

/// The rules of several routes for connections.
#[derive(Debug)]
pub(super) struct Connections<R> {
    /// The strongest first: the older route, then by its name.
    routes: Vec<Arc<Route>>,
    /// The strongest rule for each name: route, rule.
    names: Hosts<Option<(usize, usize)>>,
    rules: fn(&Route) -> &[R],
}

impl<R> Connections<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn selected(&self, route: usize, rule: usize) -> SelectedConnection<'_, R> {
        let route = &self.routes[route];
        SelectedConnection {
            route,
            rule: &(self.rules)(route)[rule],
            rule_index: rule,
        }
    }

    /// Those of `routes`, in any order.
    fn sorted(mut routes: Vec<Arc<Route>>, rules: fn(&Route) -> &[R]) -> Self {
        routes.sort_by_cached_key(|route| (route.created, route.object.name.clone(), route.key()));
        Self {
            routes,
            names: Hosts::default(),
            rules,
        }
    }
}

impl Connections<TlsRule> {
    pub(super) fn of(routes: Vec<Arc<Route>>) -> Self {
        let mut connections = Self::sorted(routes, tls_rules);
        let names = &mut connections.names;
        for (place, route) in connections.routes.iter().enumerate() {
            for (rule, content) in tls_rules(route).iter().enumerate() {
                let take = |taken: &mut Option<_>| *taken = taken.or(Some((place, rule)));
                match content.server_names.as_slice() {
                    [] => take(names.any_mut()),
                    wanted => wanted.iter().for_each(|name| take(names.of_mut(name))),
                }
            }
        }
        connections
    }

    /// By the most specific name; without a name only rules for any take it.
    pub(super) fn by_server_name(&self, name: Option<&str>) -> Option<SelectedConnection<'_, TlsRule>> {
        let (route, rule) = self.names.find(name.unwrap_or_default(), |taken| *taken)?;
        Some(self.selected(route, rule))
    }
}

impl Connections<TcpRule> {
    pub(super) fn of(routes: Vec<Arc<Route>>) -> Self {
        Self::sorted(routes, tcp_rules)
    }

    /// The first one in order (VirtualService; of several TCPRoutes only the oldest serves).
    pub(super) fn by_destination(&self, address: IpAddr) -> Option<SelectedConnection<'_, TcpRule>> {
        let takes = |rule: &TcpRule| {
            rule.destinations.is_empty() || rule.destinations.iter().any(|range| range.contains(&address))
        };
        self.routes.iter().enumerate().find_map(|(place, route)| {
            let rule = (self.rules)(route).iter().position(takes)?;
            Some(self.selected(place, rule))
        })
    }
}

impl Default for Connections<TlsRule> {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Default for Connections<TcpRule> {
    fn default() -> Self {
        Self::of(Vec::new())
    }
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
