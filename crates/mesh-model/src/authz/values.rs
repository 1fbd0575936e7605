//! Compiled lists of values: sorted, so that long lists cost no more than short ones.

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_types::{Identity, Strng};

use crate::policy::{ServiceAccountMatch, StringMatch};

/// Texts.
#[derive(Debug)]
pub(super) struct Strings {
    presence: bool,
    exact: Vec<Strng>,
    prefixes: Vec<Strng>,
    suffixes: Vec<Strng>,
}

/// Service accounts.
#[derive(Debug)]
pub(super) struct Accounts(Vec<ServiceAccountMatch>);

/// Ports.
#[derive(Debug)]
pub(crate) struct Ports(Vec<u16>);

/// Ranges of addresses: for every length of prefix that occurs, the prefixes.
#[derive(Debug)]
pub(crate) struct Ranges(Vec<(u8, Vec<IpAddr>)>);

/// The address with all bits beyond the prefix cleared; `None` where it has fewer bits than that.
pub(crate) fn masked(ip: IpAddr, length: u8) -> Option<IpAddr> {
    IpNet::new(ip, length).ok().map(|range| range.trunc().addr())
}

impl Strings {
    pub(super) fn compile(values: &[StringMatch]) -> Self {
        let mut strings = Self {
            presence: false,
            exact: Vec::new(),
            prefixes: Vec::new(),
            suffixes: Vec::new(),
        };
        for value in values {
            match value {
                StringMatch::Exact(s) => strings.exact.push(s.clone()),
                StringMatch::Prefix(s) => strings.prefixes.push(s.clone()),
                StringMatch::Suffix(s) => strings.suffixes.push(s.clone()),
                StringMatch::Presence => strings.presence = true,
            }
        }
        strings.exact.sort();
        strings.exact.dedup();
        strings
    }

    /// A peer without an identity has no text to compare with, and so is never contained.
    pub(super) fn contain(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| {
            self.presence
                || self.exact.binary_search_by(|s| s.as_str().cmp(value)).is_ok()
                || self.prefixes.iter().any(|s| value.starts_with(s.as_str()))
                || self.suffixes.iter().any(|s| value.ends_with(s.as_str()))
        })
    }

    pub(super) fn all_exact(&self) -> bool {
        !self.presence && self.prefixes.is_empty() && self.suffixes.is_empty()
    }

    pub(super) fn exact(&self) -> &[Strng] {
        &self.exact
    }
}

impl Accounts {
    pub(super) fn compile(values: &[ServiceAccountMatch]) -> Self {
        let mut accounts = values.to_vec();
        accounts.sort();
        accounts.dedup();
        Self(accounts)
    }

    pub(super) fn contain(&self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|id| {
            let wanted = (id.namespace().as_str(), id.service_account().as_str());
            self.0
                .binary_search_by(|a| (a.namespace.as_str(), a.service_account.as_str()).cmp(&wanted))
                .is_ok()
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Strng, Strng)> {
        self.0
            .iter()
            .map(|a| (a.namespace.clone(), a.service_account.clone()))
    }
}

impl Ports {
    pub(crate) fn compile(values: &[u16]) -> Self {
        let mut ports = values.to_vec();
        ports.sort_unstable();
        ports.dedup();
        Self(ports)
    }

    pub(crate) fn contain(&self, port: u16) -> bool {
        self.0.binary_search(&port).is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }
}

impl Ranges {
    pub(crate) fn compile(values: &[IpNet]) -> Self {
        let mut prefixes: Vec<(u8, IpAddr)> = values
            .iter()
            .map(|range| (range.prefix_len(), range.trunc().addr()))
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut by_length: Vec<(u8, Vec<IpAddr>)> = Vec::new();
        for (length, prefix) in prefixes {
            match by_length.last_mut().filter(|(l, _)| *l == length) {
                Some((_, same_length)) => same_length.push(prefix),
                None => by_length.push((length, vec![prefix])),
            }
        }
        Self(by_length)
    }

    pub(crate) fn contain(&self, ip: IpAddr) -> bool {
        self.0
            .iter()
            .any(|(length, prefixes)| masked(ip, *length).is_some_and(|p| prefixes.binary_search(&p).is_ok()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, IpAddr)> {
        self.0
            .iter()
            .flat_map(|(length, prefixes)| prefixes.iter().map(|prefix| (*length, *prefix)))
    }
}
