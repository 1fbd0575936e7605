//! Addresses for hosts of ServiceEntries that name none: out of 240.240.0.0/16 and 2001:2::/48 (Istio documentation,
//! "DNS Proxying", "Address auto allocation").
//!
//! A host's address follows from a hash of its namespace and name, so that it is the same after a restart, on another
//! replica and in another cluster; where two hosts meet on one address, the later one takes the next free one. What an
//! object's status records counts more than the hash, and an address that somebody wrote into a `spec` more than both.
//! What was given to a host stays reserved for it while the process lives, since clients remember names longer than
//! files exist.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use mesh_types::{NamespacedHostname, NamespacedName, Strng, address::canonical};
use xxhash_rust::xxh64::xxh64;

use crate::age::Age;

/// The addresses of hosts, by host.
pub type HostAddresses = Vec<(NamespacedHostname, Vec<IpAddr>)>;

/// The addresses of one ServiceEntry's hosts, as its status has them.
pub(crate) type EntryAddresses = Vec<(Strng, IpAddr)>;

/// What one ServiceEntry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Hosts that are to get addresses.
    pub(crate) hosts: Vec<Strng>,
    /// Addresses that its status has for them.
    pub(crate) recorded: EntryAddresses,
    /// Addresses of its own, which nobody else is given.
    pub(crate) claimed: Vec<IpNet>,
    /// Of two that record one address, the older one has it.
    pub(crate) age: Age,
}

/// Gives addresses out.
#[derive(Debug, Default)]
pub(crate) struct Allocator {
    entries: BTreeMap<NamespacedName, Wanted>,
    wanted_by: BTreeMap<NamespacedHostname, BTreeSet<NamespacedName>>,
    /// Also for hosts that nobody wants any more.
    given: BTreeMap<NamespacedHostname, Given>,
    owners: BTreeMap<IpAddr, NamespacedHostname>,
    claims: BTreeMap<IpNet, usize>,
    /// Hosts that something changed for.
    touched: BTreeSet<NamespacedHostname>,
    /// Entries that something changed for.
    told: BTreeSet<NamespacedName>,
    /// Since the last look.
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    addresses: Vec<IpAddr>,
    /// The age of the object whose status has them.
    recorded: Option<Age>,
}

impl Allocator {
    /// Remembers what was given before the process began.
    pub(crate) fn restore(&mut self, addresses: HostAddresses) {
        for (host, addresses) in addresses {
            let free = |a: &IpAddr| is_ours(*a) && !self.owners.contains_key(a);
            let addresses: Vec<IpAddr> = addresses.into_iter().filter(free).collect();
            if !addresses.is_empty() {
                self.give(
                    &host,
                    Given {
                        addresses,
                        recorded: None,
                    },
                );
            }
        }
        self.changed = false;
    }

    /// Notes what an entry wants now; nothing when it is gone. [`Self::settle`] acts on it.
    pub(crate) fn set(&mut self, entry: &NamespacedName, wanted: Option<Wanted>) {
        let before = self.entries.remove(entry);
        if before == wanted {
            self.entries.extend(wanted.map(|w| (entry.clone(), w)));
            return;
        }
        self.told.insert(entry.clone());
        if let Some(before) = before {
            for host in hosts(entry, &before) {
                if let Some(by) = self.wanted_by.get_mut(&host) {
                    by.remove(entry);
                    if by.is_empty() {
                        self.wanted_by.remove(&host);
                    }
                }
                self.touched.insert(host);
            }
            for range in &before.claimed {
                if let Some(count) = self.claims.get_mut(range) {
                    *count -= 1;
                    if *count == 0 {
                        self.claims.remove(range);
                    }
                }
            }
        }
        let Some(wanted) = wanted else { return };
        for host in hosts(entry, &wanted) {
            self.wanted_by
                .entry(host.clone())
                .or_default()
                .insert(entry.clone());
            self.touched.insert(host);
        }
        for range in &wanted.claimed {
            *self.claims.entry(*range).or_default() += 1;
            let inside = self.owners.iter().filter(|(a, _)| range.contains(*a));
            self.touched.extend(inside.map(|(_, host)| host.clone()));
        }
        self.entries.insert(entry.clone(), wanted);
    }

    /// Gives addresses to every host that wants some. Says what each entry that something changed for has now; nothing
    /// when it is gone or wants none.
    pub(crate) fn settle(&mut self) -> Vec<(NamespacedName, Option<EntryAddresses>)> {
        while let Some(host) = self.touched.pop_first() {
            let now = match self.wanted_by.contains_key(&host) {
                true => self.decide(&host),
                // Reserved, unless an object claims it.
                false => self.given.get(&host).filter(|g| self.is_valid(g)).cloned(),
            };
            if now.as_ref() == self.given.get(&host) {
                continue;
            }
            self.take_back(&host);
            if let Some(given) = now {
                self.give(&host, given);
            }
            let by = self.wanted_by.get(&host).into_iter().flatten();
            self.told.extend(by.cloned());
            self.changed = true;
        }
        let told = std::mem::take(&mut self.told);
        self.changed |= !told.is_empty();
        told.into_iter()
            .map(|entry| {
                let addresses = self.of(&entry);
                (entry, addresses)
            })
            .collect()
    }

    /// Everything that is in use, if it changed since the last look.
    pub(crate) fn take_changed(&mut self) -> Option<HostAddresses> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let in_use = self
            .given
            .iter()
            .filter(|(host, _)| self.wanted_by.contains_key(*host));
        Some(
            in_use
                .map(|(host, given)| (host.clone(), given.addresses.clone()))
                .collect(),
        )
    }

    fn of(&self, entry: &NamespacedName) -> Option<EntryAddresses> {
        let wanted = self.entries.get(entry).filter(|w| !w.hosts.is_empty())?;
        let of_host = |host: NamespacedHostname| {
            let given = self.given.get(&host).map(|g| g.addresses.clone());
            given
                .into_iter()
                .flatten()
                .map(move |address| (host.hostname.clone(), address))
        };
        Some(hosts(entry, wanted).into_iter().flat_map(of_host).collect())
    }

    /// What a wanted host is given: what is recorded of it, else what it has, else something new.
    fn decide(&self, host: &NamespacedHostname) -> Option<Given> {
        if let Some(recorded) = self.recorded(host) {
            return Some(recorded);
        }
        let kept = self.given.get(host).filter(|g| self.is_valid(g));
        if let Some(kept) = kept {
            return Some(Given {
                recorded: None,
                ..kept.clone()
            });
        }
        let addresses: Vec<IpAddr> = [self.free_v4(host), self.free_v6(host)]
            .into_iter()
            .flatten()
            .collect();
        let given = Given {
            addresses,
            recorded: None,
        };
        (!given.addresses.is_empty()).then_some(given)
    }

    /// What the oldest entry that wants the host has in its status, if nobody has a better right to it.
    fn recorded(&self, host: &NamespacedHostname) -> Option<Given> {
        let by = self
            .wanted_by
            .get(host)?
            .iter()
            .filter_map(|entry| self.entries.get(entry));
        let recorded = |wanted: &Wanted| -> Vec<IpAddr> {
            let of_host = wanted.recorded.iter().filter(|(h, _)| *h == host.hostname);
            of_host.map(|(_, address)| canonical(*address)).collect()
        };
        let oldest = by
            .filter(|w| !recorded(w).is_empty())
            .min_by(|a, b| a.age.cmp(&b.age))?;
        let addresses = recorded(oldest);
        let ours = addresses
            .iter()
            .all(|a| !self.is_claimed(*a) && self.yields(*a, host, &oldest.age));
        ours.then(|| Given {
            addresses,
            recorded: Some(oldest.age.clone()),
        })
    }

    /// Whether the present owner of an address lets go of it for a host whose record is this old.
    fn yields(&self, address: IpAddr, to: &NamespacedHostname, age: &Age) -> bool {
        let Some(owner) = self.owners.get(&address).filter(|o| *o != to) else {
            return true;
        };
        let recorded = self.given.get(owner).and_then(|g| g.recorded.as_ref());
        !self.wanted_by.contains_key(owner) || recorded.is_none_or(|recorded| age < recorded)
    }

    fn is_valid(&self, given: &Given) -> bool {
        given
            .addresses
            .iter()
            .all(|a| is_ours(*a) && !self.is_claimed(*a))
    }

    fn is_claimed(&self, address: IpAddr) -> bool {
        let whole = IpNet::from(address);
        (0..=whole.max_prefix_len()).any(|length| {
            let range = IpNet::new(address, length).map(|range| range.trunc());
            range.is_ok_and(|range| self.claims.contains_key(&range))
        })
    }

    fn free_v4(&self, host: &NamespacedHostname) -> Option<IpAddr> {
        let start = hash(host) % V4_SIZE;
        let addresses = (0..V4_SIZE).map(|i| v4((start + i) % V4_SIZE));
        self.first_free(addresses)
    }

    fn free_v6(&self, host: &NamespacedHostname) -> Option<IpAddr> {
        let start = hash(host);
        self.first_free((0..V6_PROBES).map(|i| v6(start.wrapping_add(i))))
    }

    /// The first address that is nobody's, else the first that is only reserved.
    fn first_free(&self, addresses: impl Iterator<Item = IpAddr> + Clone) -> Option<IpAddr> {
        let mut unclaimed = addresses.filter(|a| !self.is_claimed(*a));
        let reserved = unclaimed.clone();
        unclaimed.find(|a| !self.owners.contains_key(a)).or_else(|| {
            let unwanted = |a: &IpAddr| {
                self.owners
                    .get(a)
                    .is_none_or(|owner| !self.wanted_by.contains_key(owner))
            };
            reserved.into_iter().find(unwanted)
        })
    }

    /// Whoever had one of the addresses loses it, and is looked at anew.
    fn give(&mut self, host: &NamespacedHostname, given: Given) {
        for address in &given.addresses {
            if let Some(loser) = self.owners.get(address).cloned() {
                self.take_back(&loser);
                self.touched.insert(loser);
            }
        }
        for address in &given.addresses {
            self.owners.insert(*address, host.clone());
        }
        self.given.insert(host.clone(), given);
    }

    fn take_back(&mut self, host: &NamespacedHostname) {
        if let Some(given) = self.given.remove(host) {
            for address in given.addresses {
                self.owners.remove(&address);
            }
        }
    }
}

fn hosts(entry: &NamespacedName, wanted: &Wanted) -> Vec<NamespacedHostname> {
    let mut seen = BTreeSet::new();
    let hosts = wanted.hosts.iter().filter(|host| seen.insert(*host));
    hosts
        .map(|host| NamespacedHostname::new(entry.namespace.clone(), host.clone()))
        .collect()
}

fn is_ours(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..2] == V4_PREFIX,
        IpAddr::V6(address) => address.segments()[..3] == V6_PREFIX,
    }
}

/// The same on every machine and in every version.
fn hash(host: &NamespacedHostname) -> u64 {
    xxh64(host.to_string().as_bytes(), 0)
}

/// The addresses of 240.240.0.0/16 but the first and the last.
fn v4(number: u64) -> IpAddr {
    let [high, low] = u16::try_from(number % V4_SIZE + 1).unwrap_or(1).to_be_bytes();
    let [a, b] = V4_PREFIX;
    IpAddr::from(Ipv4Addr::new(a, b, high, low))
}

/// Addresses of 2001:2::/48, never the first.
fn v6(number: u64) -> IpAddr {
    let [a, b, c] = V6_PREFIX;
    let [d, e, f, g] =
        [48, 32, 16, 0].map(|shift| u16::try_from(number >> shift & 0xffff).unwrap_or_default());
    IpAddr::from(Ipv6Addr::new(a, b, c, 1, d, e, f, g))
}

const V4_PREFIX: [u8; 2] = [240, 240];
const V6_PREFIX: [u16; 3] = [0x2001, 2, 0];
/// Without the first and the last address.
const V4_SIZE: u64 = (1 << 16) - 2;
/// Of 2^64 places, so many taken ones in a row are no accident.
const V6_PROBES: u64 = 1 << 16;

#[cfg(test)]
mod tests;
