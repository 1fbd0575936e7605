//! An EndpointSlice's endpoints become workloads, where no Pod stands behind them.

use std::collections::BTreeMap;

use controlplane_collections::Fetch;
use controlplane_k8s_api::core::Protocol;
use controlplane_k8s_api::service::{AddressType, Endpoint, EndpointSlice, SERVICE_NAME_LABEL, Service};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_model::workload::{HealthStatus, NetworkMode};
use mesh_model::{AppProtocol, Port, Ports, Workload};
use mesh_types::{Identity, NamespacedName, Strng, WorkloadUid};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::Lookups;
use crate::service;

/// The workloads of a slice, one for each endpoint without a Pod; none while its Service is unknown.
pub(crate) fn workloads_from_endpoint_slice(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    slice: &EndpointSlice,
) -> Vec<(WorkloadUid, Derived<Workload>)> {
    let service_name = slice.metadata.labels.get(SERVICE_NAME_LABEL);
    let Some(service_name) = service_name.filter(|_| slice.spec.address_type != AddressType::Fqdn) else {
        return Vec::new();
    };
    let service_name = NamespacedName::new(name.namespace.clone(), service_name.clone());
    let service = fetch.get(lookups.inputs.services, &service_name);
    let Some(service) = service.filter(|s| !service::is_alias(s)) else {
        return Vec::new();
    };
    let ports = ports(slice, service);
    let services = BTreeMap::from([(service::hostname(config, &service_name), ports)]);
    let network = lookups.namespaces.network(fetch, config);
    let without_pod = |e: &&Endpoint| e.target_ref.as_ref().is_none_or(|t| t.kind != "Pod");
    slice
        .spec
        .endpoints
        .iter()
        .filter(without_pod)
        .filter_map(|endpoint| {
            let uid = uid(config, name, endpoint.addresses.first()?);
            let derived = match workload(config, name, endpoint, uid.clone()) {
                Ok(workload) => Derived::of(
                    provenance(name),
                    Workload {
                        network: network.clone(),
                        services: services.clone(),
                        ..workload
                    },
                ),
                Err(condition) => Derived::nothing(provenance(name), condition),
            };
            Some((uid, derived))
        })
        .collect()
}

/// A Service's ports on a slice's endpoints: they meet by name, TCP only.
pub(crate) fn ports(slice: &EndpointSlice, service: &Service) -> Ports {
    let ports = slice.spec.ports.iter().filter(|p| p.protocol == Protocol::Tcp);
    let port = |port: &controlplane_k8s_api::service::EndpointPort| {
        let mut of_service = service.spec.ports.iter();
        let of_service = of_service.find(|p| p.name == port.name && p.protocol == Protocol::Tcp)?;
        Some(Port {
            service_port: of_service.port,
            target_port: Some(port.port?),
            app_protocol: AppProtocol::Unknown,
        })
    };
    ports.filter_map(port).collect()
}

/// An endpoint names no account, and its address may be shared with others.
fn workload(
    config: &MeshConfig,
    name: &NamespacedName,
    endpoint: &Endpoint,
    uid: WorkloadUid,
) -> Result<Workload, Condition> {
    let invalid = |message: String| Condition::at(ConditionReason::Invalid, "endpoints", message);
    let address = |text: &Strng| {
        text.parse()
            .map_err(|_| invalid(format!("{text:?} is not an IP address")))
    };
    let identity = Identity::new(config.trust_domain.clone(), name.namespace.clone(), "default")
        .map_err(|e| invalid(e.to_string()))?;
    Ok(Workload {
        account_implied: true,
        addresses: endpoint.addresses.iter().map(address).collect::<Result<_, _>>()?,
        network_mode: NetworkMode::HostNetwork,
        status: match endpoint.conditions.ready {
            Some(false) => HealthStatus::Unhealthy,
            Some(true) | None => HealthStatus::Healthy,
        },
        cluster_id: config.cluster_id.clone(),
        ..Workload::new(uid, name.name.clone(), identity)
    })
}

fn uid(config: &MeshConfig, name: &NamespacedName, address: &Strng) -> WorkloadUid {
    let NamespacedName { namespace, name } = name;
    let cluster = &config.cluster_id;
    WorkloadUid::new(format!(
        "{cluster}/discovery.k8s.io/EndpointSlice/{namespace}/{name}/{address}"
    ))
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::EndpointSlice,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

#[cfg(test)]
mod tests;
