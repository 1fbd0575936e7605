//! What is meant by a tunnel's target? Pure: the mesh, the target and the gateway give the answer.
//!
//! The target of CONNECT alone decides: never Host, never what the client says of itself (Istio's waypoint does the
//! same; Gateway API, GAMMA, "frontend"). What this waypoint does not serve is refused, so that nobody reaches a service
//! past its own waypoint, or the proxy's own ports.
//!
//! [`listeners`] has what gateways do instead: there, Host and server name decide.

pub mod listeners;

use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::l7::ServicePort;
use mesh_model::l7::bind::Serves;
use mesh_model::{AppProtocol, GatewayDestination, GatewayRef, Service, Workload};
use mesh_state::View;
use mesh_types::{Authority, NamespacedHostname, NamespacedName, NetworkAddress, Strng, WorkloadUid};

/// Who this proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The Gateway.
    pub name: NamespacedName,
    /// The host names that bindings call it by: that of its Service.
    pub hostname: NamespacedHostname,
    /// The network in which addresses mean something to it.
    pub network: Strng,
    /// Targets may be host names, as they are when they come through another network's gateway.
    pub multi_network: bool,
    /// Its own workload, where the mesh knows it by that: which endpoints are near depends on where it is.
    pub workload: Option<WorkloadUid>,
}

/// What was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frontend {
    /// A port of a service: its routes apply.
    Service {
        /// The service.
        service: Arc<Service>,
        /// Its port.
        port: u16,
        /// What is spoken there.
        protocol: AppProtocol,
    },
    /// A port of a workload: no routes apply.
    Workload {
        /// The workload.
        workload: Arc<Workload>,
        /// The address that was asked for.
        address: IpAddr,
        /// The port.
        port: u16,
        /// What is spoken there, if the services that it serves there agree.
        protocol: AppProtocol,
    },
    /// A listener of a gateway, whose routes say where things go.
    Listener {
        /// The bind, by its key.
        bind: Strng,
        /// Only requests for these hosts; all if there are none.
        hostnames: Arc<[Strng]>,
        /// Its port.
        port: u16,
        /// What is spoken there.
        protocol: AppProtocol,
    },
}

/// Why a target is not served here; always the client's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Nothing of the mesh has this address.
    #[error("{0} is neither a service nor a workload of the mesh")]
    Unknown(Authority),
    /// The service has no such port.
    #[error("service {service} has no port {port}")]
    NoSuchPort {
        /// The service.
        service: NamespacedHostname,
        /// The port.
        port: u16,
    },
    /// The service is bound to another waypoint, or to none.
    #[error("service {0} is not served by this waypoint")]
    ServiceNotServed(NamespacedHostname),
    /// The workload is bound to another waypoint, or to none.
    #[error("workload {0} is not served by this waypoint")]
    WorkloadNotServed(Strng),
    /// Host names are for requests from other networks.
    #[error("host name {0} as a target, but there is only one network")]
    HostName(Authority),
    /// The listener takes no such targets (`istio.io/waypoint-for`).
    #[error("{0} are not served by this listener")]
    KindNotServed(&'static str),
}

/// What a tunnel to `target` means here.
///
/// # Errors
/// Says why it means nothing.
pub fn frontend(
    view: &View,
    target: &Authority,
    gateway: &Gateway,
    serves: Serves,
) -> Result<Frontend, Refused> {
    let address = match target {
        Authority::Ip(address) => *address,
        Authority::Host { hostname, port } => {
            if !gateway.multi_network {
                return Err(Refused::HostName(target.clone()));
            }
            let service = view.service_by_hostname(hostname, &gateway.name.namespace);
            let service = service.ok_or_else(|| Refused::Unknown(target.clone()))?;
            return of_service(view, service, *port, gateway, serves);
        }
    };
    let at = NetworkAddress::new(gateway.network.clone(), address.ip());
    // A virtual address and a workload's never coincide, but a range of a service may cover workloads.
    if let Some(service) = view.service_by_address(&at, &gateway.name.namespace)
        && view.workload_by_address(&at).is_none()
    {
        return of_service(view, service, address.port(), gateway, serves);
    }
    match view.workload_by_address(&at) {
        Some(workload) => of_workload(view, workload, at.address, address.port(), gateway, serves),
        None => Err(Refused::Unknown(target.clone())),
    }
}

fn of_service(
    view: &View,
    service: &Arc<Service>,
    port: u16,
    gateway: &Gateway,
    serves: Serves,
) -> Result<Frontend, Refused> {
    if !serves.services() {
        return Err(Refused::KindNotServed("services"));
    }
    let weighted = service.weighted_waypoints.iter().map(|w| &w.gateway);
    if !service
        .waypoint
        .iter()
        .chain(weighted)
        .any(|g| means(view, g, gateway))
    {
        return Err(Refused::ServiceNotServed(service.hostname.clone()));
    }
    let Some(found) = service.ports.get(port) else {
        return Err(Refused::NoSuchPort {
            service: service.hostname.clone(),
            port,
        });
    };
    Ok(Frontend::Service {
        service: service.clone(),
        port,
        protocol: found.app_protocol,
    })
}

fn of_workload(
    view: &View,
    workload: &Arc<Workload>,
    address: IpAddr,
    port: u16,
    gateway: &Gateway,
    serves: Serves,
) -> Result<Frontend, Refused> {
    if !serves.workloads() {
        return Err(Refused::KindNotServed("workloads"));
    }
    if !workload.waypoint.iter().any(|g| means(view, g, gateway)) {
        return Err(Refused::WorkloadNotServed(workload.name.clone()));
    }
    Ok(Frontend::Workload {
        workload: workload.clone(),
        address,
        port,
        protocol: protocol_at(view, workload, port),
    })
}

/// Whether a binding means this gateway: by its Service's name, or by one of its addresses.
pub(crate) fn means(view: &View, bound: &GatewayRef, gateway: &Gateway) -> bool {
    match &bound.destination {
        GatewayDestination::Hostname(name) => *name == gateway.hostname,
        GatewayDestination::Address(address) => {
            let service = view.service_by_address(address, &gateway.name.namespace);
            service.is_some_and(|service| service.hostname == gateway.hostname)
        }
    }
}

/// Whether a listener's host name means a host: the same, or one below a wildcard (Gateway API, `Hostname`).
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix('*') {
        Some(suffix) => {
            let below = host.len().checked_sub(suffix.len()).and_then(|at| host.get(at..));
            host.len() > suffix.len() && below.is_some_and(|below| below.eq_ignore_ascii_case(suffix))
        }
        None => name.eq_ignore_ascii_case(host),
    }
}

/// What is spoken at a port of a workload, as far as the services that it serves there agree.
fn protocol_at(view: &View, workload: &Workload, port: u16) -> AppProtocol {
    let mut known = None;
    for (name, ports) in &workload.services {
        let service = view.service_by_name(name);
        for mapped in ports {
            let declared = service.and_then(|s| s.ports.get(mapped.service_port));
            let target = mapped
                .target_port
                .or_else(|| declared.and_then(|p| p.target_port));
            if target != Some(port) {
                continue;
            }
            let protocol = declared.map_or(mapped.app_protocol, |p| p.app_protocol);
            match known {
                None => known = Some(protocol),
                Some(other) if other == protocol => {}
                Some(_) => return AppProtocol::Unknown,
            }
        }
    }
    known.unwrap_or_default()
}

// === impl Gateway, Frontend, Refused ===

impl Gateway {
    /// The gateway of this name; its Service is called like it.
    #[must_use]
    pub fn new(name: NamespacedName, domain: &str) -> Self {
        let hostname = format!("{}.{}.svc.{domain}", name.name, name.namespace);
        Self {
            hostname: NamespacedHostname::new(name.namespace.clone(), hostname),
            name,
            network: Strng::default(),
            multi_network: false,
            workload: None,
        }
    }

    /// The same gateway, whose Service is called otherwise (`gateway.istio.io/name-override`).
    #[must_use]
    pub fn with_service(self, service: &str, domain: &str) -> Self {
        let hostname = format!("{service}.{}.svc.{domain}", self.name.namespace);
        Self {
            hostname: NamespacedHostname::new(self.name.namespace.clone(), hostname),
            ..self
        }
    }
}

impl Frontend {
    /// What is spoken there.
    #[must_use]
    pub fn protocol(&self) -> AppProtocol {
        match self {
            Self::Service { protocol, .. }
            | Self::Workload { protocol, .. }
            | Self::Listener { protocol, .. } => *protocol,
        }
    }

    /// The port that was asked for.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Service { port, .. } | Self::Workload { port, .. } | Self::Listener { port, .. } => *port,
        }
    }

    /// The service and its port, where one was asked for.
    #[must_use]
    pub fn service_port(&self) -> Option<ServicePort> {
        match self {
            Self::Service { service, port, .. } => Some(ServicePort {
                service: service.hostname.clone(),
                port: *port,
            }),
            Self::Workload { .. } | Self::Listener { .. } => None,
        }
    }
}

impl Refused {
    /// The closed reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_destination",
            Self::NoSuchPort { .. } => "no_such_port",
            Self::ServiceNotServed(_) | Self::WorkloadNotServed(_) => "not_served",
            Self::HostName(_) => "host_name",
            Self::KindNotServed(_) => "kind_not_served",
        }
    }
}

#[cfg(test)]
mod tests;
