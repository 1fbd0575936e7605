//! Who belongs to the mesh on this node, by what the API server says of its pods and of all namespaces. Pure: events in,
//! changes out.
//!
//! # Layout
//! - this file: the pods, the namespaces, and what follows from both. Start here.
//! - [`object`]: what is read of a Pod and of a Namespace. [`rules`]: whether a pod is a member.
//! - [`selector`]: labels that are selected.

pub mod object;
pub mod rules;
pub mod selector;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_kube::Event;
use mesh_register::{Assignment, Membership};
use mesh_types::NamespacedName;

use object::{Labels, NamespaceObject, PodObject};
use rules::Rules;

/// What the API server says belongs on this node.
#[derive(Debug)]
pub struct Roster {
    rules: Rules,
    namespaces: Listed<String, Labels>,
    pods: Listed<NamespacedName, PodObject>,
    /// What was handed on.
    expected: BTreeMap<NamespacedName, Expected>,
    said_complete: bool,
}

/// A pod of this node, and what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What it is to be.
    pub assignment: Assignment,
    /// Which pod of this name.
    pub instance: Instance,
    /// What of its annotations is without effect, one line each.
    pub warnings: Vec<String>,
}

/// A pod as it runs, or is about to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its uid, as the runtime is told it.
    pub uid: String,
    /// Its addresses; none before its network is there.
    pub ips: Vec<IpAddr>,
    /// What the annotation says of it now.
    pub redirection: Option<String>,
}

/// What follows from an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pod is there, or is to be something else.
    Expect(Box<Expected>),
    /// A pod is not there any more, or has ended.
    Gone(NamespacedName),
    /// From now on everything is known.
    Complete,
}

/// Objects of one kind, complete after the first list.
#[derive(Debug)]
struct Listed<K, V> {
    objects: BTreeMap<K, V>,
    /// What the list that has begun named so far.
    listing: Option<BTreeSet<K>>,
    complete: bool,
}

impl Roster {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            namespaces: Listed::default(),
            pods: Listed::default(),
            expected: BTreeMap::new(),
            said_complete: false,
        }
    }

    /// Something is said of the pods of this node.
    pub fn pods(&mut self, event: Event<PodObject>) -> Vec<Change> {
        let changed = self.pods.take(event, |pod| (pod.name(), Some(pod)));
        self.derive(changed)
    }

    /// Something is said of the namespaces.
    pub fn namespaces(&mut self, event: Event<NamespaceObject>) -> Vec<Change> {
        let changed = self.namespaces.take(event, |namespace| {
            (namespace.metadata.name, Some(namespace.metadata.labels))
        });
        let touched = |name: &&NamespacedName| {
            changed
                .iter()
                .any(|namespace| name.namespace == namespace.as_str())
        };
        let pods = self.pods.objects.keys().filter(touched).cloned().collect();
        self.derive(pods)
    }

    /// A pod whose object cannot be read stays as it was.
    pub fn malformed_pod(&mut self, name: NamespacedName) {
        self.pods.keep(name);
    }

    /// A namespace whose object cannot be read stays as it was.
    pub fn malformed_namespace(&mut self, name: String) {
        self.namespaces.keep(name);
    }

    fn derive(&mut self, pods: BTreeSet<NamespacedName>) -> Vec<Change> {
        // Until all labels are known, nobody is told to leave the mesh, nor to join it.
        if !(self.pods.complete && self.namespaces.complete) {
            return Vec::new();
        }
        let first = !std::mem::replace(&mut self.said_complete, true);
        let pods = match first {
            true => self.pods.objects.keys().cloned().collect(),
            false => pods,
        };
        let mut changes: Vec<_> = pods
            .into_iter()
            .filter_map(|name| self.derive_one(name))
            .collect();
        if first {
            changes.push(Change::Complete);
        }
        changes
    }

    fn derive_one(&mut self, name: NamespacedName) -> Option<Change> {
        let now = self.pods.objects.get(&name).filter(|pod| !pod.has_ended());
        let Some(pod) = now else {
            return self.expected.remove(&name).map(|_| Change::Gone(name));
        };
        let expected = self.expect(&name, pod);
        if self.expected.get(&name) == Some(&expected) {
            return None;
        }
        self.expected.insert(name, expected.clone());
        Some(Change::Expect(Box::new(expected)))
    }

    fn expect(&self, name: &NamespacedName, pod: &PodObject) -> Expected {
        let none = Labels::new();
        let namespace = self
            .namespaces
            .objects
            .get(name.namespace.as_str())
            .unwrap_or(&none);
        let (options, warnings) = rules::options(pod);
        Expected {
            assignment: Assignment {
                workload: name.clone(),
                service_account: pod.service_account().into(),
                membership: match self.rules.is_member(pod, namespace) {
                    true => Membership::Member,
                    false => Membership::Outside,
                },
                options,
            },
            instance: Instance {
                uid: pod.uid().to_owned(),
                ips: pod.ips(),
                redirection: pod.metadata.annotations.get(REDIRECTION).cloned(),
            },
            warnings,
        }
    }
}

impl<K: Ord + Clone, V> Listed<K, V> {
    /// Takes an event; returns whose content may differ.
    fn take<T>(&mut self, event: Event<T>, read: impl FnOnce(T) -> (K, Option<V>)) -> BTreeSet<K> {
        match event {
            Event::ListBegins => {
                self.listing = Some(BTreeSet::new());
                BTreeSet::new()
            }
            Event::Listed(object) => {
                let (key, value) = read(object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(key.clone());
                }
                self.set(key, value)
            }
            Event::Applied(object) => {
                let (key, value) = read(object);
                self.set(key, value)
            }
            Event::Deleted(object) => {
                let (key, _) = read(object);
                self.set(key, None)
            }
            Event::ListEnds => {
                self.complete = true;
                let named = self.listing.take().unwrap_or_default();
                let gone: BTreeSet<_> = self
                    .objects
                    .keys()
                    .filter(|key| !named.contains(key))
                    .cloned()
                    .collect();
                self.objects.retain(|key, _| named.contains(key));
                gone
            }
        }
    }

    fn set(&mut self, key: K, value: Option<V>) -> BTreeSet<K> {
        match value {
            Some(value) => drop(self.objects.insert(key.clone(), value)),
            None => drop(self.objects.remove(&key)),
        }
        BTreeSet::from([key])
    }

    /// It exists, whatever it is.
    fn keep(&mut self, key: K) {
        if let Some(listing) = &mut self.listing {
            listing.insert(key);
        }
    }
}

impl<K, V> Default for Listed<K, V> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            listing: None,
            complete: false,
        }
    }
}

/// Whether a pod's traffic passes ztunnel; upstream's control plane reads it too.
pub const REDIRECTION: &str = "ambient.istio.io/redirection";

#[cfg(test)]
mod tests;
