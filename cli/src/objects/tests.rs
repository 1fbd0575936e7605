use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

const APPS: &str = r#"{"resources": [
    {"name": "daemonsets/status", "kind": "DaemonSet", "namespaced": true},
    {"name": "daemonsets", "kind": "DaemonSet", "namespaced": true}]}"#;

#[test]
fn documents_without_an_object_are_passed_over() {
    let all = read("---\n# Source: a\n---\nkind: A\nmetadata: {name: x}\n---\nkind: B\nmetadata: {name: y, namespace: n}\n")
        .expect("YAML");
    assert_eq!(all.iter().map(shown).collect::<Vec<_>>(), ["A x", "B n/y"]);
    assert!(read("a: [").is_err());
}

#[tokio::test]
async fn an_object_is_found_by_the_kind_that_the_cluster_serves() {
    let api = FakeApi::new();
    api.page("/apis/apps/v1", APPS);
    let daemonsets = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");
    api.put(
        &daemonsets,
        json!({"metadata": {"name": "ztunnel", "namespace": "istio-system"}}),
    );
    let mut kinds = Kinds::of(&api.client());
    let rendered = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ztunnel"}});
    let live = kinds
        .live(&rendered, "istio-system")
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(live["metadata"]["name"], "ztunnel");
    assert_eq!(kinds.live(&rendered, "elsewhere").await.expect("an answer"), None);
    let unknown =
        json!({"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "m"}});
    assert_eq!(
        kinds.live(&unknown, "istio-system").await.expect("an answer"),
        None
    );
}
