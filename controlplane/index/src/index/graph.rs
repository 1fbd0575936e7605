//! The graph: which collection follows from which.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use controlplane_collections::{Collection, Graph, Index, Value};
use controlplane_k8s_api::ObjectKey;
use controlplane_k8s_api::core::Pod;
use mesh_model::{Address, Authorization, Service, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use super::collected::collect_conditions;
use super::{AssignmentChange, Changes, ConditionChanges, ResourceChange};
use crate::assignment::{Assignment, AssignmentKey, assignment_from_pod};
use crate::config::MeshConfig;
use crate::derived::{Condition, Derived};
use crate::endpoint_slice::workloads_from_endpoint_slice;
use crate::l7::L7Graph;
use crate::lookups::{EntryLookups, Inputs, Lookups, WorkloadLookups};
use crate::pod::workload_from_pod;
use crate::service::service_from_service;
use crate::service_entry::{services_from_service_entry, workloads_from_service_entry};
use crate::settings;
use crate::waypoint::before::BeforeLookups;
use crate::waypoint::instances::GATEWAY_NAME;
use crate::waypoint::{allow, only};
use crate::workload_entry::{self, workload_from_workload_entry};
use policies::{Policies, add_policies};

mod policies;

mod statuses;

/// The graph with the handles of what goes in and what comes out.
pub(super) struct MeshGraph {
    config: Arc<MeshConfig>,
    /// The pods that a Gateway became.
    pods_by_gateway: Index<NamespacedName, NamespacedName, Pod>,
    pub(super) graph: Graph,
    pub(super) inputs: Inputs,
    /// There are as many as Pods, so what proxies are sent is all that is kept of them.
    workloads: EncodedWorkloads,
    endpoints: Collection<WorkloadUid, Derived<Workload>>,
    workload_entries: Collection<WorkloadUid, Derived<Workload>>,
    entry_endpoints: Collection<WorkloadUid, Derived<Workload>>,
    services: Collection<NamespacedHostname, Derived<Service>>,
    entry_services: Collection<NamespacedHostname, Derived<Service>>,
    lookups: WorkloadLookups,
    policies: Policies,
    peers: Policies,
    peer_statuses: Collection<NamespacedName, Derived<()>>,
    /// Policies of Namespaces that let only their waypoint in, and of waypoints.
    guards: [Policies; 2],
    assignments: Collection<AssignmentKey, Derived<Assignment>>,
    /// What Namespaces say that is not known.
    namespace_settings: Collection<Strng, Derived<()>>,
    pub(super) l7: L7Graph,
}

impl MeshGraph {
    pub(super) fn new(config: MeshConfig) -> Self {
        let config = Arc::new(config);
        let mut graph = Graph::new();
        let inputs = Inputs::new(&mut graph);
        let base = Lookups::new(&mut graph, &config, inputs);
        let entries = EntryLookups::new(&mut graph, &config, base);
        let added = add_policies(&mut graph, &config, base);
        let guards = [
            only::add_policies(&mut graph, &config, base),
            allow::add_policies(&mut graph, &config, base),
        ];
        let before = BeforeLookups::new(&mut graph, &config, base, entries);
        let lookups = WorkloadLookups {
            base,
            entries,
            before,
            policies: added.lookups,
        };
        let (workloads, endpoints, workload_entries, entry_endpoints) =
            add_workloads(&mut graph, &config, lookups);
        let (services, entry_services) = add_services(&mut graph, &config, lookups);
        let l7 = L7Graph::new(
            &mut graph,
            &config,
            lookups,
            WorkloadCollections {
                pods: workloads,
                workload_entries,
                service_entries: entry_endpoints,
            },
        );
        let mesh = config.clone();
        let assignments = graph.derive_many("assignment", inputs.pods, move |fetch, name, pod| {
            assignment_from_pod(fetch, &mesh, &base, name, pod)
                .into_iter()
                .collect()
        });
        let namespace_settings = settings::add_namespaces(&mut graph, inputs.namespaces);
        let pods_by_gateway = graph.index("pods by gateway", inputs.pods, |name, pod| {
            let gateway = pod.metadata.labels.get(GATEWAY_NAME).into_iter();
            gateway
                .map(|gateway| NamespacedName::new(name.namespace.clone(), gateway.clone()))
                .collect()
        });
        Self {
            config,
            pods_by_gateway,
            graph,
            inputs,
            workloads,
            endpoints,
            workload_entries,
            entry_endpoints,
            services,
            entry_services,
            lookups,
            policies: added.policies,
            peers: added.peers,
            peer_statuses: added.peer_statuses,
            guards,
            assignments,
            namespace_settings,
            l7,
        }
    }

    pub(super) fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        let (other_workloads, told) = (self.other_workloads(), &mut changes.conditions);
        let graph = &mut self.graph;
        changes.addresses = resources(graph, self.workloads, told, Bytes::clone);
        for collection in other_workloads {
            let workloads = resources(graph, collection, told, |w: &Workload| {
                Address::Workload(w.clone()).encode()
            });
            changes.addresses.extend(workloads);
        }
        let of_kubernetes = service_resources(graph, self.services, told);
        let of_entries = service_resources(graph, self.entry_services, told);
        changes.addresses.extend(handed_over(of_entries, of_kubernetes));
        for collection in [self.policies, self.peers].into_iter().chain(self.guards) {
            let policies = resources(graph, collection, told, Authorization::clone);
            changes.authorizations.extend(policies);
        }
        condition_changes(graph, self.lookups.base.waypoints, told);
        condition_changes(graph, self.lookups.entries.entries, told);
        condition_changes(graph, self.namespace_settings, told);
        changes.l7 = self.l7.take_changes(graph, told);
        // Unassigned first: a Pod that moved belongs nowhere for a moment, never to two nodes.
        let assignments = differences(graph, self.assignments, told);
        let (gone, assigned): (Vec<_>, Vec<_>) = assignments.into_iter().partition(|(_, new)| new.is_none());
        let gone = gone.into_iter().map(|(key, _)| AssignmentChange::Unassign(key));
        changes.assignments.extend(gone);
        let assigned = assigned.into_iter().filter_map(|(_, new)| new?.value.clone());
        changes.assignments.extend(assigned.map(AssignmentChange::Assign));
        changes
    }

    pub(super) fn conditions(&self) -> Vec<(ObjectKey, Condition)> {
        let (graph, mut conditions) = (&self.graph, Vec::new());
        collect_conditions(graph, self.workloads, &mut conditions);
        for workloads in self.other_workloads() {
            collect_conditions(graph, workloads, &mut conditions);
        }
        collect_conditions(graph, self.lookups.base.waypoints, &mut conditions);
        collect_conditions(graph, self.lookups.entries.entries, &mut conditions);
        collect_conditions(graph, self.services, &mut conditions);
        collect_conditions(graph, self.entry_services, &mut conditions);
        collect_conditions(graph, self.policies, &mut conditions);
        collect_conditions(graph, self.peers, &mut conditions);
        for guards in self.guards {
            collect_conditions(graph, guards, &mut conditions);
        }
        collect_conditions(graph, self.assignments, &mut conditions);
        collect_conditions(graph, self.namespace_settings, &mut conditions);
        self.l7.conditions(graph, &mut conditions);
        // Stable: the conditions of one object stay in their order.
        conditions.sort_by(|(a, _), (b, _)| a.cmp(b));
        conditions
    }

    /// Those that no Pod became.
    fn other_workloads(&self) -> [Workloads; 3] {
        [self.endpoints, self.workload_entries, self.entry_endpoints]
    }

    pub(super) fn workload_computations(&self) -> u64 {
        self.graph.computations(self.workloads)
    }
}

type Workloads = Collection<WorkloadUid, Derived<Workload>>;

/// Workloads as proxies are sent them.
pub(crate) type EncodedWorkloads = Collection<WorkloadUid, Derived<Bytes>>;

/// The workloads of Pods, of WorkloadEntries and of ServiceEntries.
#[derive(Clone, Copy)]
pub(crate) struct WorkloadCollections {
    pub(crate) pods: EncodedWorkloads,
    pub(crate) workload_entries: Workloads,
    pub(crate) service_entries: Workloads,
}

/// The workloads of Pods, of EndpointSlices, of WorkloadEntries and of ServiceEntries.
fn add_workloads(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    lookups: WorkloadLookups,
) -> (EncodedWorkloads, Workloads, Workloads, Workloads) {
    let inputs = lookups.base.inputs;
    let mesh = config.clone();
    let of_pods = graph.derive_many("workload", inputs.pods, move |fetch, name, pod| {
        let uid = WorkloadUid::of_pod(&mesh.cluster_id, &name.namespace, &name.name);
        let workload = workload_from_pod(fetch, &mesh, &lookups, name, pod);
        let encode = |workload| Address::Workload(workload).encode();
        vec![(uid, workload.map(encode))]
    });
    let mesh = config.clone();
    let of_slices = graph.derive_many("endpoint", inputs.slices, move |fetch, name, slice| {
        workloads_from_endpoint_slice(fetch, &mesh, &lookups.base, name, slice)
    });
    let mesh = config.clone();
    let of_workload_entries = graph.derive_many(
        "workload of a WorkloadEntry",
        inputs.workload_entries,
        move |fetch, name, entry| {
            let uid = workload_entry::uid(&mesh, name);
            vec![(
                uid,
                workload_from_workload_entry(fetch, &mesh, &lookups, name, entry),
            )]
        },
    );
    let mesh = config.clone();
    let of_service_entries = graph.derive_many(
        "endpoint of a ServiceEntry",
        inputs.service_entries,
        move |fetch, name, entry| workloads_from_service_entry(fetch, &mesh, &lookups, name, entry),
    );
    (of_pods, of_slices, of_workload_entries, of_service_entries)
}

type Services = Collection<NamespacedHostname, Derived<Service>>;

/// The services of Services, and those of ServiceEntries.
fn add_services(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    lookups: WorkloadLookups,
) -> (Services, Services) {
    let inputs = lookups.base.inputs;
    let mesh = config.clone();
    let of_services = graph.derive_many("service", inputs.services, move |fetch, name, service| {
        let hostname = crate::service::hostname(&mesh, name);
        vec![(
            hostname,
            service_from_service(fetch, &mesh, &lookups.base, name, service),
        )]
    });
    let mesh = config.clone();
    let of_entries = graph.derive_many(
        "service of a ServiceEntry",
        inputs.service_entries,
        move |fetch, name, entry| {
            services_from_service_entry(fetch, &mesh, &lookups.base, &lookups.entries, name, entry)
        },
    );
    (of_services, of_entries)
}

/// A collection's entries whose value is another one than at the last look; what is said about them goes apart.
fn differences<K: controlplane_collections::Key, T: PartialEq + Send + Sync + 'static>(
    graph: &mut Graph,
    collection: Collection<K, Derived<T>>,
    told: &mut ConditionChanges,
) -> Vec<(K, Option<Arc<Derived<T>>>)> {
    let changes = graph.take_changes(collection).into_iter().filter(|change| {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        told.take(old, new);
        old.and_then(|o| o.value.as_ref()) != new.and_then(|n| n.value.as_ref())
    });
    changes
        .map(|change| (change.key, change.new.filter(|new| new.value.is_some())))
        .collect()
}

/// What is said about a collection that nothing else is taken from.
pub(crate) fn condition_changes<K, T>(
    graph: &mut Graph,
    collection: Collection<K, Derived<T>>,
    told: &mut ConditionChanges,
) where
    K: controlplane_collections::Key,
    Derived<T>: Value,
{
    for change in graph.take_changes(collection) {
        told.take(change.old.as_deref(), change.new.as_deref());
    }
}

impl ConditionChanges {
    fn take<T>(&mut self, old: Option<&Derived<T>>, new: Option<&Derived<T>>) {
        if old.map(|o| (&o.provenance, &o.conditions)) == new.map(|n| (&n.provenance, &n.conditions)) {
            return;
        }
        self.unsaid.extend(old.into_iter().flat_map(said));
        self.said.extend(new.into_iter().flat_map(said));
    }
}

fn said<T>(derived: &Derived<T>) -> impl Iterator<Item = (ObjectKey, Condition)> {
    let conditions = derived.conditions.iter();
    conditions.map(|c| (derived.provenance.clone(), c.clone()))
}

/// What a resource is called on xDS.
pub(crate) trait ResourceName {
    fn resource_name(&self) -> Strng;
}

impl ResourceName for Strng {
    fn resource_name(&self) -> Strng {
        self.clone()
    }
}

impl ResourceName for WorkloadUid {
    fn resource_name(&self) -> Strng {
        self.clone().into()
    }
}

impl ResourceName for NamespacedName {
    fn resource_name(&self) -> Strng {
        self.to_string().into()
    }
}

impl ResourceName for NamespacedHostname {
    fn resource_name(&self) -> Strng {
        self.to_string().into()
    }
}

/// The same differences as resources, named as on xDS.
pub(crate) fn resources<K, T, R>(
    graph: &mut Graph,
    collection: Collection<K, Derived<T>>,
    told: &mut ConditionChanges,
    resource: impl Fn(&T) -> R,
) -> Vec<ResourceChange<R>>
where
    K: controlplane_collections::Key + ResourceName,
    T: PartialEq + Send + Sync + 'static,
{
    let changes = differences(graph, collection, told).into_iter();
    changes
        .map(|(key, new)| ResourceChange {
            name: key.resource_name(),
            value: new.and_then(|derived| derived.value.as_ref().map(&resource)),
        })
        .collect()
}

fn service_resources(
    graph: &mut Graph,
    services: Collection<NamespacedHostname, Derived<Service>>,
    told: &mut ConditionChanges,
) -> Vec<ResourceChange<Bytes>> {
    resources(graph, services, told, |s: &Service| {
        Address::Service(s.clone()).encode()
    })
}

/// Both sorts of services under one set of names: a host that one lost in the moment in which the other got it has only
/// changed.
fn handed_over(
    a: Vec<ResourceChange<Bytes>>,
    b: Vec<ResourceChange<Bytes>>,
) -> impl Iterator<Item = ResourceChange<Bytes>> {
    let mut changes: BTreeMap<Strng, Option<Bytes>> = BTreeMap::new();
    for change in a.into_iter().chain(b) {
        let value = changes.entry(change.name).or_default();
        *value = change.value.or_else(|| value.take());
    }
    changes
        .into_iter()
        .map(|(name, value)| ResourceChange { name, value })
}
