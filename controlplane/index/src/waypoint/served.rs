//! Where a Gateway is found, as its status says it: by the Service that its Gateway became, or where its author says that
//! something stands already.

use std::net::IpAddr;

use controlplane_k8s_api::gateway::Gateway;
use controlplane_k8s_api::service::Service;
use mesh_types::{NamespacedName, ports};

use super::deployment;
use crate::config::MeshConfig;
use crate::service;
use crate::status::{ConditionType, GivenAddress, ServedGateway, StatusCondition, StatusReason};

/// Where a Gateway is found, given its Service. Addresses come first, its name after them, as in Istio: who prefers the
/// one or the other takes it.
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

/// Whether proxies can reach a Gateway that runs in a cluster, given how many of its pods are ready: its own status says
/// what we wrote there earlier.
pub(crate) fn programmed(served: &ServedGateway, service: &NamespacedName, ready: usize) -> StatusCondition {
    let (holds, reason, message) = match (served.addresses.is_empty(), ready) {
        (true, _) => {
            let port = ports::HBONE;
            let message = format!("there is no Service {service} with port {port}");
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

#[cfg(test)]
mod tests;
