//! A PeerAuthentication becomes DENY policies: what may not arrive in plaintext is denied to whoever has no identity.
//!
//! ```text
//!   mesh (root namespace) -> namespace -> workload (selector) -> port      the narrower wins; UNSET asks the wider one
//! ```
//! At each level the oldest object counts. A workload whose every port is strict lists one policy that all share; one
//! with exceptions lists a policy of its own.

pub mod deciding;
pub(crate) mod status;

use std::cmp::Ordering;

use controlplane_collections::Fetch;
use controlplane_k8s_api::security::{MutualTls, MutualTlsMode, PeerAuthentication};
use controlplane_k8s_api::{Kind, Labels, Metadata, ObjectKey};
use mesh_model::Authorization;
use mesh_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use mesh_types::{NamespacedName, Strng};

use crate::age::Age;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::labels::selects;
use crate::lookups::PolicyLookups;

/// What a PeerAuthentication with a selector means to the Pods that it selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectedMode {
    pub(crate) selector: Labels,
    age: Age,
    effect: Effect,
}

/// Which policy follows from a PeerAuthentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// None: plaintext is taken.
    Permissive,
    /// The one that all strict workloads share.
    Strict,
    /// One of its own, since ports differ.
    Own,
}

/// The policy of its own that a PeerAuthentication becomes, if its ports differ, and what it means to its Pods.
pub(crate) fn authorization_from_peer_authentication(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    namespace_peers: controlplane_collections::Index<Strng, NamespacedName, PeerAuthentication>,
    name: &NamespacedName,
    peer: &PeerAuthentication,
) -> (Derived<Authorization>, Option<SelectedMode>) {
    let provenance = provenance(name);
    let Some(selector) = selector(peer) else {
        // Levels without a selector are looked up by their Pods.
        return (
            Derived {
                value: None,
                provenance,
                conditions: Vec::new(),
                status: Vec::new(),
            },
            None,
        );
    };
    if name.namespace == config.root_namespace {
        let ignored = Condition::at(ConditionReason::Unsupported, "spec.selector", SELECTS_IN_ROOT);
        return (Derived::nothing(provenance, ignored), None);
    }
    let strict = match mode(peer.spec.mtls) {
        MutualTlsMode::Unset => is_strict_around(fetch, config, namespace_peers, &name.namespace),
        mode => mode == MutualTlsMode::Strict,
    };
    // UNSET ports follow the workload's mode, as every port that is not named does.
    let exceptions = |of: fn(MutualTlsMode) -> bool| -> Vec<u16> {
        let ports = peer.spec.port_level_mtls.iter().filter(|(_, m)| of(m.mode));
        // Validation refuses numbers that are no ports; one that got past it has no connections.
        ports.filter_map(|(port, _)| u16::try_from(port.0).ok()).collect()
    };
    let permissive = exceptions(|m| matches!(m, MutualTlsMode::Permissive | MutualTlsMode::Disable));
    let (effect, rules) = match (strict, permissive, exceptions(|m| m == MutualTlsMode::Strict)) {
        (true, permissive, _) if !permissive.is_empty() => (Effect::Own, strict_but(&permissive)),
        (true, ..) => (Effect::Strict, Vec::new()),
        (false, _, strict) if !strict.is_empty() => (Effect::Own, strict_on(&strict)),
        (false, ..) => (Effect::Permissive, Vec::new()),
    };
    let authorization = (effect == Effect::Own).then(|| deny(own_policy(name), rules));
    let selected = SelectedMode {
        selector: selector.clone(),
        age: Age::of(&peer.metadata),
        effect,
    };
    let derived = Derived {
        value: authorization,
        provenance,
        conditions: Vec::new(),
        status: Vec::new(),
    };
    (derived, Some(selected))
}

/// The policy that all strict workloads share; it exists as soon as there is any PeerAuthentication.
pub(crate) fn static_strict(config: &MeshConfig) -> Authorization {
    let clauses = vec![clause(without_identity())];
    deny(static_strict_name(config), vec![Rule { clauses }])
}

/// The policy that a workload's PeerAuthentications become, if it may not take plaintext everywhere.
pub(crate) fn policy_of_workload(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    policies: &PolicyLookups,
    namespace: &Strng,
    labels: &Labels,
) -> Option<NamespacedName> {
    let candidates = policies.selected_modes.candidates(fetch, namespace, labels);
    let oldest = candidates
        .filter(|(_, mode)| selects(&mode.selector, labels))
        .min_by(|(_, a), (_, b)| a.age.cmp(&b.age));
    match oldest.map(|(name, mode)| (name, mode.effect)) {
        Some((_, Effect::Permissive)) => None,
        Some((_, Effect::Strict)) => Some(static_strict_name(config)),
        Some((name, Effect::Own)) => Some(own_policy(name)),
        None => is_strict_around(fetch, config, policies.namespace_peers, namespace)
            .then(|| static_strict_name(config)),
    }
}

/// Whether namespace and mesh together ask for mutual TLS.
fn is_strict_around(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    namespace_peers: controlplane_collections::Index<Strng, NamespacedName, PeerAuthentication>,
    namespace: &Strng,
) -> bool {
    let mode_of = |namespace: &Strng| {
        let peers = fetch.by(namespace_peers, namespace).map(|(_, p)| p);
        let oldest = peers.min_by(|a, b| compare_age(&a.metadata, &b.metadata));
        oldest.map_or(MutualTlsMode::Unset, |p| mode(p.spec.mtls))
    };
    match mode_of(namespace) {
        MutualTlsMode::Unset => mode_of(&config.root_namespace) == MutualTlsMode::Strict,
        mode => mode == MutualTlsMode::Strict,
    }
}

/// The selector, if it selects: an empty one stands for the whole namespace, as none does.
pub(crate) fn selector(peer: &PeerAuthentication) -> Option<&Labels> {
    let selector = peer.spec.selector.as_ref().map(|s| &s.match_labels);
    selector.filter(|labels| !labels.is_empty())
}

/// Deny whoever has no identity, but not on these ports.
fn strict_but(ports: &[u16]) -> Vec<Rule> {
    let elsewhere = ports.iter().map(|port| {
        clause(Match {
            not_destination_ports: vec![*port],
            ..Match::default()
        })
    });
    let clauses = [clause(without_identity())]
        .into_iter()
        .chain(elsewhere)
        .collect();
    vec![Rule { clauses }]
}

/// Deny whoever has no identity, on these ports only.
fn strict_on(ports: &[u16]) -> Vec<Rule> {
    let rule = |port: &u16| Rule {
        clauses: vec![clause(Match {
            destination_ports: vec![*port],
            ..without_identity()
        })],
    };
    ports.iter().map(rule).collect()
}

fn without_identity() -> Match {
    Match {
        not_principals: vec![StringMatch::Presence],
        ..Match::default()
    }
}

fn clause(matched: Match) -> Clause {
    Clause {
        matches: vec![matched],
    }
}

fn deny(name: NamespacedName, rules: Vec<Rule>) -> Authorization {
    Authorization {
        name,
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules,
        dry_run: false,
    }
}

/// Kubernetes' names have no `_`, so these can belong to no object.
fn static_strict_name(config: &MeshConfig) -> NamespacedName {
    NamespacedName::new(config.root_namespace.clone(), "istio_converted_static_strict")
}

pub(crate) fn own_policy(peer: &NamespacedName) -> NamespacedName {
    NamespacedName::new(
        peer.namespace.clone(),
        format!("converted_peer_authentication_{}", peer.name),
    )
}

fn mode(mtls: Option<MutualTls>) -> MutualTlsMode {
    mtls.map_or(MutualTlsMode::Unset, |m| m.mode)
}

fn compare_age(a: &Metadata, b: &Metadata) -> Ordering {
    Age::of(a).cmp(&Age::of(b))
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::PeerAuthentication,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

const SELECTS_IN_ROOT: &str =
    "is without effect in the root namespace: there, a PeerAuthentication is for the whole mesh";

#[cfg(test)]
mod tests;
