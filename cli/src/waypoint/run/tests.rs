use mesh_kube::Resource;
use mesh_kube::fake::FakeApi;
use serde_json::Value;
use tokio::time::sleep;

use super::*;
use crate::args::WaypointArgs;
use crate::objects::GATEWAYS;

const NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&GATEWAYS);
    api.put(&NAMESPACES, json!({"metadata": {"name": "shop"}}));
    api
}

fn enrolling(no_wait: bool) -> WaypointApplyArgs {
    WaypointApplyArgs {
        waypoint: WaypointArgs {
            name: "waypoint".into(),
            namespace: Some("shop".into()),
            traffic: None,
            revision: None,
        },
        enroll_namespace: true,
        overwrite: false,
        wait: false,
        no_wait,
        timeout: 10,
    }
}

fn label(api: &FakeApi) -> Value {
    let namespace = api.object(&NAMESPACES, &ObjectName::cluster("shop"));
    namespace.expect("it is there")["metadata"]["labels"]["istio.io/use-waypoint"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_bound_only_once_its_waypoint_takes_traffic() {
    let api = api();
    let (client, args) = (api.client(), enrolling(false));
    let wanted = args.waypoint.wanted(None);
    let error = applied(&client, &args, &wanted)
        .await
        .expect_err("nobody programs it");
    let error = format!("{error:#}");
    assert!(
        error.starts_with("waypoint shop/waypoint is applied, and namespace shop is left as it is: "),
        "{error}"
    );
    assert_eq!(label(&api), Value::Null);
    let control_plane = async {
        sleep(Duration::from_secs(5)).await;
        assert_eq!(label(&api), Value::Null, "it takes no traffic yet");
        let mut gateway = wanted.gateway();
        gateway["status"] = json!({"conditions": [{"type": "Programmed", "status": "True"}]});
        api.put(&GATEWAYS, gateway);
    };
    let (view, ()) = tokio::join!(applied(&client, &args, &wanted), control_plane);
    let view = view.expect("bound");
    assert_eq!(label(&api), "waypoint");
    assert_eq!(
        view.table.text(),
        "waypoint shop/waypoint is applied\nwaypoint shop/waypoint takes traffic\nnamespace shop is bound to waypoint waypoint\n"
    );
    assert_eq!(
        view.data,
        json!({"namespace": "shop", "name": "waypoint", "programmed": true, "namespaceBound": true})
    );
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_binds_at_once() {
    let api = api();
    let args = enrolling(true);
    let view = applied(&api.client(), &args, &args.waypoint.wanted(None)).await;
    assert_eq!(label(&api), "waypoint");
    assert_eq!(view.expect("bound").data["programmed"], false);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_bound_elsewhere_is_refused_before_anything_is_made() {
    let api = api();
    let labels = json!({"istio.io/use-waypoint": "other"});
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "shop", "labels": labels}}),
    );
    let args = enrolling(false);
    let wanted = args.waypoint.wanted(None);
    let error = applied(&api.client(), &args, &wanted).await.expect_err("refused");
    assert!(
        error.to_string().contains("istio.io/use-waypoint=other"),
        "{error}"
    );
    assert!(
        api.object(&GATEWAYS, &ObjectName::new("shop", "waypoint"))
            .is_none()
    );
}
