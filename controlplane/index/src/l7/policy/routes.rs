//! Routes as policies see them: their rules' names, where they lead, and whose proxies carry them out.

use std::collections::BTreeSet;

use controlplane_collections::{Collection, Fetch, Graph, Index};
use mesh_model::l7::filter::{BackendFilter, Filter};
use mesh_model::l7::route::{Destination, HttpAction, Rules};
use mesh_model::l7::{ObjectRef, Route};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::derived::Derived;
use crate::l7::Scoped;
use crate::l7::hosts::Gateways;

/// What policies need to know of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RouteFacts {
    object: ObjectRef,
    pub(super) gateways: Gateways,
    pub(super) rules: BTreeSet<Strng>,
    destinations: BTreeSet<NamespacedHostname>,
}

/// The routes of a kind.
#[derive(Clone, Copy)]
pub(super) struct RouteLookups {
    by_object: Index<ObjectRef, Strng, RouteFacts>,
    by_destination: Index<NamespacedHostname, Strng, RouteFacts>,
}

impl RouteLookups {
    pub(super) fn new(graph: &mut Graph, routes: Collection<Strng, Derived<Scoped<Route>>>) -> Self {
        let facts = graph.derive("route as policies see it", routes, |_, _, derived| {
            derived.value.as_ref().map(facts)
        });
        Self {
            by_object: graph.index("routes by object", facts, |_, facts| vec![facts.object.clone()]),
            by_destination: graph.index("routes by destination", facts, |_, facts| {
                facts.destinations.iter().cloned().collect()
            }),
        }
    }

    pub(super) fn of_object<'a>(
        &self,
        fetch: &Fetch<'a>,
        object: &ObjectRef,
    ) -> impl Iterator<Item = &'a RouteFacts> + use<'a> {
        fetch.by(self.by_object, object).map(|(_, facts)| facts)
    }

    /// Those whose routes lead to a service.
    pub(super) fn gateways_to<'a>(
        &self,
        fetch: &Fetch<'a>,
        service: &NamespacedHostname,
    ) -> impl Iterator<Item = NamespacedName> + use<'a> {
        let routes = fetch.by(self.by_destination, service);
        routes.flat_map(|(_, facts)| facts.gateways.iter().cloned())
    }
}

fn facts(scoped: &Scoped<Route>) -> RouteFacts {
    let route = &scoped.value;
    let mut names = BTreeSet::new();
    let mut destinations = BTreeSet::new();
    match &route.rules {
        Rules::Http { rules, .. } => {
            for rule in rules {
                names.extend(rule.name.clone());
                if let HttpAction::Forward(backends) = &rule.action {
                    for backend in backends {
                        destinations.extend(service(&backend.destination));
                        let mirrors = backend.filters.iter().filter_map(|filter| match filter {
                            BackendFilter::Mirror(mirror) => service(&mirror.destination),
                            _ => None,
                        });
                        destinations.extend(mirrors);
                    }
                }
                let mirrors = rule.filters.iter().filter_map(|filter| match filter {
                    Filter::Mirror(mirror) => service(&mirror.destination),
                    _ => None,
                });
                destinations.extend(mirrors);
            }
        }
        Rules::Tls(rules) => {
            let backends = rules.iter().flat_map(|rule| &rule.backends);
            destinations.extend(backends.filter_map(|backend| service(&backend.destination)));
        }
        Rules::Tcp(rules) => {
            let backends = rules.iter().flat_map(|rule| &rule.backends);
            destinations.extend(backends.filter_map(|backend| service(&backend.destination)));
        }
    }
    RouteFacts {
        object: route.object.clone(),
        gateways: scoped.gateways.clone(),
        rules: names,
        destinations,
    }
}

fn service(destination: &Destination) -> Option<NamespacedHostname> {
    match destination {
        Destination::Service { service, .. } => Some(service.service.clone()),
        _ => None,
    }
}
