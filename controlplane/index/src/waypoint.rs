//! Which Gateways are waypoints, where they are found, and whom they serve (Istio documentation, "Configure waypoint
//! proxies").
//!
//! [`classes`] says whose Gateways are ours, [`binding`] what the labels of everybody else have to do with them, [`before`] what
//! that comes to for each host, [`instances`] which workloads are their own, [`only`] and [`allow`] who is kept from going past
//! them, [`deployment`] what a cluster is to run for them, [`served`] where that is found.

pub(crate) mod allow;
pub(crate) mod before;
pub(crate) mod binding;
pub mod classes;
pub mod deployment;
pub(crate) mod instances;
pub(crate) mod only;
pub(crate) mod served;

pub use deployment::plan::{Overlay, WaypointPlan, Waypoints};

use controlplane_collections::Fetch;
use controlplane_k8s_api::gateway::{FromNamespaces, Gateway, GatewayClass, LabelSelector, Listener};
use controlplane_k8s_api::{Kind, Labels, ObjectKey};
use mesh_model::workload::{ApplicationTunnel, ApplicationTunnelProtocol};
use mesh_model::{GatewayDestination, GatewayRef};
use mesh_types::{NamespacedName, NetworkAddress, Strng, ports};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::l7::account;
use crate::lookups::{Inputs, NamespaceLookups};
use crate::service;
use crate::settings;
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason};

/// A waypoint, as those see it who would be bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waypoint {
    /// Where it is found, or will be.
    pub(crate) address: GatewayRef,
    /// Why nobody can be sent there yet.
    pub(crate) unready: Option<String>,
    /// What traffic it takes.
    pub(crate) traffic: Traffic,
    /// Which namespaces may be bound to it.
    admits: Admits,
    /// How its own node proxy hands connections to it.
    pub(crate) inbound: Option<ApplicationTunnel>,
    /// The name of the Service that leads to it.
    service: Strng,
    /// Whom its proxies run as, where they are made here.
    account: Option<Strng>,
}

/// What traffic a waypoint takes: `istio.io/waypoint-for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// To services.
    Service,
    /// To the addresses of workloads.
    Workload,
    /// Both.
    All,
    /// None.
    None,
}

/// Which namespaces may use a waypoint: `allowedRoutes.namespaces` of its listener.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Admits {
    All,
    Same,
    Selected(LabelSelector),
    Nobody,
}

/// The waypoint that a Gateway is; nothing where it is another sort of gateway.
pub(crate) fn waypoint_from_gateway(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    inputs: Inputs,
    namespaces: &NamespaceLookups,
    name: &NamespacedName,
    gateway: &Gateway,
) -> Option<Derived<Waypoint>> {
    let class = fetch.get(inputs.gateway_classes, &gateway.spec.gateway_class_name);
    let mut conditions = Vec::new();
    let inbound = inbound_binding(gateway, class, &mut conditions);
    if !is_waypoint(gateway, inbound) {
        return None;
    }
    let traffic = traffic(gateway, class, &mut conditions);
    let (address, unready) = address(fetch, config, inputs, namespaces, name, gateway);
    let programmed = match &unready {
        None => StatusCondition::new(
            ConditionType::Programmed,
            true,
            StatusReason::Programmed,
            "proxies send connections to it",
        ),
        Some(why) => StatusCondition::new(
            ConditionType::Programmed,
            false,
            StatusReason::AddressNotAssigned,
            why.clone(),
        ),
    };
    let accepted = StatusCondition::new(
        ConditionType::Accepted,
        true,
        StatusReason::Accepted,
        match config.allow_from_waypoints {
            true => "it is a waypoint; who stands behind it lets in nobody else, but whom a policy allows",
            false => "it is a waypoint",
        },
    );
    let waypoint = Waypoint {
        address,
        unready,
        traffic,
        admits: admits(gateway, inbound),
        inbound,
        service: deployment::name_of(gateway),
        account: made_here(gateway, class).then(|| account::of_gateway(gateway)),
    };
    let unknown = settings::status(&conditions);
    let status = [accepted, programmed].into_iter().chain(unknown);
    Some(Derived {
        conditions,
        status: status.map(Stated::from).collect(),
        ..Derived::of(provenance(name), waypoint)
    })
}

/// A class that is known for it, an HBONE listener, or an instance behind its own node proxy. Gateways between networks
/// speak HBONE too and are none.
fn is_waypoint(gateway: &Gateway, inbound: Option<ApplicationTunnel>) -> bool {
    let class = gateway.spec.gateway_class_name.as_str();
    let speaks_hbone = || gateway.spec.listeners.iter().any(is_hbone);
    WAYPOINT_CLASSES.contains(&class)
        || (!BETWEEN_NETWORKS.contains(&class) && (speaks_hbone() || inbound.is_some()))
}

/// Whether its proxies are this control plane's to make.
fn made_here(gateway: &Gateway, class: Option<&GatewayClass>) -> bool {
    let ours = classes::controller(&gateway.spec.gateway_class_name, class).is_some();
    ours && !deployment::is_unmanaged(gateway)
}

/// Its label, else its class's, else services.
fn traffic(gateway: &Gateway, class: Option<&GatewayClass>, conditions: &mut Vec<Condition>) -> Traffic {
    let own = gateway.metadata.labels.get(WAYPOINT_FOR);
    let value = own.or_else(|| class?.metadata.labels.get(WAYPOINT_FOR));
    match value.map(Strng::as_str) {
        None | Some("service") => Traffic::Service,
        Some("workload") => Traffic::Workload,
        Some("all") => Traffic::All,
        Some("none") => Traffic::None,
        Some(other) => {
            let message =
                format!("{other:?} is none of service, workload, all and none: it takes no traffic");
            let field = field(own, "labels", WAYPOINT_FOR);
            conditions.push(Condition::at(ConditionReason::UnknownValue, field, message));
            Traffic::None
        }
    }
}

/// What the Gateway's status says: a host name, which outlives addresses, else an address. Without a status (a Gateway
/// from a file), and where that is about the world outside, its Service, as soon as there is one that speaks HBONE; until
/// then the name that the Service will have, at which nobody answers.
fn address(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    inputs: Inputs,
    namespaces: &NamespaceLookups,
    name: &NamespacedName,
    gateway: &Gateway,
) -> (GatewayRef, Option<String>) {
    let reference = |destination| GatewayRef::new(destination, ports::HBONE);
    let by_name = NamespacedName::new(name.namespace.clone(), deployment::name_of(gateway));
    let service = fetch.get(inputs.services, &by_name);
    let service = service.filter(|service| served::speaks_hbone(service));
    let outside = !deployment::is_unmanaged(gateway) && service.is_some_and(served::is_for_outside);
    let of_status = gateway.status.addresses.iter();
    let of_status = of_status.filter(|a| !outside && !a.value.is_empty());
    let hostname = of_status.clone().find(|a| a.kind == HOSTNAME);
    if let Some(hostname) = hostname {
        let hostname = mesh_types::NamespacedHostname::new(name.namespace.clone(), hostname.value.clone());
        return (reference(GatewayDestination::Hostname(hostname)), None);
    }
    let ip = of_status
        .filter(|a| a.kind == IP_ADDRESS)
        .find_map(|a| a.value.parse().ok());
    if let Some(ip) = ip {
        let address = NetworkAddress::new(namespaces.network(fetch, config), ip);
        return (reference(GatewayDestination::Address(address)), None);
    }
    let hostname = service::hostname(config, &by_name);
    let unready = service.is_none().then(|| {
        let port = ports::HBONE;
        format!("its status has no address, and there is no Service {by_name} with port {port}")
    });
    (reference(GatewayDestination::Hostname(hostname)), unready)
}

/// `PROXY`, `PROXY/<port>`, `NONE` or `NONE/<port>`, on the Gateway, else on its class.
fn inbound_binding(
    gateway: &Gateway,
    class: Option<&GatewayClass>,
    conditions: &mut Vec<Condition>,
) -> Option<ApplicationTunnel> {
    let own = gateway.metadata.annotations.get(INBOUND_BINDING);
    let value = own.or_else(|| class?.metadata.annotations.get(INBOUND_BINDING))?;
    let (protocol, port) = value
        .split_once('/')
        .map_or((value.as_str(), None), |(p, n)| (p, Some(n)));
    let protocol = match protocol {
        "NONE" => Some(ApplicationTunnelProtocol::None),
        "PROXY" => Some(ApplicationTunnelProtocol::Proxy),
        _ => None,
    };
    let port = port.map(controlplane_k8s_api::validate::names::port).transpose();
    if let (Some(protocol), Ok(port)) = (protocol, port) {
        return Some(ApplicationTunnel { protocol, port });
    }
    let message =
        format!("{value:?} is none of PROXY, PROXY/<port>, NONE and NONE/<port>, and without effect");
    let field = field(own, "annotations", INBOUND_BINDING);
    conditions.push(Condition::at(ConditionReason::UnknownValue, field, message));
    None
}

/// By the listener that its node proxy hands connections to, else by the HBONE listener, else its own namespace only.
fn admits(gateway: &Gateway, inbound: Option<ApplicationTunnel>) -> Admits {
    let listeners = &gateway.spec.listeners;
    let is_bound = |listener: &&Listener| match inbound {
        Some(ApplicationTunnel { port: Some(port), .. }) => listener.port == port,
        Some(ApplicationTunnel {
            protocol: ApplicationTunnelProtocol::Proxy,
            port: None,
        }) => listener.protocol == PROXY_LISTENER,
        _ => false,
    };
    let bound = listeners.iter().find(is_bound);
    let listener = bound.or_else(|| listeners.iter().find(|l| is_hbone(l)));
    let namespaces = listener.map(|l| &l.allowed_routes.namespaces);
    match namespaces.map(|n| (n.from, &n.selector)) {
        Some((FromNamespaces::All, _)) => Admits::All,
        Some((FromNamespaces::Selector, Some(selector))) => Admits::Selected(selector.clone()),
        Some((FromNamespaces::Selector, None) | (FromNamespaces::None, _)) => Admits::Nobody,
        Some((FromNamespaces::Same, _)) | None => Admits::Same,
    }
}

/// Where a label or an annotation stands that may be the Gateway's own or its class's.
fn field(own: Option<&Strng>, place: &str, name: &str) -> String {
    match own {
        Some(_) => format!("metadata.{place}[{name}]"),
        None => format!("metadata.{place}[{name}] of its GatewayClass"),
    }
}

fn is_hbone(listener: &Listener) -> bool {
    listener.protocol == HBONE_PROTOCOL && listener.port == ports::HBONE
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::Gateway,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

impl Waypoint {
    /// Whether somebody who runs as this account, in its namespace, may be one of its proxies.
    pub(crate) fn runs_as(&self, account: &str) -> bool {
        self.account.as_ref().is_none_or(|own| **own == *account)
    }

    /// Whether objects of a namespace may be bound to the waypoint of this name.
    fn admits(
        &self,
        fetch: &Fetch<'_>,
        namespaces: &NamespaceLookups,
        own: &NamespacedName,
        namespace: &Strng,
    ) -> bool {
        match &self.admits {
            Admits::All => true,
            Admits::Same => own.namespace == *namespace,
            Admits::Nobody => false,
            Admits::Selected(selector) => {
                let none = Labels::new();
                let labels = fetch.get(namespaces.labels, namespace).unwrap_or(&none);
                selector.matches(labels)
            }
        }
    }
}

impl Traffic {
    fn takes(self, other: Self) -> bool {
        self == Self::All || self == other
    }
}

const WAYPOINT_CLASSES: [&str; 2] = ["istio-waypoint", "lateen-waypoint"];
const BETWEEN_NETWORKS: [&str; 2] = ["istio-east-west", "istio-remote"];
const WAYPOINT_FOR: &str = "istio.io/waypoint-for";
const INBOUND_BINDING: &str = "ambient.istio.io/waypoint-inbound-binding";
/// The types of a Gateway's addresses.
const HOSTNAME: &str = "Hostname";
const IP_ADDRESS: &str = "IPAddress";
const HBONE_PROTOCOL: &str = "HBONE";
const PROXY_LISTENER: &str = "istio.io/PROXY";

#[cfg(test)]
mod tests;
