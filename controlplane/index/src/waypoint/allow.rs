//! Waypoints are let in by whom they stand before, and nobody else is who is not let in by name (Istio's
//! `PILOT_AUTO_ALLOW_WAYPOINT_POLICY`, `docs/decisions/no-bypass.md`).
//!
//! What is sent is an ordinary ALLOW policy for each waypoint, under upstream's name, that workloads list. Nothing is written into
//! the cluster.

use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_model::Authorization;
use mesh_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use mesh_types::{NamespacedHostname, NamespacedName};

use crate::config::MeshConfig;
use crate::derived::Derived;
use crate::l7::account;
use crate::lookups::{Lookups, WorkloadLookups};

/// The policies of all waypoints; none where the mesh does not ask for them.
pub(crate) fn add_policies(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    lookups: Lookups,
) -> Collection<NamespacedName, Derived<Authorization>> {
    let config = config.clone();
    let waypoints = lookups.waypoints;
    graph.derive_many("policy of a waypoint", waypoints, move |fetch, name, waypoint| {
        let gateway = waypoint
            .value
            .as_ref()
            .filter(|_| config.allow_from_waypoints)
            .and_then(|_| fetch.get(lookups.inputs.gateways, name));
        let policy = gateway.map(|gateway| {
            let domain = config.trust_domain.as_str();
            let account = account::of_gateway(gateway);
            let principal = format!("{domain}/ns/{}/sa/{account}", name.namespace);
            Derived::of(provenance(name), policy(name, principal))
        });
        policy
            .map(|policy| (policy_of(name), policy))
            .into_iter()
            .collect()
    })
}

/// The policies that a workload lists, given the waypoints before itself and the services that it serves. Of waypoints that do
/// not exist there is none: to a proxy, an unknown policy is a reason to deny.
pub(crate) fn policies_of<'s>(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &WorkloadLookups,
    own: &[NamespacedName],
    services: impl Iterator<Item = &'s NamespacedHostname>,
) -> Vec<NamespacedName> {
    if !config.allow_from_waypoints {
        return Vec::new();
    }
    let before = services.filter_map(|service| lookups.before.get(fetch, service));
    let guards = own.iter().chain(before.flat_map(|before| &before.guards));
    let exists = |name: &&NamespacedName| {
        let waypoint = fetch.get(lookups.base.waypoints, name);
        waypoint.is_some_and(|derived| derived.value.is_some())
    };
    let mut policies: Vec<NamespacedName> = guards.filter(exists).map(policy_of).collect();
    policies.sort();
    policies.dedup();
    policies
}

fn policy(waypoint: &NamespacedName, principal: String) -> Authorization {
    let only = Match {
        principals: vec![StringMatch::Exact(principal.into())],
        ..Match::default()
    };
    Authorization {
        name: policy_of(waypoint),
        scope: Scope::WorkloadSelector,
        action: Action::Allow,
        rules: vec![Rule {
            clauses: vec![Clause { matches: vec![only] }],
        }],
        dry_run: false,
    }
}

/// Kubernetes' names have no `_`: it is no object's.
fn policy_of(waypoint: &NamespacedName) -> NamespacedName {
    let NamespacedName { namespace, name } = waypoint;
    NamespacedName::new(
        namespace.clone(),
        format!("istio_allow_waypoint_{namespace}_{name}"),
    )
}

fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::Gateway,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

#[cfg(test)]
mod tests;
