//! One connection whose bytes nobody here reads: one rule, one destination.

use mesh_model::l7::request::{Client, Local};
use mesh_model::l7::resilience::Timeouts;
use mesh_model::l7::route::{Route, TcpBackend};
use mesh_model::l7::select::pick_backend;

use super::{Compiled, Forward, Routed, Rule, Tables};
use crate::frontend::Frontend;
use crate::reply::LocalReply;
use crate::upstream::ClusterKey;

impl Tables {
    /// Where a connection goes. `tls`: it begins with a handshake, in which this name may stand.
    ///
    /// Rules for TLS come first, then those for TCP; where there are rules of a kind and none of them takes the connection,
    /// it is refused, as it is when its share has no destination. Without any it goes straight to what was asked for.
    #[must_use]
    pub fn route_connection(
        &self,
        compiled: &Compiled,
        frontend: &Frontend,
        client: &Client<'_>,
        local: Local,
        tls: Option<Option<&str>>,
    ) -> Routed {
        // A listener's host names hold for server names as they do for hosts.
        if let Some(name) = tls
            && !frontend.takes(name.unwrap_or_default())
        {
            return LocalReply::no_route().into();
        }
        let routes = &compiled.routes;
        let (tls_rules, tcp_rules) = (routes.has_tls(client), routes.has_tcp(client));
        if let Some(name) = tls
            && tls_rules
            && let Some(selected) = routes.select_tls(name, client)
        {
            return compiled.follow(selected.route, selected.rule_index, &selected.rule.backends);
        }
        if tcp_rules && let Some(selected) = routes.select_tcp(local, client) {
            return compiled.follow(selected.route, selected.rule_index, &selected.rule.backends);
        }
        if tcp_rules || tls_rules && tls.is_some() {
            return LocalReply::no_route().into();
        }
        self.straight(compiled, frontend)
    }
}

impl Compiled {
    fn follow(&self, route: &std::sync::Arc<Route>, number: usize, backends: &[TcpBackend]) -> Routed {
        let memory = self.memory(route, number);
        let backend = pick_backend(backends, memory.spread.next());
        let Some(backend) = backend else {
            return LocalReply::invalid_route().into();
        };
        let Some(cluster) = ClusterKey::of(&backend.destination) else {
            return LocalReply::invalid_route().into();
        };
        Routed::Forward(Forward {
            cluster,
            timeouts: Timeouts::default(),
            retry: memory.retry.clone(),
            rule: Some(Rule {
                route: route.clone(),
                rule: number,
                name: memory.name.clone(),
                backend: backends.iter().position(|b| std::ptr::eq(b, backend)),
                matched: None,
            }),
        })
    }
}
