use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

#[tokio::test]
async fn namespaces_without_the_root_are_named_but_those_that_go() {
    let api = FakeApi::new();
    for (name, phase) in [("shop", "Active"), ("bank", "Active"), ("old", "Terminating")] {
        api.put(
            &NAMESPACES,
            json!({"metadata": {"name": name}, "status": {"phase": phase}}),
        );
    }
    for (namespace, name) in [("shop", ROOT), ("bank", "mine")] {
        api.put(
            &CONFIG_MAPS,
            json!({"metadata": {"name": name, "namespace": namespace}}),
        );
    }
    let cluster = Asked::over(api.client(), "istio-system");
    assert_eq!(rootless(&cluster).await.expect("an answer"), ["bank"]);
}
