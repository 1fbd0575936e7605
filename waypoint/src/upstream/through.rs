//! A service behind its waypoint: where a gateway for traffic from outside sends what is for a Service that says
//! `istio.io/ingress-use-waypoint`. The waypoint is told the service's address, and decides as for everybody else; without
//! one that is ready nothing is sent, since going past it would evade its policies.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::lb::Endpoint;
use mesh_model::service::VirtualAddress;
use mesh_model::workload::HealthStatus;
use mesh_model::{AppProtocol, GatewayDestination, GatewayRef, Service, Workload};
use mesh_state::{Destination as Entity, View};
use mesh_types::Authority;

use super::endpoint::Found;
use super::lookup::{Destination, Looking, address};
use crate::frontend::{self, Gateway};

/// Whether what comes from outside has to pass the service's waypoint: not at that waypoint itself.
pub(super) fn is_wanted(view: &View, service: &Service, own: &Gateway) -> bool {
    let weighted = service.weighted_waypoints.iter().map(|w| &w.gateway);
    let mut bound = service.waypoint.iter().chain(weighted).peekable();
    let is_bound = bound.peek().is_some();
    service.ingress_use_waypoint && is_bound && !bound.any(|gateway| frontend::means(view, gateway, own))
}

/// The endpoints of a service's waypoint, each a way to a port of the service.
pub(super) fn endpoints(
    looking: &Looking<'_>,
    service: &Service,
    port: u16,
    gateway: &GatewayRef,
) -> Destination {
    let nobody = Destination::new(AppProtocol::Unknown, Vec::new());
    let own = &looking.shared.gateway;
    // The waypoint knows a service by its address: there is no way to one without.
    let target = service.addresses.iter().find_map(|address| match address {
        VirtualAddress::Single(at) if at.network == own.network => Some(SocketAddr::new(at.address, port)),
        _ => None,
    });
    let Some(target) = target.map(Authority::from) else {
        return nobody;
    };
    let named = match &gateway.destination {
        GatewayDestination::Hostname(name) => {
            looking.view.service_by_name(name).cloned().map(Entity::Service)
        }
        GatewayDestination::Address(at) => looking.view.destination(at, &own.name.namespace),
    };
    let reach = |workload: &Arc<Workload>, at: SocketAddr, front: Option<&Service>| {
        Found::through(workload, at, &target, front, looking)
    };
    let mut found = nobody;
    match (named, &gateway.destination) {
        (Some(Entity::Service(front)), _) => {
            for endpoint in looking.view.endpoints(&front).as_slice() {
                let workload = &endpoint.workload;
                if workload.capacity == 0 {
                    continue;
                }
                if !looking.is_near(workload) {
                    found.elsewhere += 1;
                    continue;
                }
                let at = address(workload, &front).zip(tunnel_port(endpoint, &front, gateway.hbone_port));
                found
                    .endpoints
                    .extend(at.map(|at| reach(workload, at.into(), Some(&*front))));
            }
        }
        (Some(Entity::Workload(workload)), GatewayDestination::Address(at))
            if workload.status == HealthStatus::Healthy =>
        {
            let at = SocketAddr::new(at.address, gateway.hbone_port);
            found.endpoints.push(reach(&workload, at, None));
        }
        _ => {}
    }
    found
}

/// On which port an endpoint of a waypoint takes tunnels: where the waypoint's Service leads to.
fn tunnel_port(endpoint: &Endpoint, front: &Service, port: u16) -> Option<u16> {
    let mapped = endpoint.ports().get(port).and_then(|p| p.target_port);
    let general = || front.ports.get(port).and_then(|p| p.target_port);
    mapped.or_else(general).or_else(|| {
        let tunnel = endpoint.workload.application_tunnel.as_ref()?;
        tunnel.port.is_some().then_some(port)
    })
}
