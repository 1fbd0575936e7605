//! The index of workloads: by uid, and by address.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mesh_model::Workload;
use mesh_model::workload::{HealthStatus, NetworkMode, TunnelProtocol};
use mesh_types::{NetworkAddress, WorkloadUid};

/// Workloads.
#[derive(Debug, Default)]
pub(crate) struct Workloads {
    by_uid: HashMap<WorkloadUid, Arc<Workload>>,
    by_address: HashMap<NetworkAddress, Claims>,
}

/// The workloads that claim an address: nearly always one. With several, as when an address is given to a new Pod before
/// the old one's end is known, the best claim comes first.
#[derive(Debug)]
enum Claims {
    One(Arc<Workload>),
    Several(BTreeMap<Claim, Arc<Workload>>),
}

/// The order of claims to one address: the strongest first, then by uid, so that the order of arrival decides nothing.
type Claim = (Reverse<Strength>, WorkloadUid);

impl Workloads {
    /// Puts a workload in place, and returns its predecessor.
    pub(crate) fn insert(&mut self, workload: Arc<Workload>) -> Option<Arc<Workload>> {
        let previous = self.remove(&workload.uid);
        for address in indexed_addresses(&workload) {
            match self.by_address.entry(address) {
                Entry::Vacant(entry) => drop(entry.insert(Claims::One(workload.clone()))),
                Entry::Occupied(mut entry) => entry.get_mut().add(workload.clone()),
            }
        }
        self.by_uid.insert(workload.uid.clone(), workload);
        previous
    }

    pub(crate) fn remove(&mut self, uid: &WorkloadUid) -> Option<Arc<Workload>> {
        let previous = self.by_uid.remove(uid)?;
        for address in indexed_addresses(&previous) {
            if let Entry::Occupied(mut entry) = self.by_address.entry(address)
                && entry.get_mut().remove(&previous) == Left::Nobody
            {
                entry.remove();
            }
        }
        Some(previous)
    }

    pub(crate) fn get(&self, uid: &WorkloadUid) -> Option<&Arc<Workload>> {
        self.by_uid.get(uid)
    }

    pub(crate) fn at(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        match self.by_address.get(address)? {
            Claims::One(workload) => Some(workload),
            Claims::Several(workloads) => workloads.values().next(),
        }
    }

    /// All workloads, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_uid.values()
    }
}

/// Whether an address still belongs to somebody.
#[derive(PartialEq, Eq)]
enum Left {
    Somebody,
    Nobody,
}

impl Claims {
    fn add(&mut self, workload: Arc<Workload>) {
        if let Self::One(other) = self {
            *self = Self::Several([(claim(other), other.clone())].into());
        }
        if let Self::Several(all) = self {
            all.insert(claim(&workload), workload);
        }
    }

    fn remove(&mut self, workload: &Workload) -> Left {
        match self {
            Self::One(only) if only.uid == workload.uid => Left::Nobody,
            Self::One(_) => Left::Somebody,
            Self::Several(all) => {
                all.remove(&claim(workload));
                match all.len() {
                    0 => Left::Nobody,
                    _ => Left::Somebody,
                }
            }
        }
    }
}

/// How good a claim is. A Pod's address was given by the cluster, anything else is only said; of two Pods the one in the
/// mesh is the one that the mesh knows more about. A workload that takes no new connections comes last among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Strength {
    pod: bool,
    in_mesh: bool,
    healthy: bool,
}

fn claim(workload: &Workload) -> Claim {
    let strength = Strength {
        pod: workload.is_pod(),
        in_mesh: workload.tunnel_protocol == TunnelProtocol::Hbone,
        healthy: workload.status == HealthStatus::Healthy,
    };
    (Reverse(strength), workload.uid.clone())
}

/// A workload on the host's network shares its address with others, and is not what answers there.
fn indexed_addresses(workload: &Workload) -> impl Iterator<Item = NetworkAddress> {
    let own = workload.network_mode == NetworkMode::Standard;
    let addresses = workload.addresses.iter().filter(move |_| own);
    addresses.map(|ip| NetworkAddress::new(workload.network.clone(), *ip))
}

#[cfg(test)]
mod tests;
