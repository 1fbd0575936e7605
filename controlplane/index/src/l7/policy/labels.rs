//! The labels of endpoints that waypoints choose by: those that subsets and preferences name, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph, Index};
use controlplane_k8s_api::{Kind, Labels, ObjectKey};
use mesh_model::l7::{EndpointLabels, Policy};
use mesh_model::{Address, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use super::destination_rule::named_labels;
use super::graph::Surroundings;
use crate::config::MeshConfig;
use crate::derived::Derived;
use crate::index::graph::WorkloadCollections;
use crate::l7::Scoped;
use crate::l7::hosts::Gateways;
use crate::service_entry;
use crate::workload_entry;

/// The labels that a DestinationRule gives a meaning, of whose endpoints, and whom they matter to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NamedLabels {
    services: BTreeSet<NamespacedHostname>,
    labels: BTreeSet<Strng>,
    gateways: Gateways,
}

/// What is known of the labels that count.
#[derive(Clone, Copy)]
pub(super) struct LabelLookups {
    by_service: Index<NamespacedHostname, Strng, NamedLabels>,
    any: Collection<(), ()>,
}

/// A workload's labels, by its uid.
pub(super) type LoweredLabels = (WorkloadUid, Derived<Scoped<EndpointLabels>>);

impl LabelLookups {
    pub(super) fn new(graph: &mut Graph, rules: Collection<Strng, Derived<Scoped<Policy>>>) -> Self {
        let named = graph.derive("labels that count", rules, |_, _, derived| {
            let scoped = derived.value.as_ref()?;
            let (services, labels) = named_labels(&scoped.value);
            (!labels.is_empty()).then(|| NamedLabels {
                services: services.into_iter().collect(),
                labels: labels.into_iter().collect(),
                gateways: scoped.gateways.clone(),
            })
        });
        Self {
            by_service: graph.index("labels that count by service", named, |_, named| {
                named.services.iter().cloned().collect()
            }),
            any: graph.groups("any label that counts", named, |_, _| vec![()]),
        }
    }

    /// Whether any labels count at all. Most meshes name none, and then nothing is looked up for each Pod.
    fn are_any(&self, fetch: &Fetch<'_>) -> bool {
        fetch.get(self.any, &()).is_some()
    }

    /// The labels of a workload that count; nothing where none do.
    pub(super) fn of(
        &self,
        fetch: &Fetch<'_>,
        (kind, object): (Kind, &NamespacedName),
        uid: &WorkloadUid,
        workload: &Workload,
        labels: &Labels,
    ) -> Option<LoweredLabels> {
        let mut counting = BTreeMap::new();
        let mut gateways = Gateways::new();
        for service in workload.services.keys() {
            for (_, named) in fetch.by(self.by_service, service) {
                gateways.extend(named.gateways.iter().cloned());
                let known = named.labels.iter().filter(|name| !name.is_empty());
                counting.extend(known.filter_map(|name| Some((name.clone(), labels.get(name)?.clone()))));
            }
        }
        let value = EndpointLabels {
            workload: uid.clone(),
            labels: counting,
        };
        let provenance = ObjectKey {
            kind,
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        };
        Some((uid.clone(), Derived::of(provenance, Scoped::of(value, gateways)?)))
    }
}

/// The labels of Pods, of WorkloadEntries and of what ServiceEntries list.
pub(super) fn all(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    around: &Surroundings,
    lookups: LabelLookups,
) -> Vec<Collection<WorkloadUid, Derived<Scoped<EndpointLabels>>>> {
    let inputs = around.base.inputs;
    let WorkloadCollections {
        pods: of_pods,
        workload_entries: of_workload_entries,
        service_entries: of_service_entries,
    } = around.workloads;
    let mesh = config.clone();
    let pods = graph.derive_many("labels of a Pod", inputs.pods, move |fetch, name, pod| {
        if !lookups.are_any(fetch) {
            return Vec::new();
        }
        let uid = WorkloadUid::of_pod(&mesh.cluster_id, &name.namespace, &name.name);
        let encoded = fetch.get(of_pods, &uid).and_then(|derived| derived.value.clone());
        let labels = &pod.metadata.labels;
        // It was encoded here: it can be read.
        let found = match encoded.map(|body| Address::decode(uid.as_str(), body)) {
            Some(Ok(Address::Workload(workload))) => {
                lookups.of(fetch, (Kind::Pod, name), &uid, &workload, labels)
            }
            _ => None,
        };
        found.into_iter().collect()
    });
    let mesh = config.clone();
    let entries = graph.derive_many(
        "labels of a WorkloadEntry",
        inputs.workload_entries,
        move |fetch, name, entry| {
            let uid = workload_entry::uid(&mesh, name);
            let workload = fetch.get(of_workload_entries, &uid);
            let workload = workload.and_then(|derived| derived.value.as_ref());
            let mut labels = entry.spec.labels.clone();
            labels.extend(entry.metadata.labels.clone());
            let object = (Kind::WorkloadEntry, name);
            let found = workload.and_then(|w| lookups.of(fetch, object, &uid, w, &labels));
            found.into_iter().collect()
        },
    );
    let mesh = config.clone();
    let listed = graph.derive_many(
        "labels of a ServiceEntry's endpoint",
        inputs.service_entries,
        move |fetch, name, entry| {
            let labelled = service_entry::labelled_endpoints(&mesh, name, entry).into_iter();
            let found = labelled.filter_map(|(uid, labels)| {
                let workload = fetch.get(of_service_entries, &uid)?.value.as_ref()?;
                lookups.of(fetch, (Kind::ServiceEntry, name), &uid, workload, labels)
            });
            found.collect()
        },
    );
    vec![pods, entries, listed]
}

#[cfg(test)]
mod tests;
