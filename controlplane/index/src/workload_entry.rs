//! A WorkloadEntry becomes a workload (Istio reference, "Workload Entry"): a VM or whatever else is no Pod. An endpoint
//! that is written into a ServiceEntry is the same without an object of its own.

use std::collections::BTreeMap;
use std::net::IpAddr;

use controlplane_collections::Fetch;
use controlplane_k8s_api::networking::{ServiceEntry, WorkloadEntry, WorkloadEntrySpec};
use controlplane_k8s_api::service::{Service, ServicePort, TargetPort};
use controlplane_k8s_api::{Kind, Labels, ObjectKey};
use mesh_model::workload::{Locality, TunnelProtocol, WorkloadType};
use mesh_model::{AppProtocol, Port, Ports, Workload};
use mesh_types::{Identity, NamespacedHostname, NamespacedName, Strng, WorkloadUid, address::canonical};

use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::labels::{LabelKey, selects};
use crate::lookups::WorkloadLookups;
use crate::ownership::{
    CANONICAL_NAME_LABELS, CANONICAL_REVISION_LABELS, DEFAULT_REVISION, WORKLOAD_NAME_LABEL, first_label,
};
use crate::pod::{REDIRECTION, TUNNEL_LABEL, authorization_policies};
use crate::service;
use crate::service_entry::target_port;
use crate::settings;
use crate::status::Stated;
use crate::waypoint::binding::{Target, bind_workload, complaint};
use crate::waypoint::instances::{self, Candidate, may_stand_behind};
use crate::waypoint::{Traffic, allow};

/// The workload of a WorkloadEntry.
pub(crate) fn workload_from_workload_entry(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    entry: &WorkloadEntry,
) -> Derived<Workload> {
    // Labels may stand in both places; those of the object count.
    let mut labels = entry.spec.labels.clone();
    labels.extend(entry.metadata.labels.clone());
    let group = entry.metadata.annotations.get(REGISTRATION_GROUP);
    let workload_name = group
        .or_else(|| labels.get(WORKLOAD_NAME_LABEL))
        .unwrap_or(&name.name);
    let uid = uid(config, name);
    let endpoint = Endpoint {
        uid: &uid,
        name: &name.name,
        namespace: &name.namespace,
        provenance: ObjectKey {
            kind: Kind::WorkloadEntry,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        },
        field: "spec",
        spec: &entry.spec,
        labels: &labels,
        wider: &labels,
        annotations: &entry.metadata.annotations,
        workload_name: workload_name.clone(),
        bound: true,
    };
    let mut conditions = settings::of_workload_entry(&entry.metadata);
    let candidate = Candidate {
        labels: &labels,
        account: account_of(&entry.spec),
    };
    let foreign = instances::complaint(fetch, &lookups.base, &name.namespace, candidate);
    conditions.extend(foreign);
    let unknown = settings::status(&conditions);
    let services = services_of(fetch, config, lookups, &endpoint, &mut conditions);
    let mut derived = workload_of(fetch, config, lookups, &endpoint, services);
    derived.conditions.append(&mut conditions);
    derived.status.extend(unknown.map(Stated::from));
    derived
}

/// An endpoint, with an object of its own or without.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) uid: &'a WorkloadUid,
    pub(crate) name: &'a Strng,
    pub(crate) namespace: &'a Strng,
    pub(crate) provenance: ObjectKey,
    /// Where in the object it stands.
    pub(crate) field: &'a str,
    pub(crate) spec: &'a WorkloadEntrySpec,
    /// What selectors match.
    pub(crate) labels: &'a Labels,
    /// What else may say how it is called and how it takes connections: labels of the object around it.
    pub(crate) wider: &'a Labels,
    pub(crate) annotations: &'a Labels,
    pub(crate) workload_name: Strng,
    /// It may have a waypoint of its own.
    pub(crate) bound: bool,
}

/// The workload of an endpoint that serves these services.
pub(crate) fn workload_of(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    endpoint: &Endpoint<'_>,
    services: BTreeMap<NamespacedHostname, Ports>,
) -> Derived<Workload> {
    let spec = endpoint.spec;
    let nothing = |field: &str, message: String| {
        let field = format!("{}.{field}", endpoint.field);
        let condition = Condition::at(ConditionReason::Invalid, field, message);
        Derived::nothing(endpoint.provenance.clone(), condition)
    };
    let (addresses, hostname) = match place(&spec.address, &spec.network) {
        Ok(place) => place,
        Err(message) => return nothing("address", message),
    };
    let account = account_of(spec);
    let identity = Identity::new(config.trust_domain.clone(), endpoint.namespace.clone(), account);
    let identity = match identity {
        Ok(identity) => identity,
        Err(e) => return nothing("serviceAccount", e.to_string()),
    };
    let label =
        |names: &[&str]| first_label(endpoint.labels, names).or_else(|| first_label(endpoint.wider, names));
    let native_tunnel = [endpoint.labels, endpoint.wider]
        .iter()
        .any(|labels| labels.get(TUNNEL_LABEL).is_some_and(|l| l == "http"));
    let redirected = endpoint
        .annotations
        .get(REDIRECTION)
        .is_some_and(|a| a == "enabled");
    let binding = match endpoint.bound {
        true => bind_workload(fetch, config, &lookups.base, &target(endpoint), account),
        false => Default::default(),
    };
    let mut policies = authorization_policies(
        fetch,
        config,
        &lookups.policies,
        endpoint.namespace,
        endpoint.labels,
    );
    policies.extend(allow::policies_of(
        fetch,
        config,
        lookups,
        &binding.guards,
        services.keys(),
    ));
    let workload = Workload {
        account_implied: spec.service_account.is_empty(),
        addresses,
        hostname,
        network: match spec.network.is_empty() {
            true => lookups.base.namespaces.network(fetch, config),
            false => spec.network.clone(),
        },
        tunnel_protocol: match redirected || native_tunnel {
            true => TunnelProtocol::Hbone,
            false => TunnelProtocol::None,
        },
        native_tunnel,
        waypoint: binding.waypoint,
        application_tunnel: binding.application_tunnel,
        cluster_id: config.cluster_id.clone(),
        locality: locality(&spec.locality),
        canonical_name: label(&CANONICAL_NAME_LABELS).unwrap_or_else(|| endpoint.workload_name.clone()),
        canonical_revision: label(&CANONICAL_REVISION_LABELS).unwrap_or_else(|| DEFAULT_REVISION.into()),
        workload_type: WorkloadType::Pod,
        workload_name: endpoint.workload_name.clone(),
        authorization_policies: policies,
        services,
        // 0 is what an absent weight reads as.
        capacity: spec.weight.max(1),
        ..Workload::new(endpoint.uid.clone(), endpoint.name.clone(), identity)
    };
    Derived {
        conditions: complaint(binding.status.as_ref()).into_iter().collect(),
        status: binding.status.map(Stated::from).into_iter().collect(),
        ..Derived::of(endpoint.provenance.clone(), workload)
    }
}

/// Whom it runs as.
fn account_of(spec: &WorkloadEntrySpec) -> &str {
    match spec.service_account.is_empty() {
        true => DEFAULT_ACCOUNT,
        false => spec.service_account.as_str(),
    }
}

/// A ServiceEntry's ports on an endpoint: those that the endpoint names, by the port's name, else the target port.
pub(crate) fn entry_ports(entry: &ServiceEntry, named: &BTreeMap<Strng, u16>) -> Ports {
    let ports = entry.spec.ports.iter().filter(|p| p.number != 0);
    ports
        .map(|port| Port {
            service_port: port.number,
            target_port: Some(
                named
                    .get(&port.name)
                    .copied()
                    .unwrap_or_else(|| target_port(port)),
            ),
            app_protocol: AppProtocol::Unknown,
        })
        .collect()
}

/// The Services and ServiceEntries that select the endpoint.
fn services_of(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    endpoint: &Endpoint<'_>,
    conditions: &mut Vec<Condition>,
) -> BTreeMap<NamespacedHostname, Ports> {
    let mut services = BTreeMap::new();
    for (host, entry) in lookups
        .entries
        .selecting(fetch, endpoint.namespace, endpoint.labels)
    {
        services.insert(host, entry_ports(entry, &endpoint.spec.ports));
    }
    let candidate = Candidate {
        labels: endpoint.labels,
        account: account_of(endpoint.spec),
    };
    let candidates = LabelKey::of_labels(endpoint.namespace, endpoint.labels)
        .flat_map(|label| fetch.by(lookups.base.services_by_label, &label));
    for (name, service) in candidates {
        if selects(&service.spec.selector, endpoint.labels)
            && !service::is_alias(service)
            && may_stand_behind(fetch, &lookups.base, (name, service), candidate)
        {
            let ports = service_ports(name, service, &endpoint.spec.ports, conditions);
            services.insert(service::hostname(config, name), ports);
        }
    }
    services
}

/// A Service's ports on an endpoint. A port whose named target the endpoint does not name is left out for it alone.
fn service_ports(
    name: &NamespacedName,
    service: &Service,
    named: &BTreeMap<Strng, u16>,
    conditions: &mut Vec<Condition>,
) -> Ports {
    let port = |port: &ServicePort| {
        let target_port = match &port.target_port {
            Some(TargetPort::Name(target)) => {
                let number = named.get(target).copied();
                if number.is_none() {
                    let number = port.port;
                    let message = format!(
                        "Service {name} sends port {number} to a port named {target:?}, which is not among the ports"
                    );
                    conditions.push(Condition::new(ConditionReason::UnknownTargetPort, message));
                }
                number?
            }
            numbered => {
                let by_name = named.get(&port.name).copied();
                by_name.unwrap_or_else(|| service::target_number(port.port, numbered.as_ref()))
            }
        };
        Some(Port {
            service_port: port.port,
            target_port: Some(target_port),
            app_protocol: AppProtocol::Unknown,
        })
    };
    service.spec.ports.iter().filter_map(port).collect()
}

/// Its address, or the name that proxies resolve. An endpoint with neither is one that is reached through its network's
/// gateway.
fn place(address: &Strng, network: &Strng) -> Result<(Vec<IpAddr>, Strng), String> {
    if address.is_empty() {
        return match network.is_empty() {
            true => Err("is required where there is no network".to_owned()),
            false => Ok((Vec::new(), Strng::default())),
        };
    }
    if let Ok(ip) = address.parse() {
        return Ok((vec![canonical(ip)], Strng::default()));
    }
    if address.starts_with("unix:") {
        return Err(format!(
            "{address:?} is a path on one machine, which a mesh cannot reach"
        ));
    }
    Ok((Vec::new(), address.clone()))
}

/// `<region>/<zone>/<subzone>`, with fewer parts where less is known.
fn locality(text: &str) -> Locality {
    let mut parts = text.split('/').map(Strng::from);
    let mut next = || parts.next().unwrap_or_default();
    Locality {
        region: next(),
        zone: next(),
        subzone: next(),
    }
}

fn target<'a>(endpoint: &Endpoint<'a>) -> Target<'a> {
    Target {
        namespace: endpoint.namespace,
        labels: endpoint.labels,
        annotations: endpoint.annotations,
        traffic: Traffic::Workload,
        hidden: false,
    }
}

pub(crate) fn uid(config: &MeshConfig, name: &NamespacedName) -> WorkloadUid {
    let (cluster, NamespacedName { namespace, name }) = (&config.cluster_id, name);
    WorkloadUid::new(format!(
        "{cluster}/networking.istio.io/WorkloadEntry/{namespace}/{name}"
    ))
}

/// The WorkloadGroup that a registered VM belongs to.
const REGISTRATION_GROUP: &str = "istio.io/autoRegistrationGroup";
const DEFAULT_ACCOUNT: &str = "default";

#[cfg(test)]
mod tests;
