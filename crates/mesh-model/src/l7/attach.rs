//! Which policies count where?
//!
//! # Layout
//! - this file: the [`Place`]s at which policies count, and where they are found there: [`AttachedPolicies`].
//! - [`effective`]: what counts for a request or connection that came in somewhere.
//! - [`destination`]: what counts for connections to somewhere.
//!
//! One engine for every kind (the kinds' documentation says how they merge), so that a proxy and `explain` cannot
//! disagree: both call it, and every answer says which object gave it.

pub mod destination;
pub mod effective;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::policy::{Policy, PolicyKind, Target};
use super::{ObjectRef, ServicePort};

pub use destination::{EffectiveDestination, UnknownSubset};
pub use effective::Effective;

/// Policies by what they are attached to.
pub trait AttachedPolicies {
    /// Those that name a target, in any order.
    fn attached_to<'p>(&'p self, target: &Target) -> impl Iterator<Item = &'p Arc<Policy>>;
}

/// All policies that somebody knows who has no other order for them.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    by_key: HashMap<Strng, Arc<Policy>>,
    by_target: HashMap<Target, BTreeSet<Strng>>,
}

/// Somewhere that policies may count: what is absent is not known yet, or there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The gateway, which is this proxy.
    pub gateway: NamespacedName,
    /// Its listener.
    pub listener: Option<Strng>,
    /// The service that was addressed, or that is the destination.
    pub service: Option<NamespacedHostname>,
    /// The port of that service.
    pub port: Option<u16>,
    /// The [`super::Backend`] that is the destination.
    pub backend: Option<Strng>,
    /// The route that was chosen.
    pub route: Option<ObjectRef>,
    /// The name of its rule that was chosen.
    pub rule: Option<Strng>,
}

/// Something that counts, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// What counts.
    pub value: T,
    /// The object that says so.
    pub object: ObjectRef,
    /// The most specific of its targets that the place is at.
    pub target: Target,
}

/// A policy that is attached to a place, for `explain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// [`PolicyKind::label`].
    pub kind: &'static str,
    /// The object.
    pub object: ObjectRef,
    /// The most specific of its targets that the place is at.
    pub target: Target,
    /// Whether it counts; otherwise another one of its kind does instead.
    pub counts: bool,
}

/// A policy with the most specific of its targets that a place is at.
#[derive(Clone, Copy, Debug)]
struct Found<'p> {
    policy: &'p Arc<Policy>,
    target: &'p Target,
}

impl Policies {
    /// Adds a policy, or changes it.
    pub fn insert(&mut self, policy: Arc<Policy>) {
        let key = policy.key();
        self.remove(&key);
        for target in &policy.targets {
            let keys = self.by_target.entry(target.clone()).or_default();
            keys.insert(key.clone());
        }
        self.by_key.insert(key, policy);
    }

    /// Takes a policy away, by its key.
    pub fn remove(&mut self, key: &str) {
        let Some(policy) = self.by_key.remove(key) else {
            return;
        };
        for target in &policy.targets {
            if let Some(keys) = self.by_target.get_mut(target) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_target.remove(target);
                }
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl AttachedPolicies for Policies {
    fn attached_to<'p>(&'p self, target: &Target) -> impl Iterator<Item = &'p Arc<Policy>> {
        let keys = self.by_target.get(target).into_iter().flatten();
        keys.filter_map(|key| self.by_key.get(key))
    }
}

impl FromIterator<Arc<Policy>> for Policies {
    fn from_iter<I: IntoIterator<Item = Arc<Policy>>>(policies: I) -> Self {
        let mut all = Self::default();
        policies.into_iter().for_each(|policy| all.insert(policy));
        all
    }
}

impl Place {
    /// Anywhere at a gateway.
    #[must_use]
    pub fn at(gateway: NamespacedName) -> Self {
        Self {
            gateway,
            listener: None,
            service: None,
            port: None,
            backend: None,
            route: None,
            rule: None,
        }
    }

    /// The same, where a port of a service was addressed, or is the destination.
    #[must_use]
    pub fn with_service(mut self, service: ServicePort) -> Self {
        self.service = Some(service.service);
        self.port = Some(service.port);
        self
    }

    /// The same, on a listener.
    #[must_use]
    pub fn with_listener(mut self, listener: Strng) -> Self {
        self.listener = Some(listener);
        self
    }

    /// The same, towards a [`super::Backend`].
    #[must_use]
    pub fn with_backend(mut self, backend: Strng) -> Self {
        self.backend = Some(backend);
        self
    }

    /// The same, once a rule of a route was chosen.
    #[must_use]
    pub fn with_route(mut self, route: ObjectRef, rule: Option<Strng>) -> Self {
        self.route = Some(route);
        self.rule = rule;
        self
    }

    /// Everything that it is at, the most specific last. What counts at the place changes only when something that is
    /// attached to one of these does.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        let gateway = &self.gateway;
        let mut targets = vec![
            Target::Mesh,
            Target::Namespace(gateway.namespace.clone()),
            Target::Gateway(gateway.clone()),
        ];
        let listener = self.listener.iter();
        targets.extend(listener.map(|name| Target::Listener(gateway.clone(), name.clone())));
        if let Some(service) = &self.service {
            targets.push(Target::Service(service.clone()));
            targets.extend(self.port.map(|port| {
                let service = service.clone();
                Target::ServicePort(ServicePort { service, port })
            }));
        }
        targets.extend(self.backend.clone().map(Target::Backend));
        if let Some(route) = &self.route {
            targets.push(Target::Route(route.clone()));
            let rule = self.rule.iter();
            targets.extend(rule.map(|rule| Target::RouteRule(route.clone(), rule.clone())));
        }
        targets
    }
}

impl Target {
    /// The more specific, the more.
    fn rank(&self) -> u8 {
        match self {
            Self::Mesh => 0,
            Self::Namespace(_) => 1,
            Self::Gateway(_) => 2,
            Self::Listener(..) => 3,
            Self::Service(_) => 4,
            Self::ServicePort(_) => 5,
            Self::Backend(_) => 6,
            Self::Route(_) => 7,
            Self::RouteRule(..) => 8,
        }
    }
}

impl<'p> Found<'p> {
    fn given<T>(self, value: T) -> Given<T> {
        Given {
            value,
            object: self.policy.object.clone(),
            target: self.target.clone(),
        }
    }
}

/// Those that are attached to a place, each once: the most specific ones first, then the older, then by name.
fn found<'p>(policies: &'p impl AttachedPolicies, place: &Place) -> Vec<Found<'p>> {
    let mut found: Vec<Found<'p>> = Vec::new();
    let mut seen = BTreeSet::new();
    for target in place.targets().iter().rev() {
        for policy in policies.attached_to(target) {
            let named = policy.targets.iter().find(|named| *named == target);
            let first = seen.insert((&policy.object, policy.kind.label()));
            found.extend(named.filter(|_| first).map(|target| Found { policy, target }));
        }
    }
    found.sort_by(|a, b| {
        let (p, q) = (a.policy, b.policy);
        let age = p
            .created
            .cmp(&q.created)
            .then_with(|| p.object.name.cmp(&q.object.name));
        b.target
            .rank()
            .cmp(&a.target.rank())
            .then(age)
            .then_with(|| p.object.cmp(&q.object))
    });
    found
}

/// All that are of one kind.
fn all<'p, T: Clone + 'p>(
    found: &[Found<'p>],
    of: impl Fn(&'p PolicyKind) -> Option<&'p T>,
) -> Vec<Given<T>> {
    let given = |found: &Found<'p>| Some(found.given(of(&found.policy.kind)?.clone()));
    found.iter().filter_map(given).collect()
}

/// The first that is of one kind: the oldest of the most specific ones.
fn first<'p, T: Clone + 'p>(
    found: &[Found<'p>],
    of: impl Fn(&'p PolicyKind) -> Option<&'p T>,
) -> Option<Given<T>> {
    let given = |found: &Found<'p>| Some(found.given(of(&found.policy.kind)?.clone()));
    found.iter().find_map(given)
}

/// What `explain` says of the kinds that matter at a place.
fn explain(found: &[Found<'_>], matters: impl Fn(&PolicyKind) -> Merging) -> Vec<Attached> {
    let mut taken = BTreeSet::new();
    let attached = found.iter().filter_map(|found| {
        let kind = &found.policy.kind;
        let counts = match matters(kind) {
            Merging::Elsewhere => return None,
            Merging::All => true,
            Merging::First => taken.insert((kind.label(), None)),
            // Those of the most specific target replace the others.
            Merging::Level => {
                let level = (kind.label(), Some(found.target.rank()));
                let is_first = taken.iter().all(|(label, _)| *label != kind.label());
                let counts = is_first || taken.contains(&level);
                if is_first {
                    taken.insert(level);
                }
                counts
            }
        };
        Some(Attached {
            kind: kind.label(),
            object: found.policy.object.clone(),
            target: found.target.clone(),
            counts,
        })
    });
    attached.collect()
}

/// How several policies of one kind become one.
enum Merging {
    /// All count.
    All,
    /// The first one counts.
    First,
    /// All of the most specific target count.
    Level,
    /// They say nothing here.
    Elsewhere,
}

impl std::fmt::Display for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = if self.counts {
            ""
        } else {
            " (another one counts instead)"
        };
        write!(f, "{}: {} at {}{counts}", self.kind, self.object, self.target)
    }
}

#[cfg(test)]
mod tests;
