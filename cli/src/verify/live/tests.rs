use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

#[tokio::test]
async fn namespaces_of_the_mesh_without_the_root_are_named_but_those_that_go() {
    let api = FakeApi::new();
    let ambient = json!({"istio.io/dataplane-mode": "ambient"});
    for (name, labels, phase) in [
        ("shop", &ambient, "Active"),
        ("bank", &json!({"istio.io/use-waypoint": "teller"}), "Active"),
        ("old", &ambient, "Terminating"),
        ("kube-public", &json!({}), "Active"),
        ("street", &json!({"istio.io/dataplane-mode": "none"}), "Active"),
        ("istio-system", &json!({}), "Active"),
    ] {
        api.put(
            &NAMESPACES,
            json!({"metadata": {"name": name, "labels": labels}, "status": {"phase": phase}}),
        );
    }
    for (namespace, name) in [("shop", ROOT), ("bank", "mine")] {
        api.put(
            &CONFIG_MAPS,
            json!({"metadata": {"name": name, "namespace": namespace}}),
        );
    }
    let cluster = Asked::over(api.client(), "istio-system");
    assert_eq!(
        rootless(&cluster).await.expect("an answer"),
        ["bank", "istio-system"]
    );
}
