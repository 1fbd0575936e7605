//! The way in and out: object and registration changes in, resources and assignments out.

pub(crate) mod collected;
mod elsewhere;
pub(crate) mod graph;

use std::net::IpAddr;

use bytes::Bytes;
use controlplane_k8s_api::{Kind, Object, ObjectKey};
use mesh_model::Authorization;
use mesh_types::{NamespacedName, Strng};

use crate::allocation::{Allocator, HostAddresses};
use crate::assignment::{Assignment, AssignmentKey};
use crate::config::MeshConfig;
use crate::derived::Condition;
use crate::l7::L7Changes;
use crate::registration::{Claimed, Registration};
use crate::service_entry::{are_recorded, wanted_addresses};
use crate::status::ObjectStatus;
use crate::waypoint::Waypoints;
use graph::MeshGraph;

/// Everything that follows from the objects and registrations that it was told.
///
/// Changes are told in batches, [`Self::apply`] and [`Self::register`]; each settles at once. What changed for proxies and
/// nodes is fetched by [`Self::take_changes`].
pub struct Index {
    mesh: MeshGraph,
    addresses: Allocator,
    /// The newest claim; grows with every registration of a new instance or of other addresses.
    claims: u64,
}

/// The addresses that the status of a ServiceEntry is to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnrecordedAddresses {
    /// Which one.
    pub entry: NamespacedName,
    /// The API server's id of the instance; none of one that is no cluster's.
    pub uid: Option<Strng>,
    /// Each with its host.
    pub addresses: Vec<(Strng, IpAddr)>,
}

/// One object, as its source has it now.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every change is a Set, moved once into its collection"
)]
pub enum ObjectChange {
    /// It is new or different. Ignored kinds may be told and change nothing.
    Set(Object),
    /// It is gone.
    Remove(ObjectKey),
}

/// One Pod, as its node's agent has it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationChange {
    /// This is true of it now.
    Set(NamespacedName, Registration),
    /// It does not run any more.
    Remove(NamespacedName),
}

/// What changed since the last look; at the first look, everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Workloads and services, as they travel ([`mesh_model::Address::encode`]).
    pub addresses: Vec<ResourceChange<Bytes>>,
    /// Policies. A proxy denies what a policy that it does not know could forbid, so publish new ones before the
    /// workloads that list them, or together.
    pub authorizations: Vec<ResourceChange<Authorization>>,
    /// What belongs on which node; a Pod that moved is unassigned and assigned.
    pub assignments: Vec<AssignmentChange>,
    /// What waypoints and gateways serve, each with the gateways that it is for.
    pub l7: L7Changes,
    /// What the authors of objects should know.
    pub conditions: ConditionChanges,
}

/// What became of what the authors of objects should know. Something may be said of an object several times over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConditionChanges {
    /// What is said now.
    pub said: Vec<(ObjectKey, Condition)>,
    /// What is not said any more, as often as it is not.
    pub unsaid: Vec<(ObjectKey, Condition)>,
}

/// What became of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceChange<T> {
    /// Its name on xDS.
    pub name: Strng,
    /// Its content; nothing when it is gone.
    pub value: Option<T>,
}

/// What became of one assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AssignmentChange {
    /// The workload belongs on the node, in this way.
    Assign(Assignment),
    /// It does not belong there any more.
    Unassign(AssignmentKey),
}

impl Index {
    /// An index that knows of nothing yet.
    #[must_use]
    pub fn new(config: MeshConfig) -> Self {
        Self {
            mesh: MeshGraph::new(config),
            addresses: Allocator::default(),
            claims: 0,
        }
    }

    /// Takes changes of objects.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = ObjectChange>) {
        for change in changes {
            match change {
                ObjectChange::Set(object) => self.set(object),
                ObjectChange::Remove(key) => self.remove(key),
            }
        }
        let allocations = self.mesh.inputs.allocations;
        for (entry, addresses) in self.addresses.settle() {
            match addresses {
                Some(addresses) => self.mesh.graph.set(allocations, entry, addresses),
                None => self.mesh.graph.delete(allocations, entry),
            }
        }
        self.mesh.graph.settle();
    }

    /// Remembers the addresses that hosts were given before the process began; call it before anything else.
    pub fn restore_addresses(&mut self, addresses: HostAddresses) {
        self.addresses.restore(addresses);
    }

    /// The addresses that hosts were given, if they changed since the last call: to be kept for the next start.
    pub fn take_addresses(&mut self) -> Option<HostAddresses> {
        self.addresses.take_changed()
    }

    /// ServiceEntries whose status has other addresses than their hosts were given, in the order of names, and what each is
    /// to have.
    #[must_use]
    pub fn unrecorded_addresses(&self) -> Vec<UnrecordedAddresses> {
        let (graph, inputs) = (&self.mesh.graph, self.mesh.inputs);
        let given = |name| graph.get(inputs.allocations, name).map(|given| given.as_slice());
        let entries = graph.iter(inputs.service_entries);
        let mut lacking: Vec<UnrecordedAddresses> = entries
            .map(|(name, entry)| (name, entry, given(name).unwrap_or_default()))
            .filter(|(_, entry, given)| !are_recorded(entry, given))
            .map(|(name, entry, given)| UnrecordedAddresses {
                entry: name.clone(),
                uid: entry.metadata.uid.clone(),
                addresses: given.to_vec(),
            })
            .collect();
        lacking.sort();
        lacking
    }

    /// Takes changes of registrations. Among those that claim one address, the one that was told last has it; telling
    /// again what is known claims nothing anew.
    pub fn register(&mut self, changes: impl IntoIterator<Item = RegistrationChange>) {
        for change in changes {
            let registrations = self.mesh.inputs.registrations;
            match change {
                RegistrationChange::Set(name, registration) => {
                    let claim = self.claim(&name, &registration);
                    self.mesh
                        .graph
                        .set(registrations, name, Claimed { registration, claim });
                }
                RegistrationChange::Remove(name) => self.mesh.graph.delete(registrations, name),
            }
        }
        self.mesh.graph.settle();
    }

    /// What changed since the last call, in the order of names.
    pub fn take_changes(&mut self) -> Changes {
        self.mesh.take_changes()
    }

    /// What the authors of objects should know, in the order of objects.
    #[must_use]
    pub fn conditions(&self) -> Vec<(ObjectKey, Condition)> {
        self.mesh.conditions()
    }

    /// What every object's status says, in the order of objects; those of which nothing is to be said are left out.
    #[must_use]
    pub fn statuses(&self) -> Vec<ObjectStatus> {
        self.mesh.statuses()
    }

    /// What is to be made of Gateways of our classes.
    #[must_use]
    pub fn waypoints(&self) -> Waypoints {
        self.mesh.waypoints()
    }

    /// Objects and registrations that nothing was made of and nothing looked at, for tests: `<kind> <name>`.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        self.mesh.graph.unused()
    }

    /// How often workloads of Pods were computed, for tests of incrementality.
    #[must_use]
    pub fn workload_computations(&self) -> u64 {
        self.mesh.workload_computations()
    }

    /// How often routes were computed, for tests of incrementality.
    #[must_use]
    pub fn route_computations(&self) -> u64 {
        self.mesh.l7.route_computations(&self.mesh.graph)
    }

    /// How often policies of waypoints were computed, for tests of incrementality.
    #[must_use]
    pub fn policy_computations(&self) -> u64 {
        self.mesh.l7.policy_computations(&self.mesh.graph)
    }

    fn set(&mut self, object: Object) {
        let Some(key) = object.key() else { return };
        let (graph, inputs) = (&mut self.mesh.graph, self.mesh.inputs);
        let namespaced = NamespacedName::new(key.namespace, key.name.clone());
        match object {
            Object::Namespace(o) => graph.set(inputs.namespaces, key.name, o),
            Object::Node(o) => graph.set(inputs.nodes, key.name, o),
            Object::Pod(o) => graph.set(inputs.pods, namespaced, o),
            Object::Service(o) => graph.set(inputs.services, namespaced, o),
            Object::EndpointSlice(o) => graph.set(inputs.slices, namespaced, o),
            Object::AuthorizationPolicy(o) => graph.set(inputs.policies, namespaced, o),
            Object::PeerAuthentication(o) => graph.set(inputs.peers, namespaced, o),
            Object::ServiceEntry(o) => {
                let wanted = wanted_addresses(&o);
                self.addresses.set(&namespaced, Some(wanted));
                graph.set(inputs.service_entries, namespaced, o);
            }
            Object::WorkloadEntry(o) => graph.set(inputs.workload_entries, namespaced, o),
            Object::Gateway(o) => graph.set(inputs.gateways, namespaced, o),
            Object::GatewayClass(o) => graph.set(inputs.gateway_classes, key.name, o),
            Object::MeshConfig(o) => graph.set(inputs.mesh_configs, namespaced, *o),
            // Without a key it is ignored; a kind that is added must be added here or there.
            other => self.mesh.l7.set(graph, namespaced, other),
        }
    }

    fn remove(&mut self, key: ObjectKey) {
        let (graph, inputs) = (&mut self.mesh.graph, self.mesh.inputs);
        let namespaced = NamespacedName::new(key.namespace, key.name.clone());
        match key.kind {
            Kind::Namespace => graph.delete(inputs.namespaces, key.name),
            Kind::Node => graph.delete(inputs.nodes, key.name),
            Kind::Pod => graph.delete(inputs.pods, namespaced),
            Kind::Service => graph.delete(inputs.services, namespaced),
            Kind::EndpointSlice => graph.delete(inputs.slices, namespaced),
            Kind::AuthorizationPolicy => graph.delete(inputs.policies, namespaced),
            Kind::PeerAuthentication => graph.delete(inputs.peers, namespaced),
            Kind::ServiceEntry => {
                self.addresses.set(&namespaced, None);
                graph.delete(inputs.service_entries, namespaced);
            }
            Kind::WorkloadEntry => graph.delete(inputs.workload_entries, namespaced),
            Kind::Gateway => graph.delete(inputs.gateways, namespaced),
            Kind::GatewayClass => graph.delete(inputs.gateway_classes, key.name),
            Kind::MeshConfig => graph.delete(inputs.mesh_configs, namespaced),
            kind => self.mesh.l7.remove(graph, namespaced, kind),
        }
    }

    fn claim(&mut self, name: &NamespacedName, registration: &Registration) -> u64 {
        let known = self.mesh.graph.get(self.mesh.inputs.registrations, name);
        let same = known.filter(|k| {
            let known = &k.registration;
            (&known.node, &known.uid, &known.addresses)
                == (&registration.node, &registration.uid, &registration.addresses)
        });
        if let Some(known) = same {
            return known.claim;
        }
        self.claims += 1;
        self.claims
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("claims", &self.claims)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
