//! One consistent state of what is served.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use mesh_model::l7::attach::AttachedPolicies;
use mesh_model::l7::route::RouteParent;
use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Route, ServicePort, Target};
use mesh_types::{Strng, WorkloadUid};

use super::shared_map::SharedMap;
use super::{L7Kind, L7Update};
use crate::Generation;

/// One consistent state. Snapshots share what did not change between them.
#[derive(Clone, Debug, Default)]
pub struct L7Snapshot {
    generation: Generation,
    binds: SharedMap<Strng, Arc<Bind>>,
    backends: SharedMap<Strng, Arc<Backend>>,
    labels: SharedMap<Strng, Arc<EndpointLabels>>,
    routes: Attachments<Route>,
    policies: Attachments<Policy>,
    /// When a policy last changed that is attached to a route or one of its rules.
    route_policies: Option<Generation>,
}

/// What is attached to one place, by name.
#[derive(Clone, Debug)]
pub struct Attached<T> {
    generation: Generation,
    items: SharedMap<Strng, Arc<T>>,
}

/// The routes of a port of a service: those attached to it, and those attached to all of the service's ports.
#[derive(Clone, Debug)]
pub struct ServiceRoutes<'a> {
    /// Attached to the port.
    pub port: Option<&'a Attached<Route>>,
    /// Attached to the service.
    pub service: Option<&'a Attached<Route>>,
}

impl L7Snapshot {
    /// Counts the batches that changed anything.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// All binds, by name.
    pub fn binds(&self) -> impl Iterator<Item = &Arc<Bind>> {
        self.binds.iter().map(|(_, bind)| bind)
    }

    /// A bind, by its name.
    #[must_use]
    pub fn bind(&self, key: &str) -> Option<&Arc<Bind>> {
        self.binds.get(key)
    }

    /// All backends, by name.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends.iter().map(|(_, backend)| backend)
    }

    /// A backend, by its name.
    #[must_use]
    pub fn backend(&self, name: &str) -> Option<&Arc<Backend>> {
        self.backends.get(name)
    }

    /// The labels of all workloads that have any, by uid.
    pub fn labels(&self) -> impl Iterator<Item = &Arc<EndpointLabels>> {
        self.labels.iter().map(|(_, labels)| labels)
    }

    /// The labels of a workload; absent when nobody said.
    #[must_use]
    pub fn labels_of(&self, workload: &WorkloadUid) -> Option<&Arc<EndpointLabels>> {
        self.labels.get(workload.as_str())
    }

    /// All routes, by name.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.by_key.iter().map(|(_, route)| route)
    }

    /// A route, by its name.
    #[must_use]
    pub fn route(&self, key: &str) -> Option<&Arc<Route>> {
        self.routes.by_key.get(key)
    }

    /// The routes that are attached to a parent; absent when none is.
    #[must_use]
    pub fn routes_of(&self, parent: &RouteParent) -> Option<&Attached<Route>> {
        self.routes.by_place.get(parent).map(Arc::as_ref)
    }

    /// The routes of a port of a service.
    #[must_use]
    pub fn routes_of_port(&self, port: &ServicePort) -> ServiceRoutes<'_> {
        ServiceRoutes {
            port: self.routes_of(&RouteParent::ServicePort(port.clone())),
            service: self.routes_of(&RouteParent::Service(port.service.clone())),
        }
    }

    /// All policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.by_key.iter().map(|(_, policy)| policy)
    }

    /// A policy, by its name.
    #[must_use]
    pub fn policy(&self, key: &str) -> Option<&Arc<Policy>> {
        self.policies.by_key.get(key)
    }

    /// The policies that are attached to a target; absent when none is.
    #[must_use]
    pub fn policies_of(&self, target: &Target) -> Option<&Attached<Policy>> {
        self.policies.by_place.get(target).map(Arc::as_ref)
    }

    /// The generation in which any policy last changed that is attached to a route or to one of its rules; absent while
    /// there never was any.
    #[must_use]
    pub fn route_policies(&self) -> Option<Generation> {
        self.route_policies
    }

    /// The next snapshot; absent when the batch changes nothing.
    pub(crate) fn updated(&self, updates: Vec<L7Update>) -> Option<Self> {
        let mut next = self.clone();
        next.generation.0 += 1;
        let mut changed = false;
        let (mut routes, mut policies) = (BTreeMap::new(), BTreeMap::new());
        for update in updates {
            changed |= match update {
                L7Update::Bind(bind) => replace(&mut next.binds, bind.key(), Some(bind)),
                L7Update::Backend(backend) => {
                    replace(&mut next.backends, backend.name.clone(), Some(backend))
                }
                L7Update::EndpointLabels(labels) => {
                    replace(&mut next.labels, labels.workload.as_str().into(), Some(labels))
                }
                L7Update::Remove(L7Kind::EndpointLabels, uid) => replace(&mut next.labels, uid, None),
                L7Update::Remove(L7Kind::Bind, key) => replace(&mut next.binds, key, None),
                L7Update::Remove(L7Kind::Backend, name) => replace(&mut next.backends, name, None),
                L7Update::Route(route) => note(&mut routes, route.key(), Some(route)),
                L7Update::Remove(L7Kind::Route, key) => note(&mut routes, key, None),
                L7Update::Policy(policy) => note(&mut policies, policy.key(), Some(policy)),
                L7Update::Remove(L7Kind::Policy, key) => note(&mut policies, key, None),
            };
        }
        let of_routes = |(key, policy): (&Strng, &Option<Arc<Policy>>)| {
            let previous = next.policies.by_key.get(key);
            previous.into_iter().chain(policy).any(is_of_route)
        };
        if policies.iter().any(of_routes) {
            next.route_policies = Some(next.generation);
        }
        changed |= next.routes.change(routes, next.generation);
        changed |= next.policies.change(policies, next.generation);
        changed.then_some(next)
    }
}

impl AttachedPolicies for L7Snapshot {
    fn attached_to<'p>(&'p self, target: &Target) -> impl Iterator<Item = &'p Arc<Policy>> {
        self.policies_of(target).into_iter().flat_map(Attached::iter)
    }
}

impl<T> Attached<T> {
    /// The generation in which anything that is attached here last changed. Equal generations of one place mean equal
    /// content.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What is attached, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.items.iter().map(|(_, item)| item)
    }

    /// What is attached under a name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<T>> {
        self.items.get(key)
    }

    /// The names under which something else is attached to a place than was earlier. To find them costs as much as
    /// differs, and a little for each hundred that do not.
    #[must_use]
    pub fn changed(earlier: Option<&Self>, now: Option<&Self>) -> Vec<Strng> {
        let nothing = SharedMap::default();
        let [earlier, now] = [earlier, now].map(|attached| attached.map_or(&nothing, |a| &a.items));
        now.changed_since(earlier, Arc::ptr_eq)
            .into_iter()
            .cloned()
            .collect()
    }
}

impl<'a> ServiceRoutes<'a> {
    /// All of them; those of the port come first.
    pub fn iter(&self) -> impl Iterator<Item = &'a Arc<Route>> + use<'a> {
        let port = self.port.into_iter().flat_map(Attached::iter);
        port.chain(self.service.into_iter().flat_map(Attached::iter))
    }

    /// Differs whenever the content does: what a compiled table is kept under.
    #[must_use]
    pub fn generations(&self) -> [Option<Generation>; 2] {
        [self.port, self.service].map(|attached| attached.map(Attached::generation))
    }
}

/// Things by name, and by what they are attached to.
#[derive(Clone, Debug)]
struct Attachments<T: Attach> {
    by_key: SharedMap<Strng, Arc<T>>,
    by_place: SharedMap<T::Place, Arc<Attached<T>>>,
}

/// Something that is attached to places.
trait Attach: Clone + Eq {
    type Place: Clone + Ord + Hash;

    fn places(&self) -> &[Self::Place];
}

impl Attach for Route {
    type Place = RouteParent;

    fn places(&self) -> &[RouteParent] {
        &self.parents
    }
}

impl Attach for Policy {
    type Place = Target;

    fn places(&self) -> &[Target] {
        &self.targets
    }
}

/// The last change of each name in a batch.
type Changes<T> = BTreeMap<Strng, Option<Arc<T>>>;

impl<T: Attach> Attachments<T> {
    /// Applies changes; says whether there were any.
    fn change(&mut self, changes: Changes<T>, generation: Generation) -> bool {
        let mut changed = false;
        let mut touched: HashMap<T::Place, Changes<T>> = HashMap::new();
        for (key, item) in changes {
            let previous = self.by_key.get(&key).cloned();
            if previous == item {
                continue;
            }
            for place in previous.iter().flat_map(|old| old.places()) {
                touched
                    .entry(place.clone())
                    .or_default()
                    .insert(key.clone(), None);
            }
            for place in item.iter().flat_map(|new| new.places()) {
                let changes = touched.entry(place.clone()).or_default();
                changes.insert(key.clone(), item.clone());
            }
            changed |= replace(&mut self.by_key, key, item);
        }
        for (place, changes) in touched {
            self.change_place(place, changes, generation);
        }
        changed
    }

    fn change_place(&mut self, place: T::Place, changes: Changes<T>, generation: Generation) {
        let present = self.by_place.get(&place);
        let mut items = present.map(|attached| attached.items.clone()).unwrap_or_default();
        for (key, item) in changes {
            replace(&mut items, key, item);
        }
        match items.len() {
            0 => drop(self.by_place.remove(&place)),
            _ => drop(
                self.by_place
                    .insert(place, Arc::new(Attached { generation, items })),
            ),
        }
    }
}

impl<T: Attach> Default for Attachments<T> {
    fn default() -> Self {
        Self {
            by_key: SharedMap::default(),
            by_place: SharedMap::default(),
        }
    }
}

fn is_of_route(policy: &Arc<Policy>) -> bool {
    let mut targets = policy.targets.iter();
    targets.any(|target| matches!(target, Target::Route(_) | Target::RouteRule(..)))
}

/// Only what the batch leaves counts.
fn note<T>(changes: &mut Changes<T>, key: Strng, item: Option<Arc<T>>) -> bool {
    changes.insert(key, item);
    false
}

/// Puts a value in place or takes it out; says whether that changed anything.
fn replace<T: Eq>(map: &mut SharedMap<Strng, Arc<T>>, key: Strng, item: Option<Arc<T>>) -> bool {
    if map.get(&key) == item.as_ref() {
        return false;
    }
    match item {
        Some(item) => drop(map.insert(key, item)),
        None => drop(map.remove(&key)),
    }
    true
}
