//! The index of services: by name, by host name, by address; and who their endpoints are.
//!
//! A workload names the services that it serves, and may arrive before them. It is then a member of a service that is
//! not there (staged), and becomes an endpoint when the service arrives. Members that are not healthy stay members, so
//! that a service that begins to accept them finds them.

mod ranges;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use mesh_model::lb::{self, Endpoint, EndpointSet};
use mesh_model::service::VirtualAddress;
use mesh_model::workload::HealthStatus;
use mesh_model::{Service, Workload};
use mesh_types::{NamespacedHostname, NetworkAddress, Strng, WorkloadUid};

use ranges::Ranges;

/// Services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    by_name: HashMap<NamespacedHostname, Slot>,
    by_hostname: HashMap<Strng, Candidates>,
    by_address: HashMap<NetworkAddress, Candidates>,
    ranges: Ranges,
}

/// Services of different namespaces that share a host name or an address, by name.
pub(crate) type Candidates = Vec<Arc<Service>>;

/// A service, or the expectation of one, and its members.
#[derive(Debug, Default)]
struct Slot {
    service: Option<Arc<Service>>,
    members: HashMap<WorkloadUid, Arc<Workload>>,
    endpoints: EndpointSet,
}

impl Services {
    /// Puts a service in place; its members become its endpoints. False where it is there already, just so.
    pub(crate) fn insert(&mut self, service: Arc<Service>) -> bool {
        let current = self.get(&service.hostname);
        if current == Some(&service) {
            return false;
        }
        let acceptance_stays =
            current.is_some_and(|c| c.load_balancing.health == service.load_balancing.health);
        if let Some(current) = current.cloned() {
            self.unindex(&current);
        }
        self.index(&service);
        let slot = self.by_name.entry(service.hostname.clone()).or_default();
        slot.service = Some(service);
        if !acceptance_stays {
            slot.take_endpoints();
        }
        true
    }

    /// Takes a service away; its members stay, in case that it returns. False where there is none.
    pub(crate) fn remove(&mut self, name: &NamespacedHostname) -> bool {
        let Some(slot) = self.by_name.get_mut(name) else {
            return false;
        };
        let Some(service) = slot.service.take() else {
            return false;
        };
        slot.endpoints = EndpointSet::default();
        if slot.members.is_empty() {
            self.by_name.remove(name);
        }
        self.unindex(&service);
        true
    }

    /// Makes a workload a member of the services that it names, in place of its predecessor.
    pub(crate) fn join(&mut self, workload: &Arc<Workload>, previous: Option<&Workload>) {
        if let Some(previous) = previous {
            let left = previous.services.keys();
            left.filter(|name| !workload.services.contains_key(*name))
                .for_each(|name| self.part(name, &previous.uid));
        }
        for name in workload.services.keys() {
            let slot = self.by_name.entry(name.clone()).or_default();
            slot.members.insert(workload.uid.clone(), workload.clone());
            slot.take_endpoint(workload, name);
        }
    }

    /// Ends the memberships of a workload.
    pub(crate) fn leave(&mut self, workload: &Workload) {
        workload
            .services
            .keys()
            .for_each(|name| self.part(name, &workload.uid));
    }

    pub(crate) fn get(&self, name: &NamespacedHostname) -> Option<&Arc<Service>> {
        self.by_name.get(name)?.service.as_ref()
    }

    pub(crate) fn endpoints(&self, name: &NamespacedHostname) -> Option<&EndpointSet> {
        self.by_name.get(name).map(|slot| &slot.endpoints)
    }

    /// Members that take no new connections.
    pub(crate) fn leaving(&self, name: &NamespacedHostname) -> impl Iterator<Item = &Arc<Workload>> {
        let slot = self.by_name.get(name).filter(|slot| slot.service.is_some());
        // Most have none.
        let slot = slot.filter(|slot| slot.members.len() > slot.endpoints.as_slice().len());
        let members = slot.into_iter().flat_map(|slot| slot.members.values());
        members.filter(|workload| workload.status != HealthStatus::Healthy)
    }

    pub(crate) fn called(&self, hostname: &str) -> &[Arc<Service>] {
        self.by_hostname.get(hostname).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn exactly_at(&self, address: &NetworkAddress) -> &[Arc<Service>] {
        self.by_address.get(address).map_or(&[], Vec::as_slice)
    }

    /// The services whose range holds the address, those with the longest prefix first.
    pub(crate) fn around(&self, network: &str, ip: IpAddr) -> impl Iterator<Item = (u8, &[Arc<Service>])> {
        self.ranges.around(network, ip)
    }

    /// All services, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_name.values().filter_map(|slot| slot.service.as_ref())
    }

    /// Members of services that are not there, by service.
    pub(crate) fn staged(&self) -> BTreeMap<&NamespacedHostname, Vec<&Arc<Workload>>> {
        let staged = self.by_name.iter().filter(|(_, slot)| slot.service.is_none());
        staged
            .map(|(name, slot)| (name, slot.members.values().collect()))
            .collect()
    }

    fn part(&mut self, name: &NamespacedHostname, uid: &WorkloadUid) {
        if let Some(slot) = self.by_name.get_mut(name) {
            slot.members.remove(uid);
            slot.endpoints.remove(uid);
            if slot.service.is_none() && slot.members.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    fn index(&mut self, service: &Arc<Service>) {
        add(
            self.by_hostname
                .entry(service.hostname.hostname.clone())
                .or_default(),
            service,
        );
        for address in &service.addresses {
            match address {
                VirtualAddress::Single(address) => {
                    add(self.by_address.entry(address.clone()).or_default(), service);
                }
                VirtualAddress::Range(range) => self.ranges.add(range, service),
            }
        }
    }

    fn unindex(&mut self, service: &Service) {
        let name = &service.hostname;
        drop_from(&mut self.by_hostname, &name.hostname, name);
        for address in &service.addresses {
            match address {
                VirtualAddress::Single(address) => drop_from(&mut self.by_address, address, name),
                VirtualAddress::Range(range) => self.ranges.remove(range, name),
            }
        }
    }
}

impl Slot {
    fn take_endpoints(&mut self) {
        self.endpoints = EndpointSet::default();
        let Some(service) = self.service.clone() else {
            return;
        };
        let members: Vec<_> = self.members.values().cloned().collect();
        for member in members {
            self.take_endpoint(&member, &service.hostname);
        }
    }

    /// A member becomes an endpoint, or ceases to be one.
    fn take_endpoint(&mut self, workload: &Arc<Workload>, name: &NamespacedHostname) {
        let accepted = self
            .service
            .as_ref()
            .is_some_and(|service| lb::accepts(service, workload.status));
        match accepted {
            true => self.endpoints.insert(Endpoint::new(workload.clone(), name)),
            false => drop(self.endpoints.remove(&workload.uid)),
        }
    }
}

/// Adds a service to its like; by name, so that the order of arrival decides nothing.
fn add(candidates: &mut Candidates, service: &Arc<Service>) {
    match candidates.binary_search_by(|other| other.hostname.cmp(&service.hostname)) {
        // The same address twice in one service.
        Ok(place) => candidates[place] = service.clone(),
        Err(place) => candidates.insert(place, service.clone()),
    }
}

fn drop_from<K: std::hash::Hash + Eq>(
    index: &mut HashMap<K, Candidates>,
    key: &K,
    name: &NamespacedHostname,
) {
    if let Some(candidates) = index.get_mut(key) {
        candidates.retain(|other| other.hostname != *name);
        if candidates.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
