//! A ServiceEntry becomes a service for each of its hosts, and a workload for each of its endpoints (Istio reference,
//! "Service Entry").
//!
//! ```text
//!   resolution          service                               workloads
//!   STATIC              at its addresses                      each endpoint; Pods and WorkloadEntries that it selects
//!   DNS (ROUND_ROBIN)   at its addresses, or given ones       each endpoint, or one with the host's name to resolve
//!   DYNAMIC_DNS         at given addresses, for a waypoint    one with the wildcard, which only a waypoint can resolve
//!   NONE                at its addresses, passed through      none
//! ```
//! Of several objects with one host in one namespace, one has it ([`hosts`]); the others' endpoints are left out too.

mod endpoints;
mod hosts;

use std::net::IpAddr;

use controlplane_collections::Fetch;
use controlplane_k8s_api::networking::{PortProtocol, Resolution, ServiceEntry, ServiceEntryPort};
use controlplane_k8s_api::validate::names;
use controlplane_k8s_api::{Kind, ObjectKey};
use ipnet::IpNet;
use mesh_model::service::{HealthPolicy, LoadBalancing, Mode, VirtualAddress, Visibility};
use mesh_model::{AppProtocol, Port, Service as MeshService};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::age::Age;
use crate::allocation::Wanted;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::{EntryLookups, Lookups};
use crate::service::distribution;
use crate::settings;
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason};
use crate::waypoint::Traffic;
use crate::waypoint::binding::{Binding, Target, bind, complaint};

pub(crate) use endpoints::{labelled_endpoints, workloads_from_service_entry};
pub(crate) use hosts::{OwnedHost, normal};

/// What holds for a ServiceEntry as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Who may know of it.
    pub(crate) visibility: Visibility,
    /// The hosts that it has, in the order of the object.
    pub(crate) hosts: Vec<OwnedHost>,
    /// Its waypoint.
    pub(crate) binding: Binding,
}

/// Decides what holds for a ServiceEntry as a whole; nothing where nobody may know of it.
pub(crate) fn entry_from_service_entry(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
) -> Derived<Entry> {
    let mut conditions = Vec::new();
    let mut status = Vec::new();
    let visibility = hosts::visibility(fetch, config, lookups, name, entry, &mut conditions);
    let said = !hosts::rules(fetch, config, lookups).is_empty();
    status.extend(visibility_status(said, entry, visibility));
    let Some(visibility) = visibility else {
        return Derived {
            value: None,
            provenance: provenance(name),
            conditions,
            status,
        };
    };
    let settings = settings::of_service_entry(&entry.metadata);
    status.extend(unknown_settings(fetch, lookups, entry, &settings).map(Stated::from));
    let hosts = hosts::owned(fetch, config, lookups, name, entry, &mut conditions);
    status.push(hosts_status(&hosts, &conditions));
    let binding = bind(
        fetch,
        config,
        lookups,
        &Target {
            namespace: &name.namespace,
            labels: &entry.metadata.labels,
            annotations: &entry.metadata.annotations,
            traffic: Traffic::Service,
            hidden: visibility == Visibility::Namespace,
        },
    );
    conditions.extend(complaint(binding.status.as_ref()));
    conditions.extend(settings);
    let bound = binding.status.as_ref().is_some_and(|s| s.holds);
    status.extend(binding.status.clone().map(Stated::from));
    if !bound {
        status.extend(waypoint_missing(entry).map(Stated::from));
    }
    Derived {
        conditions,
        status,
        ..Derived::of(
            provenance(name),
            Entry {
                visibility,
                hosts,
                binding,
            },
        )
    }
}

/// The services of a ServiceEntry, one for each host that it has.
pub(crate) fn services_from_service_entry(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    entries: &EntryLookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
) -> Vec<(NamespacedHostname, Derived<MeshService>)> {
    let derived = fetch.get(entries.entries, name);
    let Some(facts) = derived.and_then(|d| d.value.as_ref()) else {
        return Vec::new();
    };
    let mut conditions = Vec::new();
    let network = lookups.namespaces.network(fetch, config);
    let own: Vec<VirtualAddress> = own_addresses(entry, &mut conditions)
        .into_iter()
        .map(|range| VirtualAddress::range(network.clone(), range))
        .collect();
    let given = fetch.get(lookups.inputs.allocations, name);
    let load_balancing = load_balancing(fetch, lookups, entry, &mut conditions);
    let service = |host: &OwnedHost| {
        let given = given
            .into_iter()
            .flatten()
            .filter(|(h, _)| *h == host.name.hostname);
        let addresses = match own.is_empty() {
            true => given
                .map(|(_, ip)| VirtualAddress::single(network.clone(), *ip))
                .collect(),
            false => own.clone(),
        };
        MeshService {
            addresses,
            ports: entry.spec.ports.iter().map(port).collect(),
            subject_alt_names: entry.spec.subject_alt_names.clone(),
            waypoint: facts.binding.waypoint.clone(),
            weighted_waypoints: facts.binding.weighted.clone(),
            ingress_use_waypoint: facts.binding.ingress,
            load_balancing: load_balancing.clone(),
            canonical: host.canonical,
            visibility: facts.visibility,
            ..MeshService::new(host.name.clone(), name.name.clone())
        }
    };
    let services = facts.hosts.iter().map(|host| {
        let derived = Derived {
            // Once is enough.
            conditions: std::mem::take(&mut conditions),
            ..Derived::of(provenance(name), service(host))
        };
        (host.name.clone(), derived)
    });
    services.collect()
}

/// What a ServiceEntry wants of the addresses that are given out.
pub(crate) fn wanted_addresses(entry: &ServiceEntry) -> Wanted {
    let spec = &entry.spec;
    let opted_out = entry
        .metadata
        .labels
        .get(AUTO_ADDRESSES)
        .is_some_and(|l| l.eq_ignore_ascii_case("false"));
    let wants = spec.resolution != Resolution::None && spec.addresses.is_empty() && !opted_out;
    let resolvable = |host: &&Strng| !is_wildcard(host) || spec.resolution == Resolution::DynamicDns;
    let hosts = spec.hosts.iter().filter(|h| wants && hosts::check(h).is_ok());
    let hosts: Vec<Strng> = hosts.filter(resolvable).map(normal).collect();
    let recorded = entry.status.addresses.iter().filter_map(|a| {
        let host = normal(&a.host);
        let address = a.value.parse().ok()?;
        hosts.contains(&host).then_some((host, address))
    });
    Wanted {
        recorded: recorded.collect(),
        hosts,
        claimed: own_addresses(entry, &mut Vec::new()),
        age: Age::of(&entry.metadata),
    }
}

/// The hosts of an entry that have no address, and are given none.
#[must_use]
pub fn hosts_without_address(entry: &ServiceEntry) -> Vec<Strng> {
    if !entry.spec.addresses.is_empty() {
        return Vec::new();
    }
    let given = wanted_addresses(entry).hosts;
    let recorded = |host: &Strng| entry.status.addresses.iter().any(|at| normal(&at.host) == *host);
    let hosts = entry.spec.hosts.iter().map(normal);
    hosts
        .filter(|host| !given.contains(host) && !recorded(host))
        .collect()
}

/// Whether an entry's status has these addresses, and no others.
pub(crate) fn are_recorded(entry: &ServiceEntry, given: &[(Strng, IpAddr)]) -> bool {
    let recorded = &entry.status.addresses;
    let is_there = |(host, address): &(Strng, IpAddr)| {
        let of_host = recorded.iter().filter(|r| normal(&r.host) == *host);
        let mut of_host = of_host.filter_map(|r| r.value.parse().ok());
        of_host.any(|r| mesh_types::address::canonical(r) == *address)
    };
    recorded.len() == given.len() && given.iter().all(is_there)
}

fn own_addresses(entry: &ServiceEntry, conditions: &mut Vec<Condition>) -> Vec<IpNet> {
    let mut ranges = Vec::new();
    for (i, text) in entry.spec.addresses.iter().enumerate() {
        match names::ip_block(text) {
            Ok(range) => ranges.push(canonical(range)),
            Err(message) => {
                let field = format!("spec.addresses[{i}]");
                conditions.push(Condition::at(ConditionReason::Invalid, field, message));
            }
        }
    }
    ranges
}

/// A single address that is an IPv4 one in disguise is that one.
fn canonical(range: IpNet) -> IpNet {
    match range.prefix_len() == range.max_prefix_len() {
        true => IpNet::from(mesh_types::address::canonical(range.addr())),
        false => range,
    }
}

fn port(port: &ServiceEntryPort) -> Port {
    Port {
        service_port: port.number,
        target_port: Some(target_port(port)),
        app_protocol: app_protocol(port.protocol),
    }
}

fn app_protocol(protocol: PortProtocol) -> AppProtocol {
    match protocol {
        PortProtocol::Http => AppProtocol::Http11,
        PortProtocol::Http2 => AppProtocol::Http2,
        PortProtocol::Grpc => AppProtocol::Grpc,
        PortProtocol::GrpcWeb => AppProtocol::GrpcWeb,
        PortProtocol::Tls | PortProtocol::Https => AppProtocol::Tls,
        PortProtocol::Tcp => AppProtocol::Tcp,
        PortProtocol::Unset
        | PortProtocol::Udp
        | PortProtocol::Mongo
        | PortProtocol::Redis
        | PortProtocol::MySql => AppProtocol::Unknown,
    }
}

pub(crate) fn target_port(port: &ServiceEntryPort) -> u16 {
    port.target_port.filter(|p| *p != 0).unwrap_or(port.number)
}

fn load_balancing(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    entry: &ServiceEntry,
    conditions: &mut Vec<Condition>,
) -> LoadBalancing {
    if entry.spec.resolution == Resolution::None {
        return LoadBalancing {
            preference: Vec::new(),
            mode: Mode::Passthrough,
            health: HealthPolicy::AllowAll,
        };
    }
    match distribution(fetch, lookups, &entry.metadata, None, conditions) {
        Some(preference) => LoadBalancing {
            preference,
            mode: Mode::Failover,
            health: HealthPolicy::OnlyHealthy,
        },
        None => LoadBalancing::default(),
    }
}

/// What its labels and annotations say that is not known, and what its Namespace's say to it.
fn unknown_settings(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    entry: &ServiceEntry,
    own: &[Condition],
) -> Option<StatusCondition> {
    // The services of its hosts say of it what the Namespace says.
    let mut all = own.to_vec();
    load_balancing(fetch, lookups, entry, &mut all);
    settings::status(&all)
}

/// Told where anything but the default was asked for.
fn visibility_status(
    said_by_mesh: bool,
    entry: &ServiceEntry,
    visibility: Option<Visibility>,
) -> Option<Stated> {
    if !said_by_mesh && entry.spec.export_to.is_empty() {
        return None;
    }
    let (reason, message) = match visibility {
        Some(Visibility::Public) => (StatusReason::Public, "every namespace may know of it"),
        Some(Visibility::Namespace) => (StatusReason::Namespace, "only its own namespace may know of it"),
        None => (StatusReason::None, "nobody may know of it: proxies are not told"),
    };
    Some(StatusCondition::new(ConditionType::VisibilityApplied, true, reason, message).into())
}

fn hosts_status(hosts: &[OwnedHost], conditions: &[Condition]) -> Stated {
    let lost: Vec<String> = conditions
        .iter()
        .filter(|c| matches!(c.reason, ConditionReason::HostTaken | ConditionReason::Invalid))
        .map(ToString::to_string)
        .collect();
    let condition =
        |holds, reason, message| StatusCondition::new(ConditionType::HostsAccepted, holds, reason, message);
    match (lost.is_empty(), hosts.is_empty()) {
        (true, _) => condition(true, StatusReason::Accepted, "every host is its own".to_owned()),
        (false, false) => condition(true, StatusReason::PartiallyInvalid, lost.join("; ")),
        (false, true) => condition(false, StatusReason::HostTaken, lost.join("; ")),
    }
    .into()
}

/// What only a waypoint can do.
fn waypoint_missing(entry: &ServiceEntry) -> Option<StatusCondition> {
    let missing =
        |reason, message| StatusCondition::new(ConditionType::WaypointMissing, true, reason, message);
    if entry.spec.hosts.iter().any(|h| is_wildcard(h)) {
        let message = "a wildcard host has no effect until the ServiceEntry is bound to a waypoint";
        return Some(missing(StatusReason::NoWaypointForWildcardService, message));
    }
    let strategy = entry.metadata.annotations.get(CONNECT_STRATEGY);
    let races = strategy.is_some_and(|s| s.eq_ignore_ascii_case(RACE));
    let message = "istio.io/connect-strategy has no effect until the ServiceEntry is bound to a waypoint";
    races.then(|| missing(StatusReason::NoWaypointForRacingConnectStrategy, message))
}

fn is_wildcard(host: &str) -> bool {
    host.starts_with('*')
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::ServiceEntry,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

/// `false`: its hosts get no addresses but its own.
pub(crate) const AUTO_ADDRESSES: &str = "networking.istio.io/enable-autoallocate-ip";
pub(crate) const CONNECT_STRATEGY: &str = "istio.io/connect-strategy";
const RACE: &str = "RACE_FIRST_TCP_CONNECT";
/// What may be said there, in any case of letters.
pub(crate) const CONNECT_STRATEGIES: [&str; 2] = ["DEFAULT", RACE];

#[cfg(test)]
mod tests;
