//! Which addresses a place may claim for its workloads, by the manifests. Pure.
//!
//! A place speaks for its own workloads only, but an address draws traffic: who could claim a Service's, or one of
//! another node's range, would be sent what is meant for others, and be answered for under their policies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use controlplane_k8s_api::{Kind, Object, ObjectKey};
use ipnet::IpNet;
use mesh_register::Place;
use mesh_types::{NamespacedName, Strng};

use crate::config::files::FileChange;

/// What the manifests say of addresses.
#[derive(Debug, Default)]
pub struct AddressClaims {
    /// The ranges of each node that has some.
    ranges: BTreeMap<Strng, Vec<IpNet>>,
    /// Which Services have a virtual address.
    virtual_addresses: BTreeMap<IpAddr, BTreeSet<NamespacedName>>,
    services: BTreeMap<NamespacedName, Vec<IpAddr>>,
}

/// Why a place may not claim an address. Its agent logs the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefused {
    /// No workload can have it.
    #[error("address {0} {1}")]
    NotAWorkloads(IpAddr, Reserved),
    /// A Service has it.
    #[error("address {0} is the virtual address of Service {1}")]
    OfService(IpAddr, NamespacedName),
    /// The node's ranges do not hold it.
    #[error("address {address} is outside of the ranges of node {place} (spec.podCIDRs: {})", list(.ranges))]
    OutOfRange {
        /// The address.
        address: IpAddr,
        /// Who claims it.
        place: Place,
        /// Where its addresses are.
        ranges: Vec<IpNet>,
    },
}

/// What an address is, instead of a workload's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reserved {
    /// `0.0.0.0`, `::`.
    #[error("is unspecified")]
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    #[error("is a loopback address")]
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    #[error("is a link-local address")]
    LinkLocal,
    /// `224.0.0.0/4`, `ff00::/8`, and IPv4's broadcast address.
    #[error("is a multicast or broadcast address")]
    Multicast,
    /// `::ffff:0:0/96`: the same address would have two names.
    #[error("is an IPv4 address written as an IPv6 one")]
    Mapped,
}

impl AddressClaims {
    /// Takes what changed in the manifests.
    pub fn apply(&mut self, changes: &[FileChange]) {
        for change in changes {
            match change {
                FileChange::Set(key, object) => self.set(key, &object.value),
                FileChange::Removed(key) => self.remove(key),
            }
        }
    }

    /// Whether a place may claim an address for one of its workloads. A node without ranges gets its addresses from
    /// somebody else, and is not held to any.
    ///
    /// # Errors
    /// See [`ClaimRefused`].
    pub fn check(&self, place: &Place, address: IpAddr) -> Result<(), ClaimRefused> {
        if let Some(reserved) = reserved(address) {
            return Err(ClaimRefused::NotAWorkloads(address, reserved));
        }
        if let Some(service) = self.virtual_addresses.get(&address).and_then(BTreeSet::first) {
            return Err(ClaimRefused::OfService(address, service.clone()));
        }
        match self.ranges.get(place.as_str()) {
            Some(ranges) if !ranges.iter().any(|range| range.contains(&address)) => {
                Err(ClaimRefused::OutOfRange {
                    address,
                    place: place.clone(),
                    ranges: ranges.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    fn set(&mut self, key: &ObjectKey, object: &Object) {
        self.remove(key);
        match object {
            Object::Node(node) => {
                let ranges: BTreeSet<_> = node.spec.pod_ranges().collect();
                if !ranges.is_empty() {
                    self.ranges.insert(key.name.clone(), ranges.into_iter().collect());
                }
            }
            Object::Service(service) => {
                let spec = &service.spec;
                let texts = spec.cluster_ips.iter().chain(&spec.cluster_ip);
                let addresses: BTreeSet<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
                let name = NamespacedName::new(key.namespace.clone(), key.name.clone());
                for address in &addresses {
                    self.virtual_addresses
                        .entry(*address)
                        .or_default()
                        .insert(name.clone());
                }
                self.services.insert(name, addresses.into_iter().collect());
            }
            _ => {}
        }
    }

    fn remove(&mut self, key: &ObjectKey) {
        match key.kind {
            Kind::Node => {
                self.ranges.remove(&key.name);
            }
            Kind::Service => {
                let name = NamespacedName::new(key.namespace.clone(), key.name.clone());
                for address in self.services.remove(&name).unwrap_or_default() {
                    if let Some(services) = self.virtual_addresses.get_mut(&address) {
                        services.remove(&name);
                        if services.is_empty() {
                            self.virtual_addresses.remove(&address);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn reserved(address: IpAddr) -> Option<Reserved> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match address {
        _ if address.is_unspecified() => Some(Reserved::Unspecified),
        _ if address.is_loopback() => Some(Reserved::Loopback),
        _ if link_local => Some(Reserved::LinkLocal),
        _ if address.is_multicast() => Some(Reserved::Multicast),
        IpAddr::V4(v4) if v4.is_broadcast() => Some(Reserved::Multicast),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some(Reserved::Mapped),
        _ => None,
    }
}

fn list(ranges: &[IpNet]) -> String {
    let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
    ranges.join(", ")
}

#[cfg(test)]
mod tests;
