//! The collections that derivations look into.
//!
//! Derivations never look at a whole Namespace or Node: what they need of it is a collection of its own, so that a
//! heartbeat or an unrelated label wakes nobody.

use std::net::IpAddr;

use controlplane_collections::{Collection, Graph, Index};
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::core::{Namespace, Node, Pod};
use controlplane_k8s_api::security::{AuthorizationPolicy, PeerAuthentication};
use controlplane_k8s_api::service::{EndpointSlice, Service};
use mesh_model::workload::Locality;
use mesh_types::{NamespacedName, Strng};

use crate::labels::LabelKey;
use crate::peer_authentication::SelectedMode;
use crate::registration::Claimed;

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
    pub(crate) registrations: Collection<NamespacedName, Claimed>,
}

/// What derivations look into.
#[derive(Clone, Copy)]
pub(crate) struct Lookups {
    pub(crate) inputs: Inputs,
    /// The network that a namespace's label names.
    pub(crate) networks: Collection<Strng, Strng>,
    /// The traffic distribution that a namespace's annotation names.
    pub(crate) distributions: Collection<Strng, Strng>,
    /// The data plane mode that a namespace's label names.
    pub(crate) modes: Collection<Strng, Strng>,
    pub(crate) localities: Collection<Strng, Locality>,
    pub(crate) registrations_by_address: Index<IpAddr, NamespacedName, Claimed>,
    pub(crate) services_by_label: Index<LabelKey, NamespacedName, Service>,
    pub(crate) slices_by_pod: Index<NamespacedName, NamespacedName, EndpointSlice>,
}

/// The policies that select Pods by label.
#[derive(Clone, Copy)]
pub(crate) struct PolicyLookups {
    /// PeerAuthentications without a selector.
    pub(crate) namespace_peers: Index<Strng, NamespacedName, PeerAuthentication>,
    /// PeerAuthentications with one.
    pub(crate) selected_modes: Index<LabelKey, NamespacedName, SelectedMode>,
    /// The selectors of AuthorizationPolicies that are sent.
    pub(crate) selectors: Index<LabelKey, NamespacedName, Labels>,
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
            registrations: graph.input("Registration"),
        }
    }
}

impl Lookups {
    pub(crate) fn new(graph: &mut Graph, inputs: Inputs) -> Self {
        Self {
            inputs,
            networks: label(graph, "network", inputs.namespaces, NETWORK_LABEL),
            distributions: graph.derive("traffic distribution", inputs.namespaces, |_, _, namespace| {
                namespace.metadata.annotations.get(TRAFFIC_DISTRIBUTION).cloned()
            }),
            modes: label(graph, "data plane mode", inputs.namespaces, DATAPLANE_MODE),
            localities: graph.derive("locality", inputs.nodes, |_, _, node| Some(locality(node))),
            registrations_by_address: graph.index(
                "registrations by address",
                inputs.registrations,
                |_, claimed| claimed.registration.addresses.clone(),
            ),
            services_by_label: graph.index("services by label", inputs.services, |name, service| {
                LabelKey::of_selector(&name.namespace, &service.spec.selector)
                    .into_iter()
                    .collect()
            }),
            slices_by_pod: graph.index("slices by pod", inputs.slices, |_, slice| pods_of(slice)),
        }
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
