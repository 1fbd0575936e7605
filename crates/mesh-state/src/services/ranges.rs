//! Services by ranges of addresses: for every network and length of prefix that occur, the prefixes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use mesh_model::Service;
use mesh_model::service::NetworkRange;
use mesh_types::{NamespacedHostname, Strng};

use super::{Candidates, add, drop_from};

/// A look-up costs one probe for each length that occurs, however many ranges there are.
#[derive(Debug, Default)]
pub(super) struct Ranges(HashMap<Strng, BTreeMap<u8, HashMap<IpAddr, Candidates>>>);

impl Ranges {
    pub(super) fn add(&mut self, range: &NetworkRange, service: &Arc<Service>) {
        let lengths = self.0.entry(range.network().clone()).or_default();
        let prefixes = lengths.entry(range.range().prefix_len()).or_default();
        add(prefixes.entry(range.range().addr()).or_default(), service);
    }

    pub(super) fn remove(&mut self, range: &NetworkRange, name: &NamespacedHostname) {
        let Some(lengths) = self.0.get_mut(range.network()) else {
            return;
        };
        let length = range.range().prefix_len();
        if let Some(prefixes) = lengths.get_mut(&length) {
            drop_from(prefixes, &range.range().addr(), name);
            if prefixes.is_empty() {
                lengths.remove(&length);
            }
        }
        if lengths.is_empty() {
            self.0.remove(range.network());
        }
    }

    /// The services around an address, those with the longest prefix first.
    pub(super) fn around(&self, network: &str, ip: IpAddr) -> impl Iterator<Item = (u8, &[Arc<Service>])> {
        let lengths = self.0.get(network).into_iter().flat_map(|l| l.iter().rev());
        lengths.filter_map(move |(length, prefixes)| {
            let prefix = IpNet::new(ip, *length).ok()?.trunc().addr();
            Some((*length, prefixes.get(&prefix)?.as_slice()))
        })
    }
}
