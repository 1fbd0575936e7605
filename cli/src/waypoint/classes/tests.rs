use mesh_kube::Resource;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

const CLASSES: Resource = Resource::cluster_wide(
    "gateway.networking.k8s.io",
    "v1",
    "gatewayclasses",
    "GatewayClass",
);

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&GATEWAYS);
    api.serve(&CLASSES);
    api.page(
        "/apis/gateway.networking.k8s.io",
        r#"{"versions": [{"version": "v1"}]}"#,
    );
    for (class, controller) in [
        ("of-a-team", "istio.io/mesh-controller"),
        ("foreign", "example.com/gateways"),
        // Somebody else has taken the name.
        ("istio-waypoint", "example.com/gateways"),
    ] {
        api.put(
            &CLASSES,
            json!({"metadata": {"name": class}, "spec": {"controllerName": controller}}),
        );
    }
    for class in ["of-a-team", "foreign", "istio-waypoint", "lateen-waypoint"] {
        api.put(
            &GATEWAYS,
            json!({"metadata": {"name": class, "namespace": "shop"}, "spec": {"gatewayClassName": class}}),
        );
    }
    api
}

async fn names(api: &FakeApi) -> Vec<String> {
    let found = waypoints(&api.client(), Some("shop")).await.expect("a list");
    let mut names: Vec<String> = found.iter().map(|found| found.name().name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_class_that_names_our_controller_makes_waypoints_whatever_it_is_called() {
    let api = api();
    assert_eq!(names(&api).await, ["lateen-waypoint", "of-a-team"]);
    // Without the right to read classes the well-known names count.
    api.forbid(&CLASSES, true);
    assert_eq!(names(&api).await, ["istio-waypoint", "lateen-waypoint"]);
}
