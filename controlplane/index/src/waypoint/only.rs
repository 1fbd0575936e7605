//! Nothing past the waypoint: a Namespace that asks for it has its node proxies refuse whoever is not its waypoint
//! (`docs/decisions/no-bypass.md`).
//!
//! What is sent is an ordinary DENY policy of the whole namespace, so that every node proxy that knows Istio's wire
//! enforces it, on open connections too, and names it in its log.

use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_model::Authorization;
use mesh_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use mesh_types::{NamespacedName, Strng};

use super::binding::Wish;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::l7::account;
use crate::lookups::{Inputs, Lookups};

/// The policies of all Namespaces that let only their waypoint in.
pub(crate) fn add_policies(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    lookups: Lookups,
) -> Collection<NamespacedName, Derived<Authorization>> {
    let config = config.clone();
    graph.derive_many(
        "policy of a Namespace's waypoint",
        lookups.namespaces.wishes,
        move |fetch, namespace, wish| {
            let policy = authorization_from_namespace(fetch, &config, lookups.inputs, namespace, wish);
            policy.into_iter().map(|p| (name(namespace), p)).collect()
        },
    )
}

/// The policy of a Namespace that lets only its waypoint in; nothing where it does not ask for that.
fn authorization_from_namespace(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    inputs: Inputs,
    namespace: &Strng,
    wish: &Wish,
) -> Option<Derived<Authorization>> {
    if !wish.only() {
        return None;
    }
    let provenance = ObjectKey {
        kind: Kind::Namespace,
        namespace: Strng::default(),
        name: namespace.clone(),
    };
    let waypoints = wish.waypoints(namespace);
    // One that does not exist yet would run under its own name.
    let principal = |gateway: &NamespacedName| {
        let found = fetch.get(inputs.gateways, gateway);
        let account = found.map_or_else(|| gateway.name.clone(), account::of_gateway);
        let domain = config.trust_domain.as_str();
        format!("{domain}/ns/{}/sa/{account}", gateway.namespace)
    };
    let mut principals: Vec<String> = waypoints.iter().map(principal).collect();
    let mut conditions = Vec::new();
    if principals.is_empty() {
        let message = "names no waypoint (istio.io/use-waypoint): nobody is let in";
        conditions.push(Condition::at(ConditionReason::WaypointUnusable, ONLY, message));
        principals.push(NOBODY.to_owned());
    }
    let anybody_else = Match {
        not_principals: principals
            .into_iter()
            .map(|p| StringMatch::Exact(p.into()))
            .collect(),
        ..Match::default()
    };
    Some(Derived {
        conditions,
        ..Derived::of(provenance, policy(namespace, vec![anybody_else]))
    })
}

fn policy(namespace: &Strng, matches: Vec<Match>) -> Authorization {
    Authorization {
        name: name(namespace),
        scope: Scope::Namespace,
        action: Action::Deny,
        rules: vec![Rule {
            clauses: vec![Clause { matches }],
        }],
        dry_run: false,
    }
}

/// Kubernetes' names have no `_`: it is no object's.
fn name(namespace: &Strng) -> NamespacedName {
    NamespacedName::new(namespace.clone(), "lateen_waypoint_only")
}

/// No identity is written so.
const NOBODY: &str = "nobody";
/// Beside `istio.io/use-waypoint` of a Namespace: `"true"`.
pub(crate) const ONLY: &str = "lateen.dev/waypoint-only";

#[cfg(test)]
mod tests;
