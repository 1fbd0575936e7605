//! The part of the graph that is about policies of node proxies.

use std::sync::Arc;

use controlplane_collections::{Collection, Graph};
use mesh_model::Authorization;
use mesh_types::NamespacedName;

use crate::authorization_policy::{self, authorization_from_policy};
use crate::config::MeshConfig;
use crate::derived::Derived;
use crate::labels::Selectors;
use crate::lookups::{Lookups, PolicyLookups};
use crate::peer_authentication::{self, SelectedMode, authorization_from_peer_authentication};
use crate::trust_domains;

pub(super) type Policies = Collection<NamespacedName, Derived<Authorization>>;

/// What policies become.
pub(super) struct AddedPolicies {
    /// Of AuthorizationPolicies.
    pub(super) policies: Policies,
    /// Of PeerAuthentications.
    pub(super) peers: Policies,
    /// What the authors of PeerAuthentications are told.
    pub(super) peer_statuses: Collection<NamespacedName, Derived<()>>,
    /// What Pods look up to find theirs.
    pub(super) lookups: PolicyLookups,
}

/// What policies become, and what Pods look up to find theirs.
pub(super) fn add_policies(graph: &mut Graph, config: &Arc<MeshConfig>, base: Lookups) -> AddedPolicies {
    let inputs = base.inputs;
    let mesh = config.clone();
    let domains = graph.derive_many(
        "trust domains",
        inputs.mesh_configs,
        move |fetch, name, object| {
            let counts = base.mesh_config.counts(fetch, name);
            let domains = counts.then(|| ((), trust_domains::of(&mesh, &object.spec.trust_domain_aliases)));
            domains.into_iter().collect()
        },
    );
    let (mesh, own) = (config.clone(), trust_domains::of(config, &[]));
    let policies = graph.derive("authorization", inputs.policies, move |fetch, name, policy| {
        let domains = fetch.get(domains, &()).unwrap_or(&own);
        Some(authorization_from_policy(&mesh, domains, name, policy))
    });
    // Only selectors of policies that are sent, and nothing but the selectors: an edited rule wakes no Pod.
    let selectors = graph.derive("selector", inputs.policies, move |fetch, name, policy| {
        fetch.get(policies, name)?.value.as_ref()?;
        authorization_policy::selector(policy).cloned()
    });
    let namespace_peers = graph.index("PeerAuthentications of namespaces", inputs.peers, |name, peer| {
        let of_namespace = peer_authentication::selector(peer).is_none();
        of_namespace.then(|| name.namespace.clone()).into_iter().collect()
    });
    let mesh = config.clone();
    let converted = graph.derive(
        "converted PeerAuthentication",
        inputs.peers,
        move |fetch, name, peer| {
            Some(authorization_from_peer_authentication(
                fetch,
                &mesh,
                namespace_peers,
                name,
                peer,
            ))
        },
    );
    let modes = graph.derive("selected mode", converted, |_, _, (_, mode): &Converted| {
        mode.clone()
    });
    let mesh = config.clone();
    let peers = graph.derive_many(
        "policy of PeerAuthentication",
        converted,
        move |_, name, (own, _)| {
            let shared = peer_authentication::static_strict(&mesh);
            let name = peer_authentication::own_policy(name);
            vec![
                (name, own.clone()),
                (shared.name.clone(), Derived::of(own.provenance.clone(), shared)),
            ]
        },
    );
    let lookups = PolicyLookups {
        namespace_peers,
        selected_modes: Selectors::new(graph, "modes by label", modes, |mode: &SelectedMode| {
            Some(&mode.selector)
        }),
        selectors: Selectors::new(graph, "selectors by label", selectors, |selector| Some(selector)),
    };
    let mesh = config.clone();
    let peer_statuses = graph.derive(
        "status of PeerAuthentication",
        inputs.peers,
        move |fetch, name, peer| {
            Some(peer_authentication::status::of(
                fetch, &mesh, &lookups, name, peer,
            ))
        },
    );
    AddedPolicies {
        policies,
        peers,
        peer_statuses,
        lookups,
    }
}

type Converted = (Derived<Authorization>, Option<SelectedMode>);
