//! The collections that derivations look into.
//!
//! Derivations never look at a whole Namespace or Node: what they need of it is a collection of its own, so that a
//! heartbeat or an unrelated label wakes nobody.

use std::net::IpAddr;
use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph, Index};
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::core::{Namespace, Node, Pod};
use controlplane_k8s_api::gateway::{Gateway, GatewayClass};
use controlplane_k8s_api::mesh::{self, MeshConfig as MeshConfigObject};
use controlplane_k8s_api::networking::{ServiceEntry, WorkloadEntry, WorkloadSelector};
use controlplane_k8s_api::security::{AuthorizationPolicy, PeerAuthentication};
use controlplane_k8s_api::service::{EndpointSlice, SERVICE_NAME_LABEL, Service};
use mesh_model::workload::Locality;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::allocation::EntryAddresses;
use crate::config::{MeshConfig, VisibilityRule};
use crate::derived::Derived;
use crate::labels::{LabelKey, Selectors, selects};
use crate::peer_authentication::SelectedMode;
use crate::registration::Claimed;
use crate::service;
use crate::service_entry::{self, Entry, entry_from_service_entry};
use crate::waypoint::before::BeforeLookups;
use crate::waypoint::binding::Wish;
use crate::waypoint::{Waypoint, waypoint_from_gateway};

/// What is filled from outside.
#[derive(Clone, Copy)]
pub(crate) struct Inputs {
    pub(crate) namespaces: Collection<Strng, Namespace>,
    pub(crate) nodes: Collection<Strng, Node>,
    pub(crate) pods: Collection<NamespacedName, Pod>,
    pub(crate) services: Collection<NamespacedName, Service>,
    pub(crate) slices: Collection<NamespacedName, EndpointSlice>,
    pub(crate) policies: Collection<NamespacedName, AuthorizationPolicy>,
    pub(crate) peers: Collection<NamespacedName, PeerAuthentication>,
    pub(crate) service_entries: Collection<NamespacedName, ServiceEntry>,
    pub(crate) workload_entries: Collection<NamespacedName, WorkloadEntry>,
    pub(crate) gateways: Collection<NamespacedName, Gateway>,
    pub(crate) gateway_classes: Collection<Strng, GatewayClass>,
    pub(crate) mesh_configs: Collection<NamespacedName, MeshConfigObject>,
    /// The addresses that were given to a ServiceEntry's hosts.
    pub(crate) allocations: Collection<NamespacedName, EntryAddresses>,
    pub(crate) registrations: Collection<NamespacedName, Claimed>,
}

/// What derivations look into.
#[derive(Clone, Copy)]
pub(crate) struct Lookups {
    pub(crate) inputs: Inputs,
    pub(crate) namespaces: NamespaceLookups,
    /// Which object is the mesh's configuration.
    pub(crate) mesh_config: MeshConfigLookup,
    /// Who may know of ServiceEntries, where the mesh's configuration says.
    pub(crate) visibility: Collection<(), Vec<VisibilityRule>>,
    pub(crate) waypoints: Collection<NamespacedName, Derived<Waypoint>>,
    pub(crate) localities: Collection<Strng, Locality>,
    pub(crate) registrations_by_address: Index<IpAddr, NamespacedName, Claimed>,
    /// Whether anything is registered: where the API server says what runs, nothing is, and no Pod has to note that it is not
    /// among them.
    pub(crate) any_registration: Collection<(), ()>,
    pub(crate) services_by_label: Index<LabelKey, NamespacedName, Service>,
    /// Of Services without a selector: those of the others say of their Pods what the selector says, and change whenever any of
    /// a hundred Pods does.
    pub(crate) slices_by_pod: Index<NamespacedName, NamespacedName, EndpointSlice>,
    /// The namespaces of their Pods.
    pub(crate) sliced_namespaces: Collection<Strng, ()>,
    pub(crate) entries_by_host: Index<Strng, NamespacedName, ServiceEntry>,
}

/// What namespaces say.
#[derive(Clone, Copy)]
pub(crate) struct NamespaceLookups {
    /// All labels of a namespace; only for selectors of namespaces.
    pub(crate) labels: Collection<Strng, Labels>,
    /// The network that its label names.
    networks: Collection<Strng, Strng>,
    /// The traffic distribution that its annotation names.
    pub(crate) distributions: Collection<Strng, Strng>,
    /// The data plane mode that its label names.
    pub(crate) modes: Collection<Strng, Strng>,
    /// What it says about waypoints.
    pub(crate) wishes: Collection<Strng, Wish>,
}

/// What holds for ServiceEntries, and whom they select.
#[derive(Clone, Copy)]
pub(crate) struct EntryLookups {
    pub(crate) entries: Collection<NamespacedName, Derived<Entry>>,
    selectors: Selectors<ServiceEntry>,
}

/// What derivations of workloads look into.
#[derive(Clone, Copy)]
pub(crate) struct WorkloadLookups {
    pub(crate) base: Lookups,
    pub(crate) entries: EntryLookups,
    pub(crate) before: BeforeLookups,
    pub(crate) policies: PolicyLookups,
}

/// The policies that select Pods by label.
#[derive(Clone, Copy)]
pub(crate) struct PolicyLookups {
    /// PeerAuthentications without a selector.
    pub(crate) namespace_peers: Index<Strng, NamespacedName, PeerAuthentication>,
    /// PeerAuthentications with one.
    pub(crate) selected_modes: Selectors<SelectedMode>,
    /// The selectors of AuthorizationPolicies that are sent.
    pub(crate) selectors: Selectors<Labels>,
}

impl Inputs {
    pub(crate) fn new(graph: &mut Graph) -> Self {
        Self {
            namespaces: graph.input("Namespace"),
            nodes: graph.input("Node"),
            pods: graph.input("Pod"),
            services: graph.input("Service"),
            slices: graph.input("EndpointSlice"),
            policies: graph.input("AuthorizationPolicy"),
            peers: graph.input("PeerAuthentication"),
            service_entries: graph.input("ServiceEntry"),
            workload_entries: graph.input("WorkloadEntry"),
            gateways: graph.input("Gateway"),
            gateway_classes: graph.input("GatewayClass"),
            mesh_configs: graph.input("MeshConfig"),
            allocations: graph.input("Allocation"),
            registrations: graph.input("Registration"),
        }
    }
}

impl Lookups {
    pub(crate) fn new(graph: &mut Graph, config: &Arc<MeshConfig>, inputs: Inputs) -> Self {
        let namespaces = NamespaceLookups::new(graph, inputs);
        let mesh_config = MeshConfigLookup::new(graph, config, inputs);
        let visibility = graph.derive_many("visibility", inputs.mesh_configs, move |fetch, name, object| {
            let said = object.spec.service_entry_visibility.as_ref();
            let said = said.filter(|_| mesh_config.counts(fetch, name));
            said.map(|said| ((), VisibilityRule::of_mesh(said)))
                .into_iter()
                .collect()
        });
        let mesh = config.clone();
        let waypoints = graph.derive("waypoint", inputs.gateways, move |fetch, name, gateway| {
            waypoint_from_gateway(fetch, &mesh, inputs, &namespaces, name, gateway)
        });
        let by_hand = graph.derive("slice by hand", inputs.slices, move |fetch, name, slice| {
            is_by_hand(fetch, inputs, name, slice).then(|| slice.clone())
        });
        Self {
            inputs,
            namespaces,
            mesh_config,
            visibility,
            waypoints,
            localities: graph.derive("locality", inputs.nodes, |_, _, node| Some(locality(node))),
            registrations_by_address: graph.index(
                "registrations by address",
                inputs.registrations,
                |_, claimed| claimed.registration.addresses.clone(),
            ),
            any_registration: graph.groups("any registration", inputs.registrations, |_, _| vec![()]),
            services_by_label: graph.index("services by label", inputs.services, |name, service| {
                LabelKey::of_selector(&name.namespace, &service.spec.selector)
                    .into_iter()
                    .collect()
            }),
            slices_by_pod: graph.index("slices by pod", by_hand, |_, slice| pods_of(slice)),
            sliced_namespaces: graph.groups("namespaces of slices by hand", by_hand, |_, slice| {
                let mut namespaces: Vec<Strng> =
                    pods_of(slice).into_iter().map(|pod| pod.namespace).collect();
                namespaces.dedup();
                namespaces
            }),
            entries_by_host: graph.index("entries by host", inputs.service_entries, |_, entry| {
                entry.spec.hosts.iter().map(service_entry::normal).collect()
            }),
        }
    }
}

/// Which object is the mesh's configuration: of those of our revision in the root namespace the first by name.
#[derive(Clone, Copy)]
pub(crate) struct MeshConfigLookup {
    ours: Index<(), NamespacedName, MeshConfigObject>,
}

impl MeshConfigLookup {
    fn new(graph: &mut Graph, config: &Arc<MeshConfig>, inputs: Inputs) -> Self {
        let mesh = config.clone();
        let ours = graph.index(
            "MeshConfigs of our revision",
            inputs.mesh_configs,
            move |name, _| {
                let ours =
                    name.namespace == mesh.root_namespace && mesh::is_of_revision(&name.name, &mesh.revision);
                ours.then_some(()).into_iter().collect()
            },
        );
        Self { ours }
    }

    /// The one that counts.
    pub(crate) fn get<'a>(&self, fetch: &Fetch<'a>) -> Option<&'a NamespacedName> {
        fetch.by(self.ours, &()).next().map(|(name, _)| name)
    }

    /// Whether an object is it.
    pub(crate) fn counts(&self, fetch: &Fetch<'_>, name: &NamespacedName) -> bool {
        self.get(fetch) == Some(name)
    }
}

impl NamespaceLookups {
    fn new(graph: &mut Graph, inputs: Inputs) -> Self {
        let namespaces = inputs.namespaces;
        Self {
            labels: graph.derive("namespace labels", namespaces, |_, _, namespace| {
                Some(namespace.metadata.labels.clone())
            }),
            networks: label(graph, "network", namespaces, NETWORK_LABEL),
            distributions: graph.derive("traffic distribution", namespaces, |_, _, namespace| {
                namespace.metadata.annotations.get(TRAFFIC_DISTRIBUTION).cloned()
            }),
            modes: label(graph, "data plane mode", namespaces, DATAPLANE_MODE),
            wishes: graph.derive("namespace waypoint", namespaces, |_, _, namespace| {
                let metadata = &namespace.metadata;
                let wish = Wish::of(&metadata.labels, &metadata.annotations);
                (wish != Wish::default()).then_some(wish)
            }),
        }
    }

    /// The network of this cluster's addresses, outside of a derivation.
    pub(crate) fn network_now(&self, graph: &Graph, root_namespace: &Strng) -> Strng {
        let network = graph.get(self.networks, root_namespace);
        network.map(|network| Strng::clone(network)).unwrap_or_default()
    }

    /// The network of this cluster's addresses: what the root namespace's label says.
    pub(crate) fn network(&self, fetch: &Fetch<'_>, config: &MeshConfig) -> Strng {
        fetch
            .get(self.networks, &config.root_namespace)
            .cloned()
            .unwrap_or_default()
    }
}

impl EntryLookups {
    pub(crate) fn new(graph: &mut Graph, config: &Arc<MeshConfig>, lookups: Lookups) -> Self {
        let (inputs, mesh) = (lookups.inputs, config.clone());
        let entries = graph.derive(
            "service entry",
            inputs.service_entries,
            move |fetch, name, entry| Some(entry_from_service_entry(fetch, &mesh, &lookups, name, entry)),
        );
        let selectors = Selectors::new(graph, "entries by label", inputs.service_entries, |entry| {
            entry.spec.workload_selector.as_ref().map(|s| &s.labels)
        });
        Self { entries, selectors }
    }

    /// The hosts of ServiceEntries that select a workload, and the entries.
    pub(crate) fn selecting<'a>(
        &self,
        fetch: &Fetch<'a>,
        namespace: &Strng,
        labels: &Labels,
    ) -> Vec<(NamespacedHostname, &'a ServiceEntry)> {
        let mut found = Vec::new();
        for (name, entry) in self.selectors.candidates(fetch, namespace, labels) {
            let selects = |s: &WorkloadSelector| selects(&s.labels, labels);
            if !entry.spec.workload_selector.as_ref().is_some_and(selects) {
                continue;
            }
            let facts = fetch.get(self.entries, name).and_then(|d| d.value.as_ref());
            let hosts = facts.into_iter().flat_map(|f| &f.hosts);
            found.extend(hosts.map(|host| (host.name.clone(), entry)));
        }
        found
    }
}

fn label(
    graph: &mut Graph,
    name: &'static str,
    namespaces: Collection<Strng, Namespace>,
    label: &'static str,
) -> Collection<Strng, Strng> {
    graph.derive(name, namespaces, move |_, _, namespace| {
        namespace.metadata.labels.get(label).cloned()
    })
}

fn locality(node: &Node) -> Locality {
    let label = |name: &str| node.metadata.labels.get(name).cloned().unwrap_or_default();
    Locality {
        region: label("topology.kubernetes.io/region"),
        zone: label("topology.kubernetes.io/zone"),
        subzone: label("topology.istio.io/subzone"),
    }
}

/// Whether a slice alone says which Pods stand behind its Service.
fn is_by_hand(fetch: &Fetch<'_>, inputs: Inputs, name: &NamespacedName, slice: &EndpointSlice) -> bool {
    let Some(service) = slice.metadata.labels.get(SERVICE_NAME_LABEL) else {
        return false;
    };
    let service = NamespacedName::new(name.namespace.clone(), service.clone());
    let service = fetch.get(inputs.services, &service);
    service.is_some_and(|service| service.spec.selector.is_empty() && !service::is_alias(service))
}

fn pods_of(slice: &EndpointSlice) -> Vec<NamespacedName> {
    let targets = slice.spec.endpoints.iter().filter_map(|e| e.target_ref.as_ref());
    let pods = targets.filter(|t| t.kind == "Pod");
    let mut pods: Vec<_> = pods
        .map(|t| NamespacedName::new(t.namespace.clone(), t.name.clone()))
        .collect();
    pods.sort();
    pods.dedup();
    pods
}

const NETWORK_LABEL: &str = "topology.istio.io/network";
/// Whether Pods are members: `ambient` or `none`.
pub(crate) const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
/// On a Service or a Namespace.
pub(crate) const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
