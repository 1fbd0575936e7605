//! What does the mesh know about a name? Pure: the state, the client and the name give the answer.
//!
//! ```text
//! the name as it is ── or as short for one of the cluster ── or below a search domain: what stands before that
//!   a service, or a wildcard around the name
//!     with virtual addresses ───────────────> those of the client's network
//!     headless, and of the cluster's domain ─> its endpoints' addresses
//!     otherwise, or none ────────────────────> nothing: the question goes on to the machine's servers
//! ```
//! A resolver in a pod tries search domains one after the other (resolv.conf(5), `ndots`), also behind names that are
//! complete: `www.example.com` comes as `www.example.com.shop.svc.cluster.local` first. Where the mesh knows what stands
//! before the search domain, it says so at once, by an alias. As upstream, the search domains are those that Kubernetes
//! gives every pod.

use std::net::IpAddr;

use mesh_model::service::VirtualAddress;
use mesh_model::{Service, Workload};
use mesh_state::View;

/// What is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The name is the mesh's. Where it has no address of a kind, nobody else knows one either.
    Known {
        /// What the name is an alias for, where it was asked about below a search domain.
        alias: Option<String>,
        /// Its addresses, of both families.
        addresses: Vec<IpAddr>,
    },
    /// Nothing.
    Unknown,
}

/// Looks a name up for a client. The name is in lower case and has no last dot.
#[must_use]
pub fn look_up(view: &View, client: &Workload, domain: &str, name: &str) -> Lookup {
    for candidate in candidates(name, client.namespace(), domain) {
        let found = around(&candidate.name).find_map(|name| {
            let service = view.service_by_hostname(&name, client.namespace())?;
            addresses(view, client, domain, service)
        });
        if let Some(addresses) = found {
            let alias = candidate.below_search_domain.then_some(candidate.name);
            return Lookup::Known { alias, addresses };
        }
    }
    Lookup::Unknown
}

/// What a name may stand for.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    name: String,
    below_search_domain: bool,
}

fn candidates(name: &str, namespace: &str, domain: &str) -> Vec<Candidate> {
    let mut all = Vec::with_capacity(4);
    let mut add = |name: &str, below_search_domain| {
        let complete = completed(name, namespace, domain);
        for name in std::iter::once(name.to_owned()).chain(complete) {
            all.push(Candidate {
                name,
                below_search_domain,
            });
        }
    };
    add(name, false);
    let search = [
        format!(".{namespace}.svc.{domain}"),
        format!(".svc.{domain}"),
        format!(".{domain}"),
    ];
    for suffix in &search {
        if let Some(before) = name.strip_suffix(suffix.as_str()).filter(|n| !n.is_empty()) {
            add(before, true);
        }
    }
    all
}

/// `web`, `web.shop` and `web.shop.svc` are short for `web.shop.svc.cluster.local`.
fn completed(name: &str, namespace: &str, domain: &str) -> Option<String> {
    let mut labels = name.split('.').skip(1);
    match (labels.next(), labels.next(), labels.next()) {
        (None, ..) => Some(format!("{name}.{namespace}.svc.{domain}")),
        (Some(_), None, _) => Some(format!("{name}.svc.{domain}")),
        (Some(_), Some("svc"), None) => Some(format!("{name}.{domain}")),
        _ => None,
    }
}

/// The name, then the wildcards around it, the closest first.
fn around(name: &str) -> impl Iterator<Item = String> + '_ {
    let parents = std::iter::successors(name.split_once('.'), |(_, parent)| parent.split_once('.'));
    let wildcards = parents.map(|(_, parent)| format!("*.{parent}"));
    std::iter::once(name.to_owned()).chain(wildcards)
}

/// The addresses of a service for a client; `None` where others must be asked.
fn addresses(view: &View, client: &Workload, domain: &str, service: &Service) -> Option<Vec<IpAddr>> {
    if service.addresses.is_empty() {
        return headless(view, client, domain, service);
    }
    let mut singles = service
        .addresses
        .iter()
        .filter_map(|address| match address {
            VirtualAddress::Single(address) => Some(address),
            VirtualAddress::Range(_) => None,
        })
        .peekable();
    // A range has no address to answer with.
    singles.peek()?;
    let here = singles.filter(|address| address.network == client.network);
    Some(here.map(|address| address.address).collect())
}

fn headless(view: &View, client: &Workload, domain: &str, service: &Service) -> Option<Vec<IpAddr>> {
    let of_cluster = service.hostname.hostname.strip_suffix(domain);
    of_cluster.filter(|name| name.ends_with(".svc."))?;
    let endpoints = view.endpoints(service).as_slice().iter();
    let here: Vec<_> = endpoints
        .filter(|endpoint| endpoint.workload.network == client.network)
        .flat_map(|endpoint| endpoint.workload.addresses.iter().copied())
        .filter(|ip| service.ip_families.accept(*ip))
        .collect();
    // Without any, the cluster's own DNS knows whether the name exists.
    (!here.is_empty()).then_some(here)
}

#[cfg(test)]
mod tests;
