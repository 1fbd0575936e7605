//! Which Services a Pod serves, and on which ports.

use std::collections::BTreeMap;

use controlplane_collections::Fetch;
use controlplane_k8s_api::core::{Pod, Protocol};
use controlplane_k8s_api::networking::ServiceEntry;
use controlplane_k8s_api::service::{
    Endpoint, EndpointSlice, SERVICE_NAME_LABEL, Service, ServicePort, TargetPort,
};
use mesh_model::{AppProtocol, Port, Ports};
use mesh_types::{NamespacedHostname, NamespacedName};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason};
use crate::endpoint_slice;
use crate::labels::{LabelKey, selects};
use crate::lookups::WorkloadLookups;
use crate::service;
use crate::service_entry::target_port;
use crate::waypoint::instances::{Candidate, may_stand_behind};

/// The Services and ServiceEntries that select the Pod, and the Services without a selector whose EndpointSlices name it.
pub(super) fn of_pod(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    pod: &Pod,
    conditions: &mut Vec<Condition>,
) -> BTreeMap<NamespacedHostname, Ports> {
    let mut services = BTreeMap::new();
    for (host, entry) in lookups
        .entries
        .selecting(fetch, &name.namespace, &pod.metadata.labels)
    {
        services.insert(host, entry_ports(entry, pod));
    }
    let lookups = &lookups.base;
    let candidate = Candidate {
        labels: &pod.metadata.labels,
        account: &pod.spec.service_account_name.0,
    };
    let is_behind = |service_name: &NamespacedName, service: &Service| {
        may_stand_behind(fetch, lookups, (service_name, service), candidate)
    };
    let sliced = fetch.get(lookups.sliced_namespaces, &name.namespace);
    let slices = sliced
        .into_iter()
        .flat_map(|()| fetch.by(lookups.slices_by_pod, name));
    for (slice_name, slice) in slices {
        let Some(service_name) = slice.metadata.labels.get(SERVICE_NAME_LABEL) else {
            continue;
        };
        let service_name = NamespacedName::new(slice_name.namespace.clone(), service_name.clone());
        let service = fetch.get(lookups.inputs.services, &service_name);
        let service = service.filter(|_| names(slice, name, pod));
        if let Some(service) = service.filter(|service| is_behind(&service_name, service)) {
            let ports = endpoint_slice::ports(slice, service);
            services.insert(service::hostname(config, &service_name), ports);
        }
    }
    let labels = &pod.metadata.labels;
    let candidates = LabelKey::of_labels(&name.namespace, labels)
        .flat_map(|label| fetch.by(lookups.services_by_label, &label));
    for (service_name, service) in candidates {
        if selects(&service.spec.selector, labels)
            && !service::is_alias(service)
            && is_behind(service_name, service)
        {
            let ports = ports(service_name, service, pod, conditions);
            services.insert(service::hostname(config, service_name), ports);
        }
    }
    services
}

/// Whether a slice means this very Pod, not an earlier one of its name.
fn names(slice: &EndpointSlice, name: &NamespacedName, pod: &Pod) -> bool {
    let means = |endpoint: &Endpoint| {
        endpoint.target_ref.as_ref().is_some_and(|target| {
            let same_instance = match (&target.uid, &pod.metadata.uid) {
                (Some(target), Some(own)) => target == own,
                _ => true,
            };
            target.kind == "Pod"
                && target.namespace == name.namespace
                && target.name == name.name
                && same_instance
        })
    };
    slice.spec.endpoints.iter().any(means)
}

/// The Service's ports on this Pod. A port whose named target the Pod does not have is left out for this Pod alone.
fn ports(name: &NamespacedName, service: &Service, pod: &Pod, conditions: &mut Vec<Condition>) -> Ports {
    let port = |port: &ServicePort| {
        let target_port = match &port.target_port {
            Some(TargetPort::Name(target)) => {
                let number = container_port(pod, target);
                if number.is_none() {
                    let message = format!(
                        "Service {name} sends port {} to a port named {target:?}, which no container of the Pod has",
                        port.port
                    );
                    conditions.push(Condition::new(ConditionReason::UnknownTargetPort, message));
                }
                number?
            }
            numbered => service::target_number(port.port, numbered.as_ref()),
        };
        Some(Port {
            service_port: port.port,
            target_port: Some(target_port),
            app_protocol: AppProtocol::Unknown,
        })
    };
    service.spec.ports.iter().filter_map(port).collect()
}

/// A ServiceEntry's ports on this Pod: the container's port of the same name, else the target port.
fn entry_ports(entry: &ServiceEntry, pod: &Pod) -> Ports {
    let ports = entry.spec.ports.iter().filter(|p| p.number != 0);
    ports
        .map(|port| Port {
            service_port: port.number,
            target_port: Some(container_port(pod, &port.name).unwrap_or_else(|| target_port(port))),
            app_protocol: AppProtocol::Unknown,
        })
        .collect()
}

fn container_port(pod: &Pod, name: &str) -> Option<u16> {
    let mut ports = pod.running_containers().flat_map(|c| &c.ports);
    let named = ports.find(|p| p.name == *name && p.protocol == Protocol::Tcp)?;
    Some(named.container_port)
}
