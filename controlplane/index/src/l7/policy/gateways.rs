//! Gateways as policies see them, and what their own annotations say.

use controlplane_collections::{Collection, Fetch, Graph, Index};
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::gateway::{Gateway, GatewayClass};
use controlplane_k8s_api::mesh::{DefaultConfig, Topology};
use mesh_model::l7::policy::PolicyKind;
use mesh_types::{NamespacedName, Strng};

use crate::derived::{Condition, ConditionReason, Derived};
use crate::l7::account;
use crate::l7::listeners::AttachPoint;
use crate::lookups::Lookups;
use crate::waypoint::Waypoint;

/// What policies need to know of a Gateway that is served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GatewayFacts {
    class: Strng,
    pub(super) listeners: Vec<Strng>,
    /// Those of them that say nothing about what comes in there: the services do.
    pub(super) transparent: Vec<Strng>,
    pub(super) is_waypoint: bool,
    /// Those of its proxies.
    pub(super) labels: Labels,
    /// Whom its proxies run as.
    pub(super) account: Strng,
}

type Facts = Collection<NamespacedName, GatewayFacts>;

/// The Gateways that are served here.
#[derive(Clone, Copy)]
pub(super) struct GatewayLookups {
    facts: Facts,
    all: Index<(), NamespacedName, GatewayFacts>,
    by_namespace: Index<Strng, NamespacedName, GatewayFacts>,
    by_class: Index<Strng, NamespacedName, GatewayFacts>,
}

/// Gateways with what is known of them.
pub(super) type Some<'a> = Vec<(&'a NamespacedName, &'a GatewayFacts)>;

impl GatewayLookups {
    pub(super) fn new(
        graph: &mut Graph,
        base: Lookups,
        attach_points: Collection<NamespacedName, Vec<AttachPoint>>,
    ) -> Self {
        let waypoints = base.waypoints;
        let facts = graph.derive("gateway", base.inputs.gateways, move |fetch, name, gateway| {
            let points = fetch.get(attach_points, name)?;
            Some(facts(fetch, waypoints, name, gateway, points))
        });
        Self {
            facts,
            all: graph.index("gateways", facts, |_, _| vec![()]),
            by_namespace: graph.index("gateways by namespace", facts, |name, _| {
                vec![name.namespace.clone()]
            }),
            by_class: graph.index("gateways by class", facts, |_, gateway| {
                vec![gateway.class.clone()]
            }),
        }
    }

    pub(super) fn get<'a>(&self, fetch: &Fetch<'a>, name: &NamespacedName) -> Option<&'a GatewayFacts> {
        fetch.get(self.facts, name)
    }

    pub(super) fn all<'a>(&self, fetch: &Fetch<'a>) -> Some<'a> {
        fetch.by(self.all, &()).collect()
    }

    pub(super) fn of_namespace<'a>(&self, fetch: &Fetch<'a>, namespace: &Strng) -> Some<'a> {
        fetch.by(self.by_namespace, namespace).collect()
    }

    pub(super) fn of_class<'a>(&self, fetch: &Fetch<'a>, class: &Strng) -> Some<'a> {
        fetch.by(self.by_class, class).collect()
    }
}

fn facts(
    fetch: &Fetch<'_>,
    waypoints: Collection<NamespacedName, Derived<Waypoint>>,
    name: &NamespacedName,
    gateway: &Gateway,
    points: &[AttachPoint],
) -> GatewayFacts {
    let waypoint = fetch.get(waypoints, name);
    let mut labels = gateway
        .spec
        .infrastructure
        .as_ref()
        .map(|infrastructure| infrastructure.labels.clone())
        .unwrap_or_default();
    labels.insert(GATEWAY_NAME.into(), name.name.clone());
    GatewayFacts {
        class: gateway.spec.gateway_class_name.clone(),
        listeners: points.iter().map(|point| point.listener.clone()).collect(),
        transparent: points
            .iter()
            .filter(|point| point.is_transparent)
            .map(|point| point.listener.clone())
            .collect(),
        is_waypoint: waypoint.is_some_and(|derived| derived.value.is_some()),
        labels,
        account: account::of_gateway(gateway),
    }
}

/// Whether applications are told who asks: what the Gateway's annotation says, else its class's; nothing where neither
/// does.
pub(super) fn forward_client_identity(gateway: &Gateway, class: Option<&GatewayClass>) -> Option<PolicyKind> {
    let own = gateway.metadata.annotations.get(CLIENT_IDENTITY);
    let value = own.or_else(|| class?.metadata.annotations.get(CLIENT_IDENTITY))?;
    Some(PolicyKind::ForwardClientIdentity(value == "true"))
}

/// How many proxies in front of this Gateway's are believed, where its own settings say so; they count before the mesh's. A
/// text that cannot be read leaves those in force, and is told.
pub(super) fn trusted_proxies(gateway: &Gateway, conditions: &mut Vec<Condition>) -> Option<PolicyKind> {
    let of_proxies = gateway.spec.infrastructure.as_ref();
    let of_proxies = of_proxies.and_then(|infrastructure| infrastructure.annotations.get(PROXY_CONFIG));
    let text = of_proxies.or_else(|| gateway.metadata.annotations.get(PROXY_CONFIG))?;
    match DefaultConfig::of_annotation(text) {
        // Without a word about it the mesh's number stays: 0 is what nobody wrote.
        Ok(config) if config.gateway_topology == Topology::default() => None,
        Ok(config) => Some(PolicyKind::TrustedProxies(
            config.gateway_topology.num_trusted_proxies,
        )),
        Err(why) => {
            let message = format!("{why}: what the mesh says counts");
            conditions.push(Condition::at(ConditionReason::Invalid, PROXY_CONFIG, message));
            None
        }
    }
}

/// On Gateways and Pods: settings of their proxies (Istio).
const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// On Pods of a Gateway.
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
const CLIENT_IDENTITY: &str = "ambient.istio.io/xfcc-include-client-identity";
