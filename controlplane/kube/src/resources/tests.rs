use std::collections::BTreeSet;

use controlplane_k8s_api::Kind;

use super::WATCHED;

#[test]
fn every_kind_that_is_understood_is_watched_or_known_not_to_be() {
    let watched: BTreeSet<Kind> = WATCHED.iter().map(|w| w.kind).collect();
    assert_eq!(watched.len(), WATCHED.len(), "a kind is watched twice");
    let not: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|k| !watched.contains(k))
        .collect();
    // Accounts say nothing that anything is made of; the mesh's configuration is a ConfigMap.
    assert_eq!(not, [Kind::ServiceAccount, Kind::MeshConfig]);
}

#[test]
fn a_kind_is_watched_in_the_best_version_that_is_served() {
    let grants = WATCHED
        .iter()
        .find(|w| w.kind == Kind::ReferenceGrant)
        .expect("it is watched");
    assert_eq!(grants.version(&["v1beta1", "v1"]), Some("v1"));
    assert_eq!(grants.version(&["v1beta1"]), Some("v1beta1"));
    assert_eq!(grants.version(&["v3"]), None);
    let resource = grants.resource("v1beta1");
    assert_eq!(resource.api_version(), "gateway.networking.k8s.io/v1beta1");
}
