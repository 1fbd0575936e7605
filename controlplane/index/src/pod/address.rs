//! Which addresses a Pod has.

use std::net::IpAddr;

use controlplane_collections::Fetch;
use controlplane_k8s_api::core::Pod;
use mesh_types::{NamespacedName, address::canonical};

use super::live_registration;
use crate::derived::{Condition, ConditionReason};
use crate::lookups::Lookups;
use crate::registration::Claimed;

/// The addresses that its registration tells, or its own status where nothing is registered, without those that another
/// Pod registered since.
pub(super) fn addresses(
    fetch: &Fetch<'_>,
    lookups: &Lookups,
    name: &NamespacedName,
    pod: &Pod,
    registration: Option<&Claimed>,
    conditions: &mut Vec<Condition>,
) -> Result<Vec<IpAddr>, Condition> {
    let (claim, all) = match registration {
        Some(claimed) => (claimed.claim, claimed.registration.addresses.clone()),
        None => (0, of_status(pod)?),
    };
    let mut own: Vec<IpAddr> = Vec::with_capacity(all.len());
    for address in all.into_iter().map(canonical) {
        if own.contains(&address) {
            continue;
        }
        let owner = match pod.spec.host_network {
            true => None,
            false => newer_owner(fetch, lookups, name, claim, address),
        };
        match owner {
            Some(owner) => {
                let message = format!("address {address} belongs to Pod {owner} now");
                conditions.push(Condition::new(ConditionReason::AddressTaken, message));
            }
            None => own.push(address),
        }
    }
    if own.is_empty() {
        let message = "it has no address: it is not registered, and its status names none";
        return Err(Condition::new(ConditionReason::NoAddress, message));
    }
    Ok(own)
}

/// What the Pod's status says; one malformed address spoils all, since the others may be as wrong.
fn of_status(pod: &Pod) -> Result<Vec<IpAddr>, Condition> {
    let status = &pod.status;
    let texts: Vec<&str> = match status.pod_ips.is_empty() {
        true => status
            .pod_ip
            .as_deref()
            .filter(|ip| !ip.is_empty())
            .into_iter()
            .collect(),
        false => status.pod_ips.iter().map(|p| p.ip.as_str()).collect(),
    };
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            let message = format!("{text:?} is not an IP address");
            Condition::at(ConditionReason::Invalid, "status.podIPs", message)
        })
    };
    texts.into_iter().map(parse).collect()
}

/// The Pod that claimed the address after this one did; a registration whose Pod is gone claims nothing.
fn newer_owner<'a>(
    fetch: &Fetch<'a>,
    lookups: &Lookups,
    name: &NamespacedName,
    claim: u64,
    address: IpAddr,
) -> Option<&'a NamespacedName> {
    fetch.get(lookups.any_registration, &())?;
    let claims = fetch.by(lookups.registrations_by_address, &address);
    let newer = claims.filter(|(other, claimed)| *other != name && claimed.claim > claim);
    let mut of_pods = newer.filter(|(other, _)| {
        let pod = fetch.get(lookups.inputs.pods, other);
        pod.is_some_and(|p| !p.is_terminal() && live_registration(fetch, lookups, other, p).is_some())
    });
    of_pods.next().map(|(other, _)| other)
}
