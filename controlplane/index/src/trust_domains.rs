//! What identities of this mesh may begin with: its trust domain, and what else it is called (Istio reference, "Global Mesh
//! Options", `trustDomainAliases`). One meaning for the policies of node proxies and of waypoints.

use mesh_types::Strng;

use crate::config::MeshConfig;

/// The trust domain, then its aliases, as far as they are names.
pub(crate) fn of(config: &MeshConfig, aliases: &[Strng]) -> Vec<Strng> {
    let mut domains = vec![Strng::from(config.trust_domain.to_string())];
    for alias in aliases {
        if !domains.contains(alias) && !alias.is_empty() && !alias.contains('*') {
            domains.push(alias.clone());
        }
    }
    domains
}

/// A principal of this mesh under each of its names; any other one as it is. Istio's documentation writes `cluster.local`,
/// whatever the trust domain is called.
pub(crate) fn under_each(principal: &str, domains: &[Strng]) -> Vec<Strng> {
    match principal.split_once('/') {
        Some((domain, rest)) if domain == USUAL || domains.iter().any(|own| own == domain) => {
            let each = domains.iter();
            each.map(|domain| format!("{domain}/{rest}").into()).collect()
        }
        _ => vec![principal.into()],
    }
}

const USUAL: &str = "cluster.local";
