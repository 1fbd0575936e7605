//! The endpoints of a destination, as the mesh, the snapshot and DNS have them now.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::l7::backend::Location;
use mesh_model::lb::Endpoint;
use mesh_model::service::{LoadBalancing, Mode, VirtualAddress};
use mesh_model::{AppProtocol, Service, Workload};
use mesh_state::View;
use mesh_state::l7::L7Snapshot;
use mesh_types::Strng;

use super::cluster::Toward;
use super::endpoint::Found;
use super::rules::Rules;
use super::{ClusterKey, Shared, through};

/// A destination that exists.
pub(super) struct Destination {
    pub(super) protocol: AppProtocol,
    /// What a service says of its endpoints.
    pub(super) balancing: Option<LoadBalancing>,
    pub(super) endpoints: Vec<Found>,
    /// Endpoints that take nothing new.
    pub(super) leaving: Vec<Found>,
    /// Its endpoint is wherever a client was going.
    pub(super) passed_through: bool,
    /// Hosts that its endpoints go by.
    pub(super) names: Vec<Strng>,
    /// Some of those are not resolved yet.
    pub(super) resolving: bool,
    /// Endpoints that are left out because they are in other networks.
    pub(super) elsewhere: usize,
    /// What comes from outside passes its waypoint.
    pub(super) guarded: Option<Arc<Service>>,
}

/// What is looked at.
pub(super) struct Looking<'v> {
    pub(super) view: &'v View,
    pub(super) snapshot: &'v L7Snapshot,
    pub(super) rules: &'v Rules,
    pub(super) shared: &'v Shared,
}

impl Looking<'_> {
    pub(super) fn look_up(&self, key: &ClusterKey) -> Option<Destination> {
        match key {
            ClusterKey::Service(at, _) => {
                let service = self.view.service_by_name(&at.service)?;
                let port = service.ports.get(at.port)?;
                if self.rules.unknown_subset {
                    // Nothing can be sent there: 503, as in Envoy.
                    return Some(Destination::new(port.app_protocol, Vec::new()));
                }
                let mut destination = self.of_service(service, at.port);
                destination.protocol = port.app_protocol;
                destination.passed_through = service.load_balancing.mode == Mode::Passthrough;
                destination.balancing = Some(service.load_balancing.clone());
                let guarded = through::is_wanted(self.view, service, &self.shared.gateway);
                destination.guarded = guarded.then(|| service.clone());
                Some(destination)
            }
            ClusterKey::Toward(at, _, toward) => {
                let service = self.view.service_by_name(&at.service)?;
                let port = service.ports.get(at.port)?;
                let mut destination = match toward {
                    _ if self.rules.unknown_subset => Destination::new(port.app_protocol, Vec::new()),
                    Toward::Host(host) => {
                        let endpoints = self.view.endpoints(service).as_slice().iter();
                        let mut mapped = endpoints.filter_map(|e| e.ports().get(at.port)?.target_port);
                        let target = mapped.next().or(port.target_port).unwrap_or(at.port);
                        self.of_name(host, target, is_elsewhere)
                    }
                    Toward::Address(address) => {
                        let own = is_at(service, *address, at.port);
                        let endpoint = own.then(|| Found::plain(*address));
                        Destination::new(port.app_protocol, endpoint.into_iter().collect())
                    }
                };
                destination.protocol = port.app_protocol;
                Some(destination)
            }
            ClusterKey::Through(at, gateway) => {
                let service = self.view.service_by_name(&at.service)?;
                let port = service.ports.get(at.port)?;
                let mut destination = through::endpoints(self, service, at.port, gateway);
                destination.protocol = port.app_protocol;
                Some(destination)
            }
            ClusterKey::Workload(uid, address) => {
                let workload = self.view.workload_by_uid(uid)?;
                let endpoint = self.of_workload(workload, *address, None);
                Some(Destination::new(AppProtocol::Unknown, vec![endpoint]))
            }
            ClusterKey::Backend(name) => match &self.snapshot.backend(name)?.location {
                Location::Static(addresses) => {
                    let endpoints = addresses.iter().map(|address| Found::plain(*address));
                    Some(Destination::new(AppProtocol::Unknown, endpoints.collect()))
                }
                Location::Dns { host, port } => Some(self.of_name(host, *port, |_| true)),
                // Without a name there is nothing to ask for.
                Location::Dynamic { .. } => Some(Destination::new(AppProtocol::Unknown, Vec::new())),
            },
            ClusterKey::Host(name, host) => match &self.snapshot.backend(name)?.location {
                Location::Dynamic { suffixes, port } if is_below(host, suffixes) => {
                    Some(self.of_name(host, *port, is_elsewhere))
                }
                _ => None,
            },
        }
    }

    fn of_service(&self, service: &Arc<Service>, port: u16) -> Destination {
        let mut destination = Destination::new(AppProtocol::Unknown, Vec::new());
        let is_near = |workload: &Workload| self.is_near(workload) && self.is_meant(workload);
        let target_of = |endpoint: &Endpoint| {
            let mapped = endpoint.ports().get(port).and_then(|p| p.target_port);
            mapped.or_else(|| service.ports.get(port).and_then(|p| p.target_port))
        };
        // Without a known address nobody has a session.
        let leaving = self.view.leaving(service).filter_map(|endpoint| {
            let (workload, target) = (&endpoint.workload, target_of(&endpoint)?);
            let ip = address(workload, service).filter(|_| is_near(workload))?;
            Some(self.of_workload(workload, SocketAddr::new(ip, target), Some(service)))
        });
        destination.leaving.extend(leaving);
        for endpoint in self.view.endpoints(service).as_slice() {
            let workload = &endpoint.workload;
            if workload.capacity == 0 || !self.is_meant(workload) {
                continue;
            }
            if !self.is_near(workload) {
                destination.elsewhere += 1;
                continue;
            }
            let Some(target) = target_of(endpoint) else {
                continue;
            };
            let add = |ip| self.of_workload(workload, SocketAddr::new(ip, target), Some(service));
            if let Some(ip) = address(workload, service) {
                destination.endpoints.push(add(ip));
            } else if !workload.hostname.is_empty() && !workload.hostname.starts_with('*') {
                destination.names.push(workload.hostname.clone());
                let Some(addresses) = self.addresses(&workload.hostname) else {
                    destination.resolving = true;
                    continue;
                };
                let accepted = addresses.iter().filter(|ip| service.ip_families.accept(**ip));
                destination.endpoints.extend(accepted.map(|ip| add(*ip)));
            }
        }
        destination
    }

    /// Whether it is in this network: there is no way to others.
    pub(super) fn is_near(&self, workload: &Workload) -> bool {
        workload.network == self.shared.gateway.network
    }

    /// Whether a subset has it. Of a workload whose labels nobody told, nothing is guessed.
    fn is_meant(&self, workload: &Workload) -> bool {
        let wanted = self.rules.labels();
        wanted.is_empty()
            || self
                .snapshot
                .labels_of(&workload.uid)
                .is_some_and(|labels| labels.have(wanted))
    }

    fn of_workload(&self, workload: &Arc<Workload>, address: SocketAddr, service: Option<&Service>) -> Found {
        Found::of_workload(workload, address, service, self.snapshot, self.rules, self.shared)
    }

    fn of_name(&self, host: &Strng, port: u16, permitted: impl Fn(&IpAddr) -> bool) -> Destination {
        let addresses = self.addresses(host);
        let resolving = addresses.is_none();
        let addresses = addresses.iter().flat_map(|all| all.iter());
        let endpoints = addresses
            .filter(|ip| permitted(ip))
            .map(|ip| Found::plain(SocketAddr::new(*ip, port)));
        Destination {
            resolving,
            names: vec![host.clone()],
            ..Destination::new(AppProtocol::Unknown, endpoints.collect())
        }
    }

    fn addresses(&self, host: &Strng) -> Option<Arc<[IpAddr]>> {
        self.shared.registry.names().addresses(host, &self.shared.tasks)
    }
}

impl Destination {
    pub(super) fn new(protocol: AppProtocol, endpoints: Vec<Found>) -> Self {
        Self {
            protocol,
            balancing: None,
            endpoints,
            leaving: Vec::new(),
            passed_through: false,
            names: Vec::new(),
            resolving: false,
            elsewhere: 0,
            guarded: None,
        }
    }
}

pub(super) fn address(workload: &Workload, service: &Service) -> Option<IpAddr> {
    let mut accepted = workload
        .addresses
        .iter()
        .filter(|ip| service.ip_families.accept(**ip));
    accepted.next().copied()
}

/// Whether that is an address of a service: one that it names, or one within its ranges that is nobody's inside.
fn is_at(service: &Service, address: SocketAddr, port: u16) -> bool {
    let ip = address.ip();
    let has = |own: &VirtualAddress| match own {
        VirtualAddress::Single(own) => own.address == ip,
        VirtualAddress::Range(own) => own.range().contains(&ip) && is_elsewhere(&ip),
    };
    address.port() == port && service.addresses.iter().any(has)
}

/// Whether a host that somebody asks for is one of those that may be: below a suffix, which begins with a dot.
pub(super) fn is_below(host: &str, suffixes: &[Strng]) -> bool {
    let below = |suffix: &Strng| host.len() > suffix.len() && host.ends_with(suffix.as_str());
    suffixes.iter().any(below)
}

/// Whoever owns a name says where it points. What nobody outside has a business with is never asked through one that a
/// client may choose: this machine and its link, with the metadata of clouds on it.
pub(super) fn is_elsewhere(ip: &IpAddr) -> bool {
    let local = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let ip = ip.to_canonical();
    !(local || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests;
