use controlplane_index::MeshConfig;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::analyze::{Code, analyze};

fn api() -> FakeApi {
    let api = FakeApi::new();
    for watched in WATCHED.iter().filter(|watched| watched.built_in) {
        api.serve(&watched.resource("v1"));
    }
    api
}

const SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");
const SECRETS: Resource = Resource::namespaced("", "v1", "secrets", "Secret");
const POLICIES: Resource = Resource::namespaced(
    "security.istio.io",
    "v1",
    "peerauthentications",
    "PeerAuthentication",
);

#[tokio::test]
async fn what_a_cluster_has_is_looked_at_as_files_are() {
    let api = api();
    api.put(
        &SERVICES,
        json!({"metadata": {"name": "cart", "namespace": "shop", "labels": {"istio.io/use-waypoint": "gone"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]}}),
    );
    api.page("/apis/security.istio.io", r#"{"versions": [{"version": "v1"}]}"#);
    api.put(
        &POLICIES,
        json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": {"mtls": {"mode": "LAX"}}}),
    );
    let found = objects(&api.client()).await.expect("objects");
    let found = analyze(&found, &MeshConfig::default());
    let messages: Vec<_> = found
        .messages()
        .iter()
        .map(|m| (m.code, m.object.as_str(), m.place.as_str()))
        .collect();
    assert_eq!(
        messages,
        [
            (Code::SchemaValidationError, "PeerAuthentication shop/p", ""),
            (Code::WaypointUnusable, "Service shop/cart", ""),
        ]
    );
}

#[tokio::test]
async fn whoever_may_not_read_secrets_is_told_all_the_rest() {
    let api = api();
    api.forbid(&SECRETS, true);
    api.serve(&DEPLOYMENTS);
    api.forbid(&DEPLOYMENTS, true);
    objects(&api.client()).await.expect("objects");
    api.forbid(&SERVICES, true);
    let error = objects(&api.client()).await.expect_err("services are needed");
    assert_eq!(format!("{error:#}"), "services: not allowed: no role lets you");
}

#[tokio::test]
async fn what_makes_pods_is_taken_from_the_cluster_too() {
    let api = api();
    api.serve(&DEPLOYMENTS);
    api.put(
        &DEPLOYMENTS,
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": {"metadata": {"labels": {"app": "web"}}}}}),
    );
    let found = objects(&api.client()).await.expect("objects");
    assert_eq!(found.makers.len(), 1);
    assert!(crate::validate::is_maker(&found.makers[0]), "{}", found.makers[0]);
}
