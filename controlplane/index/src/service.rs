//! A Service becomes a service.

use std::net::IpAddr;

use controlplane_collections::Fetch;
use controlplane_k8s_api::service::{
    InternalTrafficPolicy, IpFamily, Service, ServicePort, ServiceType, TargetPort,
};
use controlplane_k8s_api::{Kind, Metadata, ObjectKey};
use mesh_model::service::{HealthPolicy, IpFamilies, LoadBalancing, Mode, Scope, VirtualAddress};
use mesh_model::{Port, Service as MeshService};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::app_protocol::app_protocol;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::{Lookups, TRAFFIC_DISTRIBUTION};
use crate::settings;
use crate::status::Stated;
use crate::waypoint::Traffic;
use crate::waypoint::binding::{Binding, Target, bind, complaint};
use crate::waypoint::instances::is_of_gateway;

/// The service of a Service; an alias (`ExternalName`) is DNS's business and becomes none.
pub(crate) fn service_from_service(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    service: &Service,
) -> Derived<MeshService> {
    let provenance = ObjectKey {
        kind: Kind::Service,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    };
    if is_alias(service) {
        let message = "it is of type ExternalName, an alias in DNS";
        let alias = Condition::at(ConditionReason::NotForNodeProxy, "spec.type", message);
        return Derived::nothing(provenance, alias);
    }
    let mut conditions = settings::of_service(&service.metadata);
    let addresses = virtual_addresses(service, &mut conditions);
    let network = lookups.namespaces.network(fetch, config);
    let binding = binding(fetch, config, lookups, name, service);
    conditions.extend(complaint(binding.status.as_ref()));
    let load_balancing = load_balancing(fetch, lookups, service, &mut conditions);
    let status = binding.status.into_iter().chain(settings::status(&conditions));
    let status = status.map(Stated::from).collect();
    let value = MeshService {
        ip_families: ip_families(service, &addresses),
        addresses: addresses
            .into_iter()
            .map(|ip| VirtualAddress::single(network.clone(), ip))
            .collect(),
        ports: service.spec.ports.iter().map(port).collect(),
        load_balancing,
        waypoint: binding.waypoint,
        weighted_waypoints: binding.weighted,
        ingress_use_waypoint: binding.ingress,
        canonical: true,
        ..MeshService::new(hostname(config, name), name.name.clone())
    };
    Derived {
        conditions,
        status,
        ..Derived::of(provenance, value)
    }
}

/// The host name of a Service.
pub(crate) fn hostname(config: &MeshConfig, name: &NamespacedName) -> NamespacedHostname {
    let hostname = format!("{}.{}.svc.{}", name.name, name.namespace, config.cluster_domain);
    NamespacedHostname::new(name.namespace.clone(), hostname)
}

/// Whether a Service is an alias in DNS, without endpoints.
pub(crate) fn is_alias(service: &Service) -> bool {
    service.spec.kind == ServiceType::ExternalName
}

/// The endpoints' port number: the given one, or the Service's own where there is none (Kubernetes takes 0 as none).
pub(crate) fn target_number(port: u16, target: Option<&TargetPort>) -> u16 {
    match target {
        Some(TargetPort::Number(number)) if *number != 0 => *number,
        _ => port,
    }
}

/// The waypoint in front of a Service.
pub(crate) fn binding(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    service: &Service,
) -> Binding {
    let labels = &service.metadata.labels;
    if is_of_gateway(fetch, config, lookups, name, labels) {
        return Binding::default();
    }
    let target = Target {
        namespace: &name.namespace,
        labels,
        annotations: &service.metadata.annotations,
        traffic: Traffic::Service,
        hidden: false,
    };
    bind(fetch, config, lookups, &target)
}

fn port(port: &ServicePort) -> Port {
    Port {
        service_port: port.port,
        target_port: match &port.target_port {
            Some(TargetPort::Name(_)) => None,
            numbered => Some(target_number(port.port, numbered.as_ref())),
        },
        app_protocol: app_protocol(port),
    }
}

/// Cluster addresses only: load balancers' and external ones are not the mesh's to answer for.
fn virtual_addresses(service: &Service, conditions: &mut Vec<Condition>) -> Vec<IpAddr> {
    let spec = &service.spec;
    let texts: Vec<&Strng> = match spec.cluster_ips.is_empty() {
        true => spec.cluster_ip.iter().collect(),
        false => spec.cluster_ips.iter().collect(),
    };
    let mut addresses = Vec::new();
    for text in texts.iter().filter(|t| !t.is_empty() && ***t != NO_ADDRESS) {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let message = format!("{text:?} is neither an IP address nor None");
                conditions.push(Condition::at(ConditionReason::Invalid, "spec.clusterIP", message));
            }
        }
    }
    if texts.is_empty() {
        let message =
            "is absent: without a cluster that assigns one, the Service is reached like a headless one";
        conditions.push(Condition::at(
            ConditionReason::NoAddress,
            "spec.clusterIP",
            message,
        ));
    }
    addresses
}

/// The API server fills `ipFamilies` in; for objects from files they follow from the virtual addresses.
fn ip_families(service: &Service, addresses: &[IpAddr]) -> IpFamilies {
    let families = &service.spec.ip_families;
    let (v4, v6) = match families.is_empty() {
        true => (
            addresses.iter().any(IpAddr::is_ipv4),
            addresses.iter().any(IpAddr::is_ipv6),
        ),
        false => (families.contains(&IpFamily::V4), families.contains(&IpFamily::V6)),
    };
    match (v4, v6) {
        (true, true) => IpFamilies::Dual,
        (true, false) => IpFamilies::V4Only,
        (false, true) => IpFamilies::V6Only,
        (false, false) => IpFamilies::Automatic,
    }
}

fn load_balancing(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    service: &Service,
    conditions: &mut Vec<Condition>,
) -> LoadBalancing {
    let (preference, mode) = match service.spec.internal_traffic_policy {
        Some(InternalTrafficPolicy::Local) => (vec![Scope::Node], Mode::Strict),
        _ => match distribution(
            fetch,
            lookups,
            &service.metadata,
            service.spec.traffic_distribution.as_ref(),
            conditions,
        ) {
            Some(preference) => (preference, Mode::Failover),
            None => (Vec::new(), Mode::Any),
        },
    };
    LoadBalancing {
        preference,
        mode,
        health: match service.spec.publish_not_ready_addresses {
            true => HealthPolicy::AllowAll,
            false => HealthPolicy::OnlyHealthy,
        },
    }
}

/// The field, else the object's annotation, else the Namespace's. Of an annotation of the object that is not known
/// `settings` says so.
pub(crate) fn distribution(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    metadata: &Metadata,
    field: Option<&Strng>,
    conditions: &mut Vec<Condition>,
) -> Option<Vec<Scope>> {
    let annotation = || metadata.annotations.get(TRAFFIC_DISTRIBUTION);
    let (source, value) = field
        .map(|v| ("spec.trafficDistribution", v))
        .or_else(|| Some((TRAFFIC_DISTRIBUTION, annotation()?)))
        .or_else(|| {
            Some((
                OF_NAMESPACE,
                fetch.get(lookups.namespaces.distributions, &metadata.namespace)?,
            ))
        })?;
    let zone = vec![Scope::Network, Scope::Region, Scope::Zone];
    match value.to_ascii_lowercase().as_str() {
        "preferclose" | "prefersamezone" => Some(zone),
        "prefersamenode" => Some([zone, vec![Scope::Subzone, Scope::Node]].concat()),
        _ => {
            if source != TRAFFIC_DISTRIBUTION {
                let message = format!("{value:?} is not known and without effect");
                conditions.push(Condition::at(ConditionReason::UnknownValue, source, message));
            }
            None
        }
    }
}

const OF_NAMESPACE: &str = "metadata.annotations[networking.istio.io/traffic-distribution] of its Namespace";
/// What may be said of a traffic distribution, in any case of letters.
pub(crate) const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
/// What `clusterIP` says on a headless Service.
const NO_ADDRESS: &str = "None";

#[cfg(test)]
mod tests;
