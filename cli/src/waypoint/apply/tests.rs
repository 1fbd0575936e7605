use mesh_kube::fake::FakeApi;

use super::*;
use crate::waypoint::classes::waypoints;

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
    enroll(&client, "shop", "waypoint", false).await.expect("bound");
    let again = enroll(&client, "shop", "waypoint", false).await;
    again.expect("it is bound already");
    let namespace = api
        .object(&NAMESPACES, &ObjectName::cluster("shop"))
        .expect("the namespace");
    assert_eq!(
        namespace["metadata"]["labels"]["istio.io/use-waypoint"],
        "waypoint"
    );
    assert_eq!(waypoints(&client, Some("shop")).await.expect("a list").len(), 1);
    assert_eq!(waypoints(&client, Some("other")).await.expect("a list").len(), 0);
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
    assert_eq!(waypoints(&client, None).await.expect("a list").len(), 0);
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
    let error = wait(&client, &wanted(), limit, |_| ())
        .await
        .expect_err("nobody programs it");
    assert_eq!(
        error.to_string(),
        "waypoint shop/waypoint takes no traffic after 5 s: it is not there; lateen waypoint status -n shop waypoint shows \
         its proxies"
    );
    api.put(&GATEWAYS, gateway("True", ""));
    wait(&client, &wanted(), limit, |line| panic!("{line}"))
        .await
        .expect("programmed");
}

fn gateway(programmed: &str, message: &str) -> Value {
    let mut gateway = wanted().gateway();
    gateway["status"] = json!({"conditions": [
        {"type": "Programmed", "status": programmed, "reason": "Pending", "message": message}]});
    gateway
}

#[tokio::test(start_paused = true)]
async fn what_keeps_a_waypoint_is_told_once_each_time_it_changes() {
    let api = api();
    let client = api.client();
    let steps = async {
        for message in ["no Deployment", "no endpoint is ready"] {
            api.put(&GATEWAYS, gateway("False", message));
            sleep(Duration::from_secs(3)).await;
        }
        api.put(&GATEWAYS, gateway("True", ""));
    };
    let mut told = Vec::new();
    let wanted = wanted();
    let waited = wait(&client, &wanted, Duration::from_secs(60), |line| {
        told.push(line.to_owned());
    });
    // The steps are polled first.
    let ((), waited) = tokio::join!(biased; steps, waited);
    waited.expect("programmed");
    assert_eq!(
        told,
        [
            "waypoint shop/waypoint takes no traffic yet: Pending: no Deployment",
            "waypoint shop/waypoint takes no traffic yet: Pending: no endpoint is ready",
        ]
    );
}

#[tokio::test]
async fn a_namespace_that_is_bound_elsewhere_is_only_taken_over_when_it_is_said() {
    for (labels, said) in [
        (
            json!({USE_WAYPOINT: "other", "team": "a"}),
            "istio.io/use-waypoint=other;",
        ),
        (
            json!({USE_WAYPOINT: "none", "team": "a"}),
            "istio.io/use-waypoint=none;",
        ),
        (
            json!({USE_WAYPOINT: "waypoint", USE_WAYPOINT_NAMESPACE: "infra", "team": "a"}),
            "istio.io/use-waypoint=waypoint, istio.io/use-waypoint-namespace=infra;",
        ),
    ] {
        let api = api();
        let client = api.client();
        let shop = ObjectName::cluster("shop");
        api.put(
            &NAMESPACES,
            json!({"metadata": {"name": "shop", "labels": labels}}),
        );
        let now = || api.object(&NAMESPACES, &shop).expect("it is there")["metadata"]["labels"].clone();
        let error = enroll(&client, "shop", "waypoint", false)
            .await
            .expect_err("bound elsewhere")
            .to_string();
        assert!(error.contains(said) && error.contains("--overwrite"), "{error}");
        assert_eq!(now(), labels);
        let taken = enroll(&client, "shop", "waypoint", true).await;
        taken.expect("taken over");
        assert_eq!(now(), json!({USE_WAYPOINT: "waypoint", "team": "a"}));
    }
}
