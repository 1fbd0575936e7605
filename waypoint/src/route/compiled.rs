//! What applies to one frontend, compiled, and kept up to date route by route.
//!
//! A change of routes costs what those routes touch, not what the frontend has: the next state shares the rest with the
//! one before, which requests that are under way may still hold. A change of policies is compiled anew.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::attach::Place;
use mesh_model::l7::policy::PathNormalization;
use mesh_model::l7::route::RouteParent;
use mesh_model::l7::select::{Hostnames, RouteTable};
use mesh_model::l7::{Route, ServicePort};
use mesh_state::Generation;
use mesh_state::l7::{Attached, L7Snapshot};
use mesh_types::Strng;

use super::Rule;
use super::applies::Applies;
use super::memory::{Memories, Memory};
use crate::filters::applied::Applied;

/// Everything that applies to one frontend.
#[derive(Debug)]
pub struct Compiled {
    /// What it was compiled for.
    pub generation: Generation,
    /// Its routes.
    pub routes: RouteTable,
    /// The policies that apply, as far as they do not depend on the rule.
    pub applied: Rc<Applied>,
    /// How paths are made comparable, which is done before a route is known.
    pub normalization: PathNormalization,
    applies: Rc<Applies>,
    memories: Rc<Memories>,
}

/// What it was compiled of.
#[derive(Debug)]
pub(super) struct Sources {
    /// For each place that routes of the frontend may be attached to.
    routes: Vec<Option<Attached<Route>>>,
    /// When the policies of each of its targets last changed, and those of any route.
    policies: Vec<Option<Generation>>,
}

/// What was there, and what is.
type Change = (Option<Arc<Route>>, Option<Arc<Route>>);

impl Compiled {
    pub(super) fn new(sources: &Sources, snapshot: &L7Snapshot, place: &Place) -> Self {
        let hostnames = match place.listener {
            Some(_) => Hostnames::Matched,
            None => Hostnames::Ignored,
        };
        let applies = Rc::new(Applies::compile(snapshot, place, sources.routes()));
        Self {
            generation: snapshot.generation(),
            normalization: applies.here().effective.path_normalization(),
            routes: RouteTable::compile(sources.routes().cloned(), hostnames),
            applied: applies.here().clone(),
            applies,
            memories: Rc::default(),
        }
    }

    /// The state for another snapshot; this one, as long as nothing differs.
    pub(super) fn with(
        self: &Rc<Self>,
        sources: &mut Sources,
        snapshot: &L7Snapshot,
        place: &Place,
    ) -> Rc<Self> {
        let now = Sources::of(snapshot, place);
        let before = std::mem::replace(sources, now);
        if before.policies != sources.policies {
            return Rc::new(Self::new(sources, snapshot, place));
        }
        let changed = sources.changed_since(&before);
        if changed.is_empty() {
            return self.clone();
        }
        let (mut routes, mut applies) = (self.routes.clone(), self.applies.clone());
        for (was, is) in changed {
            if let Some(was) = &was {
                routes.remove(was);
                self.memories.forget(was);
            }
            if let Some(is) = &is {
                routes.insert(is);
            }
            Applies::replace(&mut applies, snapshot, place, was.as_ref(), is.as_ref());
        }
        Rc::new(Self {
            generation: snapshot.generation(),
            routes,
            applied: self.applied.clone(),
            normalization: self.normalization,
            applies,
            memories: self.memories.clone(),
        })
    }

    /// The policies that apply to what a rule takes, with those that are attached to it.
    #[must_use]
    pub fn applied_to(&self, rule: Option<&Rule>) -> &Rc<Applied> {
        match rule {
            Some(rule) => self.applies.at(&rule.route, rule.rule),
            None => self.applies.here(),
        }
    }

    /// What a rule keeps from request to request.
    pub(super) fn memory(&self, route: &Arc<Route>, rule: usize) -> Rc<Memory> {
        let retry = || self.applies.at(route, rule).retry.clone();
        self.memories.of(route, rule, retry)
    }
}

impl Sources {
    pub(super) fn of(snapshot: &L7Snapshot, place: &Place) -> Self {
        let parents = parents(place);
        let routes = parents.iter().map(|parent| snapshot.routes_of(parent).cloned());
        let targets = place.targets();
        let policies = targets
            .iter()
            .map(|target| snapshot.policies_of(target).map(Attached::generation));
        Self {
            routes: routes.collect(),
            policies: policies
                .chain(std::iter::once(snapshot.route_policies()))
                .collect(),
        }
    }

    /// All routes. One may name a service and a port of it: it is one and the same then.
    fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let places = self.routes.iter().enumerate();
        let attached = places.filter_map(|(at, attached)| Some((at, attached.as_ref()?)));
        attached.flat_map(move |(at, attached)| {
            let others = self.routes[..at].iter().flatten();
            attached.iter().filter(move |route| {
                let mut others = others.clone();
                // Keys are made of several texts: nearly always there are no others.
                !others.any(|other| other.get(&route.key()).is_some())
            })
        })
    }

    /// The routes that differ: what was there, and what is.
    fn changed_since(&self, before: &Self) -> Vec<Change> {
        let pairs = before.routes.iter().zip(&self.routes);
        let differs = |(was, is): &(&Option<Attached<_>>, &Option<Attached<_>>)| {
            was.as_ref().map(Attached::generation) != is.as_ref().map(Attached::generation)
        };
        let names = pairs
            .filter(differs)
            .flat_map(|(was, is)| Attached::changed(was.as_ref(), is.as_ref()));
        let names: BTreeSet<_> = names.collect();
        let changed = names
            .iter()
            .map(|name| (before.get(name).cloned(), self.get(name).cloned()));
        changed
            .filter(|(was, is)| {
                !was.as_ref()
                    .zip(is.as_ref())
                    .is_some_and(|(was, is)| Arc::ptr_eq(was, is))
            })
            .collect()
    }

    fn get(&self, name: &Strng) -> Option<&Arc<Route>> {
        self.routes
            .iter()
            .flatten()
            .find_map(|attached| attached.get(name))
    }
}

/// What routes are attached to that apply at a place.
fn parents(place: &Place) -> Vec<RouteParent> {
    let listener = place.listener.iter();
    let bind = listener.map(|listener| RouteParent::Bind(format!("{}/{listener}", place.gateway).into()));
    let service = place.service.iter().flat_map(|service| {
        let port = place.port.map(|port| {
            let service = service.clone();
            RouteParent::ServicePort(ServicePort { service, port })
        });
        port.into_iter().chain([RouteParent::Service(service.clone())])
    });
    bind.chain(service).collect()
}

#[cfg(test)]
mod tests;
