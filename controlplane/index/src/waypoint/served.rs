//! Where a Gateway is found, as its status says it: by the Service that its Gateway became, or where its author says that
//! something stands already.

use std::net::IpAddr;

use controlplane_k8s_api::gateway::Gateway;
use controlplane_k8s_api::service::{Service, ServiceType};
use mesh_types::{NamespacedName, ports};

use super::deployment;
use crate::config::MeshConfig;
use crate::service;
use crate::status::{ConditionType, GivenAddress, ServedGateway, StatusCondition, StatusReason};

/// Where a Gateway is found, given its Service: where its load balancer is, if it is to have one, else inside the cluster.
/// Addresses come first, names after them, as in Istio: who prefers the one or the other takes it.
pub(crate) fn at(
    config: &MeshConfig,
    gateway: &Gateway,
    name: &NamespacedName,
    service: Option<&Service>,
) -> ServedGateway {
    if deployment::is_unmanaged(gateway) {
        let wanted = gateway.spec.addresses.iter().filter(|a| !a.value.is_empty());
        let addresses = wanted.filter_map(|address| match address.kind.as_str() {
            "IPAddress" => Some(GivenAddress::Ip(address.value.parse().ok()?)),
            "Hostname" => Some(GivenAddress::Hostname(address.value.clone())),
            _ => None,
        });
        return ServedGateway {
            addresses: addresses.collect(),
        };
    }
    let Some(service) = service.filter(|service| speaks_hbone(service)) else {
        return ServedGateway::default();
    };
    if is_for_outside(service) {
        return ServedGateway {
            addresses: outside(service),
        };
    }
    let spec = &service.spec;
    let mut ips: Vec<IpAddr> = spec.cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    if ips.is_empty() {
        ips.extend(spec.cluster_ip.iter().filter_map(|ip| ip.parse::<IpAddr>().ok()));
    }
    let hostname = service::hostname(config, name).hostname;
    let ips = ips.into_iter().map(GivenAddress::Ip);
    ServedGateway {
        addresses: ips.chain([GivenAddress::Hostname(hostname)]).collect(),
    }
}

/// What a load balancer gave a Service.
fn outside(service: &Service) -> Vec<GivenAddress> {
    let ingress = &service.status.load_balancer.ingress;
    let ips = ingress.iter().filter_map(|given| given.ip.parse().ok());
    let names = ingress.iter().filter(|given| !given.hostname.is_empty());
    let mut addresses: Vec<GivenAddress> = ips.map(GivenAddress::Ip).collect();
    addresses.extend(names.map(|given| GivenAddress::Hostname(given.hostname.clone())));
    // One for each port, or for each zone.
    let mut seen = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    // More are not taken (Gateway API, "GatewayStatus").
    seen.truncate(MOST_ADDRESSES);
    seen
}

/// Whether a Service is to be found from outside of the cluster.
pub(super) fn is_for_outside(service: &Service) -> bool {
    service.spec.kind == ServiceType::LoadBalancer
}

/// Whether proxies can reach a Gateway that runs in a cluster, given how many of its pods are ready: its own status says
/// what we wrote there earlier.
pub(crate) fn programmed(
    served: &ServedGateway,
    name: &NamespacedName,
    service: Option<&Service>,
    ready: usize,
) -> StatusCondition {
    let (holds, reason, message) = match (served.addresses.is_empty(), ready) {
        (true, _) => {
            let port = ports::HBONE;
            let message = match service.filter(|service| speaks_hbone(service)) {
                None => format!("there is no Service {name} with port {port}"),
                Some(_) => format!(
                    "no load balancer has given Service {name} an address yet; proxies of the mesh reach it at the Service \
                     meanwhile"
                ),
            };
            (false, StatusReason::AddressNotAssigned, message)
        }
        (false, 0) => (
            false,
            StatusReason::Pending,
            "none of its pods is ready".to_owned(),
        ),
        (false, _) => (
            true,
            StatusReason::Programmed,
            "proxies send connections to it".to_owned(),
        ),
    };
    StatusCondition::new(ConditionType::Programmed, holds, reason, message)
}

/// Whether a Service leads to something that takes tunnels.
pub(super) fn speaks_hbone(service: &Service) -> bool {
    service.spec.ports.iter().any(|port| port.port == ports::HBONE) && !service::is_alias(service)
}

const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests;
