//! What the author of a PeerAuthentication is told: whether node proxies enforce it as it is written.

use controlplane_collections::Fetch;
use controlplane_k8s_api::security::{MutualTlsMode, PeerAuthentication};
use mesh_types::NamespacedName;

use super::{SELECTS_IN_ROOT, is_strict_around, mode, provenance, selector};
use crate::age::Age;
use crate::config::MeshConfig;
use crate::derived::Derived;
use crate::lookups::PolicyLookups;
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// The condition, beside nothing.
pub(crate) fn of(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    policies: &PolicyLookups,
    name: &NamespacedName,
    peer: &PeerAuthentication,
) -> Derived<()> {
    let (reason, message) = judged(fetch, config, policies, name, peer);
    let holds = reason == StatusReason::Accepted;
    let condition = StatusCondition::new(ConditionType::ZtunnelAccepted, holds, reason, message);
    Derived {
        status: vec![condition.into()],
        ..Derived::of(provenance(name), ())
    }
}

fn judged(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    policies: &PolicyLookups,
    name: &NamespacedName,
    peer: &PeerAuthentication,
) -> (StatusReason, String) {
    if selector(peer).is_some() && name.namespace == config.root_namespace {
        return (
            StatusReason::UnsupportedValue,
            format!("spec.selector: {SELECTS_IN_ROOT}"),
        );
    }
    if let Some(older) = older(fetch, policies, name, peer) {
        let message = format!("PeerAuthentication {older} is older and counts instead");
        return (StatusReason::Conflicted, message);
    }
    let disabled = disabled(peer);
    if !disabled.is_empty() {
        let message = "DISABLE is taken as PERMISSIVE: mutual TLS is taken from whoever offers it";
        return (
            StatusReason::UnsupportedValue,
            format!("{}: {message}", disabled.join(", ")),
        );
    }
    let strict = match mode(peer.spec.mtls) {
        MutualTlsMode::Unset => is_strict_around(fetch, config, policies.namespace_peers, &name.namespace),
        mode => mode == MutualTlsMode::Strict,
    };
    let ports = peer.spec.port_level_mtls.iter();
    let others = ports.filter(|(_, of_port)| match of_port.mode {
        MutualTlsMode::Unset => false,
        mode => (mode == MutualTlsMode::Strict) != strict,
    });
    let others: Vec<String> = others.map(|(port, _)| port.0.to_string()).collect();
    let enforced = match strict {
        true => "node proxies require mutual TLS",
        false => "node proxies take mutual TLS and plaintext",
    };
    // Where ports differ it is a policy of its own, and is told how far that came.
    let message = match (others.is_empty(), strict) {
        (true, true) => format!("{enforced}: {CARRIED}"),
        (true, false) => format!("{enforced}: there is nothing to send for it"),
        (false, true) => format!("{enforced}; plaintext too on ports {}", others.join(", ")),
        (false, false) => format!("{enforced}; no plaintext on ports {}", others.join(", ")),
    };
    (StatusReason::Accepted, message)
}

/// The oldest of those that say something of the same workloads, if it is another one.
fn older<'a>(
    fetch: &Fetch<'a>,
    policies: &PolicyLookups,
    name: &NamespacedName,
    peer: &PeerAuthentication,
) -> Option<&'a NamespacedName> {
    let own = Age::of(&peer.metadata);
    let Some(selector) = selector(peer) else {
        let all = fetch.by(policies.namespace_peers, &name.namespace);
        let all = all.map(|(other, peer)| (Age::of(&peer.metadata), other));
        return all.filter(|(age, _)| *age < own).min().map(|(_, other)| other);
    };
    let candidates = policies
        .selected_modes
        .candidates(fetch, &name.namespace, selector);
    let same = candidates.filter(|(_, mode)| mode.selector == *selector);
    let older = same.filter(|(_, mode)| mode.age < own);
    let oldest = older.min_by(|(_, a), (_, b)| a.age.cmp(&b.age));
    oldest.map(|(other, _)| other)
}

/// The fields that ask for no mutual TLS at all, which nobody can forbid a client of the mesh.
fn disabled(peer: &PeerAuthentication) -> Vec<String> {
    let whole = mode(peer.spec.mtls) == MutualTlsMode::Disable;
    let whole = whole.then(|| "spec.mtls.mode".to_owned());
    let ports = peer.spec.port_level_mtls.iter();
    let ports = ports.filter(|(_, of_port)| of_port.mode == MutualTlsMode::Disable);
    let ports = ports.map(|(port, _)| format!("spec.portLevelMtls[{}].mode", port.0));
    whole.into_iter().chain(ports).collect()
}

const CARRIED: &str = "each workload that it is for names the policy that all such workloads share";

#[cfg(test)]
mod tests;
