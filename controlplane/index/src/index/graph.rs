//! The graph: which collection follows from which.

use std::sync::Arc;

use controlplane_collections::{Collection, Graph, Value};
use controlplane_k8s_api::ObjectKey;
use mesh_model::{Address, Authorization, Service, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use super::{AssignmentChange, Changes, ResourceChange};
use crate::assignment::{Assignment, AssignmentKey, assignment_from_pod};
use crate::authorization_policy::{self, authorization_from_policy};
use crate::config::MeshConfig;
use crate::derived::{Condition, Derived};
use crate::endpoint_slice::workloads_from_endpoint_slice;
use crate::labels::LabelKey;
use crate::lookups::{Inputs, Lookups, PolicyLookups};
use crate::peer_authentication::{self, SelectedMode, authorization_from_peer_authentication};
use crate::pod::workload_from_pod;
use crate::service::service_from_service;

/// The graph with the handles of what goes in and what comes out.
pub(super) struct MeshGraph {
    pub(super) graph: Graph,
    pub(super) inputs: Inputs,
    workloads: Collection<WorkloadUid, Derived<Workload>>,
    endpoints: Collection<WorkloadUid, Derived<Workload>>,
    services: Collection<NamespacedHostname, Derived<Service>>,
    policies: Collection<NamespacedName, Derived<Authorization>>,
    peers: Collection<NamespacedName, Derived<Authorization>>,
    assignments: Collection<AssignmentKey, Derived<Assignment>>,
    assignments_by_node: controlplane_collections::Index<Strng, AssignmentKey, Derived<Assignment>>,
    assignments_by_account: controlplane_collections::Index<Account, AssignmentKey, Derived<Assignment>>,
}

/// Node, namespace and service account.
type Account = (Strng, Strng, Strng);

impl MeshGraph {
    pub(super) fn new(config: MeshConfig) -> Self {
        let config = Arc::new(config);
        let mut graph = Graph::new();
        let inputs = Inputs::new(&mut graph);
        let lookups = Lookups::new(&mut graph, inputs);
        let (policies, peers, policy_lookups) = add_policies(&mut graph, &config, inputs);
        let mesh = config.clone();
        let workloads = graph.derive_many("workload", inputs.pods, move |fetch, name, pod| {
            let uid = WorkloadUid::of_pod(&mesh.cluster_id, &name.namespace, &name.name);
            vec![(
                uid,
                workload_from_pod(fetch, &mesh, &lookups, &policy_lookups, name, pod),
            )]
        });
        let mesh = config.clone();
        let endpoints = graph.derive_many("endpoint", inputs.slices, move |fetch, name, slice| {
            workloads_from_endpoint_slice(fetch, &mesh, &lookups, name, slice)
        });
        let mesh = config.clone();
        let services = graph.derive_many("service", inputs.services, move |fetch, name, service| {
            let hostname = crate::service::hostname(&mesh, name);
            vec![(
                hostname,
                service_from_service(fetch, &mesh, &lookups, name, service),
            )]
        });
        let assignments = graph.derive_many("assignment", inputs.pods, move |fetch, name, pod| {
            assignment_from_pod(fetch, &config, &lookups, name, pod)
                .into_iter()
                .collect()
        });
        let assignments_by_node = graph.index("assignments by node", assignments, |key, _| {
            vec![key.node.clone()]
        });
        let assignments_by_account = graph.index("assignments by account", assignments, |key, derived| {
            let account = derived.value.iter().map(|a| a.service_account.clone());
            account
                .map(|a| (key.node.clone(), key.workload.namespace.clone(), a))
                .collect()
        });
        Self {
            graph,
            inputs,
            workloads,
            endpoints,
            services,
            policies,
            peers,
            assignments,
            assignments_by_node,
            assignments_by_account,
        }
    }

    pub(super) fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for collection in [self.workloads, self.endpoints] {
            let workloads = resources(&mut self.graph, collection, |w: &Workload| {
                Address::Workload(w.clone())
            });
            changes.addresses.extend(workloads);
        }
        let services = resources(&mut self.graph, self.services, |s: &Service| {
            Address::Service(s.clone())
        });
        changes.addresses.extend(services);
        for collection in [self.policies, self.peers] {
            let policies = resources(&mut self.graph, collection, Authorization::clone);
            changes.authorizations.extend(policies);
        }
        // Unassigned first: a Pod that moved belongs nowhere for a moment, never to two nodes.
        let assignments = differences(&mut self.graph, self.assignments);
        let (gone, assigned): (Vec<_>, Vec<_>) = assignments.into_iter().partition(|(_, new)| new.is_none());
        let gone = gone.into_iter().map(|(key, _)| AssignmentChange::Unassign(key));
        changes.assignments.extend(gone);
        let assigned = assigned.into_iter().filter_map(|(_, new)| new?.value.clone());
        changes.assignments.extend(assigned.map(AssignmentChange::Assign));
        changes
    }

    pub(super) fn assignments<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Assignment> + use<'a> {
        let on_node = self.graph.by(self.assignments_by_node, &Strng::from(node));
        on_node.filter_map(|(_, derived)| derived.value.as_ref())
    }

    pub(super) fn runs_on(&self, node: &str, namespace: &str, service_account: &str) -> bool {
        let account = (node.into(), namespace.into(), service_account.into());
        self.graph
            .by(self.assignments_by_account, &account)
            .next()
            .is_some()
    }

    pub(super) fn conditions(&self) -> Vec<(ObjectKey, Condition)> {
        let mut conditions = Vec::new();
        self.collect_conditions(self.workloads, &mut conditions);
        self.collect_conditions(self.endpoints, &mut conditions);
        self.collect_conditions(self.services, &mut conditions);
        self.collect_conditions(self.policies, &mut conditions);
        self.collect_conditions(self.peers, &mut conditions);
        self.collect_conditions(self.assignments, &mut conditions);
        // Stable: the conditions of one object stay in their order.
        conditions.sort_by(|(a, _), (b, _)| a.cmp(b));
        conditions
    }

    pub(super) fn workload_computations(&self) -> u64 {
        self.graph.computations(self.workloads)
    }

    fn collect_conditions<K, T>(&self, of: Collection<K, Derived<T>>, into: &mut Vec<(ObjectKey, Condition)>)
    where
        K: controlplane_collections::Key,
        Derived<T>: Value,
    {
        for (_, derived) in self.graph.iter(of) {
            let conditions = derived.conditions.iter();
            into.extend(conditions.map(|c| (derived.provenance.clone(), c.clone())));
        }
    }
}

type Policies = Collection<NamespacedName, Derived<Authorization>>;

/// What policies become, and what Pods look up to find theirs.
fn add_policies(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    inputs: Inputs,
) -> (Policies, Policies, PolicyLookups) {
    let mesh = config.clone();
    let policies = graph.derive("authorization", inputs.policies, move |_, name, policy| {
        Some(authorization_from_policy(&mesh, name, policy))
    });
    // Only selectors of policies that are sent, and nothing but the selectors: an edited rule wakes no Pod.
    let selectors = graph.derive("selector", inputs.policies, move |fetch, name, policy| {
        fetch.get(policies, name)?.value.as_ref()?;
        authorization_policy::selector(policy).cloned()
    });
    let namespace_peers = graph.index("PeerAuthentications of namespaces", inputs.peers, |name, peer| {
        let of_namespace = peer_authentication::selector(peer).is_none();
        of_namespace.then(|| name.namespace.clone()).into_iter().collect()
    });
    let mesh = config.clone();
    let converted = graph.derive(
        "converted PeerAuthentication",
        inputs.peers,
        move |fetch, name, peer| {
            Some(authorization_from_peer_authentication(
                fetch,
                &mesh,
                namespace_peers,
                name,
                peer,
            ))
        },
    );
    let modes = graph.derive("selected mode", converted, |_, _, (_, mode): &Converted| {
        mode.clone()
    });
    let mesh = config.clone();
    let peers = graph.derive_many(
        "policy of PeerAuthentication",
        converted,
        move |_, name, (own, _)| {
            let shared = peer_authentication::static_strict(&mesh);
            let name = peer_authentication::own_policy(name);
            vec![
                (name, own.clone()),
                (shared.name.clone(), Derived::of(own.provenance.clone(), shared)),
            ]
        },
    );
    let lookups = PolicyLookups {
        namespace_peers,
        selected_modes: graph.index("modes by label", modes, move |name, mode: &SelectedMode| {
            LabelKey::of_selector(&name.namespace, &mode.selector)
                .into_iter()
                .collect()
        }),
        selectors: graph.index("selectors by label", selectors, move |name, selector| {
            LabelKey::of_selector(&name.namespace, selector)
                .into_iter()
                .collect()
        }),
    };
    (policies, peers, lookups)
}

type Converted = (Derived<Authorization>, Option<SelectedMode>);

/// A collection's entries whose value is another one than at the last look; conditions and provenance do not count.
fn differences<K: controlplane_collections::Key, T: PartialEq + Send + Sync + 'static>(
    graph: &mut Graph,
    collection: Collection<K, Derived<T>>,
) -> Vec<(K, Option<Arc<Derived<T>>>)> {
    let changes = graph.take_changes(collection).into_iter().filter(|change| {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        old.and_then(|o| o.value.as_ref()) != new.and_then(|n| n.value.as_ref())
    });
    changes
        .map(|change| (change.key, change.new.filter(|new| new.value.is_some())))
        .collect()
}

/// The same differences as resources, named as on xDS.
fn resources<K, T, R>(
    graph: &mut Graph,
    collection: Collection<K, Derived<T>>,
    resource: impl Fn(&T) -> R,
) -> Vec<ResourceChange<R>>
where
    K: controlplane_collections::Key + std::fmt::Display,
    T: PartialEq + Send + Sync + 'static,
{
    let changes = differences(graph, collection).into_iter();
    changes
        .map(|(key, new)| ResourceChange {
            name: key.to_string().into(),
            value: new.and_then(|derived| derived.value.as_ref().map(&resource)),
        })
        .collect()
}
