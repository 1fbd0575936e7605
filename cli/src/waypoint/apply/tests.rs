use mesh_kube::fake::FakeApi;

use super::*;

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&GATEWAYS);
    api.serve(&NAMESPACES);
    api.put(&NAMESPACES, json!({"metadata": {"name": "shop"}}));
    api
}

fn wanted() -> Wanted {
    Wanted {
        namespace: Some("shop".into()),
        name: "waypoint".into(),
        traffic: None,
        revision: None,
    }
}

#[tokio::test]
async fn a_waypoint_is_made_bound_listed_and_deleted() {
    let api = api();
    let client = api.client();
    apply(&client, &wanted(), false).await.expect("applied");
    enroll(&client, "shop", "waypoint").await.expect("bound");
    let namespace = api
        .object(&NAMESPACES, &ObjectName::cluster("shop"))
        .expect("the namespace");
    assert_eq!(
        namespace["metadata"]["labels"]["istio.io/use-waypoint"],
        "waypoint"
    );
    assert_eq!(list(&client, Some("shop")).await.expect("a list").len(), 1);
    assert_eq!(list(&client, Some("other")).await.expect("a list").len(), 0);
    let deleted = delete(&client, "shop", &["waypoint".into()])
        .await
        .expect("deleted");
    assert_eq!(deleted, ["shop/waypoint"]);
    let error = delete(&client, "shop", &["waypoint".into()])
        .await
        .expect_err("gone");
    assert_eq!(error.to_string(), "there is no waypoint shop/waypoint");
}

#[tokio::test]
async fn a_gateway_that_is_no_waypoint_is_neither_listed_nor_deleted() {
    let api = api();
    api.put(
        &GATEWAYS,
        json!({"metadata": {"name": "front", "namespace": "shop"}, "spec": {"gatewayClassName": "other"}}),
    );
    let client = api.client();
    assert_eq!(list(&client, None).await.expect("a list").len(), 0);
    let error = delete(&client, "shop", &["front".into()])
        .await
        .expect_err("refused");
    assert_eq!(error.to_string(), "Gateway shop/front is no waypoint");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_waypoint_or_with_what_keeps_it() {
    let api = api();
    let client = api.client();
    let limit = Duration::from_secs(5);
    let error = wait(&client, &wanted(), limit)
        .await
        .expect_err("nobody programs it");
    assert_eq!(
        error.to_string(),
        "waypoint shop/waypoint takes no traffic after 5 s: it is not there"
    );
    let mut gateway = wanted().gateway();
    gateway["status"] = json!({"conditions": [{"type": "Programmed", "status": "True"}]});
    api.put(&GATEWAYS, gateway);
    wait(&client, &wanted(), limit).await.expect("programmed");
}
