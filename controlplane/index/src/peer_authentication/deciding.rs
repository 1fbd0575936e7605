//! Which object says whether a port takes plaintext. The same order as the derivation beside it, for people who ask.

use std::fmt;

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::security::{MutualTlsMode, PeerAuthentication};
use mesh_types::NamespacedName;

use super::{mode, own_policy, selector, static_strict_name};
use crate::age::Age;
use crate::config::MeshConfig;
use crate::labels::selects;

/// Where a PeerAuthentication says it, the widest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the whole mesh: it stands in the root namespace.
    Mesh,
    /// For its namespace.
    Namespace,
    /// For the workloads that it selects.
    Workload,
    /// For one port of the workloads that it selects.
    Port,
}

/// The object that counts for a port of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deciding<'a> {
    /// The object.
    pub object: &'a PeerAuthentication,
    /// Where it says so.
    pub level: Level,
    /// What it says: never UNSET.
    pub mode: MutualTlsMode,
}

/// What stands behind a policy that was made of PeerAuthentications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Converted {
    /// Some object of the workload, its namespace or the mesh: strict workloads share one policy.
    Shared,
    /// This one, which selects the workload.
    Of(NamespacedName),
}

/// Which object says whether a workload takes plaintext at a port; nothing where none does, and so it is taken.
///
/// `labels` are those of the workload. The narrowest level that says anything counts, and at each the oldest object.
#[must_use]
pub fn deciding<'a>(
    peers: &[&'a PeerAuthentication],
    config: &MeshConfig,
    namespace: &str,
    labels: &Labels,
    port: u16,
) -> Option<Deciding<'a>> {
    let oldest = |of: &dyn Fn(&PeerAuthentication) -> bool| {
        let of = peers.iter().copied().filter(|peer| of(peer));
        of.min_by_key(|peer| Age::of(&peer.metadata))
    };
    let at = |object: &'a PeerAuthentication, level, mode| {
        (mode != MutualTlsMode::Unset).then_some(Deciding { object, level, mode })
    };
    let of_namespace =
        |namespace: &str| oldest(&|peer| *peer.metadata.namespace == *namespace && selector(peer).is_none());
    let selected = oldest(&|peer| {
        *peer.metadata.namespace == *namespace
            && peer.metadata.namespace != config.root_namespace
            && selector(peer).is_some_and(|selector| selects(selector, labels))
    });
    let narrow = selected.and_then(|peer| {
        let ports = peer.spec.port_level_mtls.iter();
        let own = ports
            .filter(|(named, _)| named.0 == u32::from(port))
            .map(|(_, mtls)| mtls.mode);
        let own = own.filter_map(|mode| at(peer, Level::Port, mode)).next();
        own.or_else(|| at(peer, Level::Workload, mode(peer.spec.mtls)))
    });
    narrow
        .or_else(|| {
            let peer = of_namespace(namespace)?;
            let is_root = *config.root_namespace == *namespace;
            let level = if is_root { Level::Mesh } else { Level::Namespace };
            at(peer, level, mode(peer.spec.mtls))
        })
        .or_else(|| {
            let peer = of_namespace(&config.root_namespace)?;
            at(peer, Level::Mesh, mode(peer.spec.mtls))
        })
}

/// Whether a policy, as proxies are told it, was made of PeerAuthentications.
#[must_use]
pub fn converted(policy: &NamespacedName, config: &MeshConfig) -> Option<Converted> {
    if *policy == static_strict_name(config) {
        return Some(Converted::Shared);
    }
    let name = policy
        .name
        .strip_prefix(&*own_policy(&NamespacedName::new("", "")).name)?;
    Some(Converted::Of(NamespacedName::new(policy.namespace.clone(), name)))
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mesh => "mesh",
            Self::Namespace => "namespace",
            Self::Workload => "workload",
            Self::Port => "port",
        })
    }
}

#[cfg(test)]
mod tests;
