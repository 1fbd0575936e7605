//! Which of a workload's addresses is used?

use std::net::IpAddr;

use mesh_types::address::canonical;

use super::Random;
use crate::Workload;
use crate::service::IpFamilies;

/// Chooses one of a workload's addresses for a connection that asked for `requested`: that very one if the workload has
/// it; else one of the service's families, and of the same family as the requested one where there is one.
///
/// `None` means that no address is suitable: the workload is to be resolved by its host name, or reached through its
/// network's gateway, or not at all.
#[must_use]
pub fn choose_address(workload: &Workload, families: IpFamilies, requested: IpAddr) -> Option<IpAddr> {
    let requested = canonical(requested);
    if workload.addresses.contains(&requested) {
        return Some(requested);
    }
    let mut suitable = workload
        .addresses
        .iter()
        .copied()
        .filter(|ip| families.accept(*ip));
    let first = suitable.clone().next();
    suitable.find(|ip| ip.is_ipv6() == requested.is_ipv6()).or(first)
}

/// Draws one of the addresses that a host name stands for, for a connection that asked for `requested`: of the service's
/// families, and of the same family as the requested one where there is one.
#[must_use]
pub fn choose_resolved(
    addresses: &[IpAddr],
    families: IpFamilies,
    requested: IpAddr,
    random: &mut impl Random,
) -> Option<IpAddr> {
    let v6 = canonical(requested).is_ipv6();
    let suitable = || addresses.iter().copied().filter(|ip| families.accept(*ip));
    let alike = suitable().filter(|ip| ip.is_ipv6() == v6).count();
    let (all, count) = match alike {
        0 => (true, suitable().count()),
        count => (false, count),
    };
    let nth = (count > 0).then(|| random.below(count as u64) as usize)?;
    suitable().filter(|ip| all || ip.is_ipv6() == v6).nth(nth)
}
