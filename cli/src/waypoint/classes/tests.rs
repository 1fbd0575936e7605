use mesh_kube::Resource;
use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};

use super::*;
use crate::leftovers::kinds;
use crate::waypoint::apply;

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

#[tokio::test]
async fn what_is_deleted_and_what_stays_behind_is_judged_by_classes_too() {
    let api = api();
    let client = api.client();
    let delete = async |name: &str| apply::delete(&client, "shop", &[name.to_owned()]).await;
    let gateways: Vec<Value> = ["of-a-team", "foreign"]
        .map(|class| json!({"metadata": {"name": class, "namespace": "shop"}, "spec": {"gatewayClassName": class}}))
        .into();
    let classes = Classes::of(&client).await.expect("classes");
    assert_eq!(kinds::gateways(&gateways, &classes).len(), 1);
    assert_eq!(delete("of-a-team").await.expect("ours"), ["shop/of-a-team"]);
    delete("foreign").await.expect_err("somebody else's");
}
