//! The endpoints of a ServiceEntry become workloads.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_collections::Fetch;
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::networking::{Resolution, ServiceEntry, WorkloadEntrySpec};
use mesh_model::{Ports, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use super::{Entry, OwnedHost, provenance};
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::WorkloadLookups;
use crate::workload_entry::{Endpoint, entry_ports, workload_of};

/// The workloads of a ServiceEntry: its endpoints, else one with each host's name, for proxies to resolve.
pub(crate) fn workloads_from_service_entry(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
) -> Vec<(WorkloadUid, Derived<Workload>)> {
    let derived = fetch.get(lookups.entries.entries, name);
    let Some(facts) = derived
        .and_then(|d| d.value.as_ref())
        .filter(|f| !f.hosts.is_empty())
    else {
        return Vec::new();
    };
    match entry.spec.endpoints.is_empty() {
        true => implied(fetch, config, lookups, name, entry, facts),
        false => written(fetch, config, lookups, name, entry, facts),
    }
}

/// The endpoints that a ServiceEntry lists, and their labels.
pub(crate) fn labelled_endpoints<'e>(
    config: &MeshConfig,
    name: &NamespacedName,
    entry: &'e ServiceEntry,
) -> Vec<(WorkloadUid, &'e Labels)> {
    let mut seen = BTreeSet::new();
    let endpoints = entry.spec.endpoints.iter().enumerate();
    endpoints
        .map(|(i, spec)| (own_uid(config, name, &spec.address, i, &mut seen), &spec.labels))
        .collect()
}

fn written(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
    facts: &Entry,
) -> Vec<(WorkloadUid, Derived<Workload>)> {
    let mut seen = BTreeSet::new();
    let endpoints = entry.spec.endpoints.iter().enumerate().map(|(i, spec)| {
        let uid = own_uid(config, name, &spec.address, i, &mut seen);
        let is_name = spec.address.parse::<std::net::IpAddr>().is_err();
        let derived = if entry.spec.resolution == Resolution::Static && is_name && !spec.address.is_empty() {
            let message = format!(
                "{:?} is no IP address, and resolution STATIC resolves nothing",
                spec.address
            );
            let field = format!("spec.endpoints[{i}].address");
            let condition = Condition::at(ConditionReason::Invalid, field, message);
            Derived::nothing(provenance(name), condition)
        } else {
            let field = format!("spec.endpoints[{i}]");
            let endpoint = of_spec(name, entry, &uid, spec, &spec.labels, &field);
            let services = facts.hosts.iter().map(|host| served(host, entry, spec)).collect();
            workload_of(fetch, config, lookups, &endpoint, services)
        };
        (uid, derived)
    });
    endpoints.collect()
}

fn implied(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
    facts: &Entry,
) -> Vec<(WorkloadUid, Derived<Workload>)> {
    let resolves = matches!(
        entry.spec.resolution,
        Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns
    );
    if !resolves || entry.spec.workload_selector.is_some() {
        return Vec::new();
    }
    let endpoints = facts.hosts.iter().map(|host| {
        let spec = WorkloadEntrySpec {
            address: host.name.hostname.clone(),
            ..WorkloadEntrySpec::default()
        };
        let uid = uid(config, name, &spec.address);
        // There is nothing but the object to have labels; whoever asks for a waypoint there asks for the service's.
        let endpoint = Endpoint {
            bound: false,
            ..of_spec(name, entry, &uid, &spec, &entry.metadata.labels, "spec.hosts")
        };
        let services = BTreeMap::from([served(host, entry, &spec)]);
        let derived = workload_of(fetch, config, lookups, &endpoint, services);
        (uid, derived)
    });
    endpoints.collect()
}

/// Policies match the labels of the endpoint. (Upstream takes those of the ServiceEntry, and of none of them finds that
/// every selector matches.)
fn of_spec<'a>(
    name: &'a NamespacedName,
    entry: &'a ServiceEntry,
    uid: &'a WorkloadUid,
    spec: &'a WorkloadEntrySpec,
    labels: &'a Labels,
    field: &'a str,
) -> Endpoint<'a> {
    Endpoint {
        uid,
        name: &name.name,
        namespace: &name.namespace,
        provenance: provenance(name),
        field,
        spec,
        labels,
        annotations: &entry.metadata.annotations,
        workload_name: name.name.clone(),
        wider: &entry.metadata.labels,
        bound: true,
    }
}

fn served(host: &OwnedHost, entry: &ServiceEntry, spec: &WorkloadEntrySpec) -> (NamespacedHostname, Ports) {
    (host.name.clone(), entry_ports(entry, &spec.ports))
}

fn uid(config: &MeshConfig, name: &NamespacedName, address: &Strng) -> WorkloadUid {
    let (cluster, NamespacedName { namespace, name }) = (&config.cluster_id, name);
    WorkloadUid::new(format!(
        "{cluster}/networking.istio.io/ServiceEntry/{namespace}/{name}/{address}"
    ))
}

/// The uid of one of several endpoints, of which some may have the same address, with other ports.
fn own_uid(
    config: &MeshConfig,
    name: &NamespacedName,
    address: &Strng,
    place: usize,
    seen: &mut BTreeSet<WorkloadUid>,
) -> WorkloadUid {
    let uid = uid(config, name, address);
    match seen.insert(uid.clone()) {
        true => uid,
        false => WorkloadUid::new(format!("{uid}/{place}")),
    }
}
