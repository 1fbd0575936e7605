use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};

use super::*;

fn cluster() -> (FakeApi, Asked) {
    let api = FakeApi::new();
    api.serve(&PODS);
    for (name, namespace, app, node, phase, ip) in [
        ("istiod-1", "istio-system", "istiod", "a", "Running", "10.0.0.1"),
        ("istiod-2", "istio-system", "istiod", "b", "Pending", ""),
        ("ztunnel-b", "istio-system", "ztunnel", "b", "Running", "10.0.0.2"),
        ("ztunnel-a", "istio-system", "ztunnel", "a", "Running", "10.0.0.3"),
        ("web", "shop", "web", "b", "Running", "10.0.0.4"),
    ] {
        api.put(
            &PODS,
            json!({"metadata": {"name": name, "namespace": namespace, "labels": {"app": app}},
                   "spec": {"nodeName": node}, "status": {"phase": phase, "podIP": ip}}),
        );
    }
    let asked = Asked::over(api.client(), "istio-system");
    (api, asked)
}

#[tokio::test]
async fn replicas_that_run_are_asked() {
    let (_, cluster) = cluster();
    let pods = cluster.control_planes().await.expect("one runs");
    let names: Vec<String> = pods.iter().map(Pod::shown).collect();
    assert_eq!(names, ["istiod-1.istio-system"]);
}

#[tokio::test]
async fn a_ztunnel_is_found_by_node_and_by_the_pods_that_it_serves() {
    let (_, cluster) = cluster();
    for (found, name) in [
        (cluster.ztunnel(None).await, "ztunnel-a.istio-system"),
        (cluster.ztunnel(Some("b")).await, "ztunnel-b.istio-system"),
        (cluster.ztunnel_of("shop/web").await, "ztunnel-b.istio-system"),
        (cluster.ztunnel_of("10.0.0.4").await, "ztunnel-b.istio-system"),
        (cluster.ztunnel_for("10.0.0.4").await, "ztunnel-b.istio-system"),
        (cluster.ztunnel_for("192.0.2.7").await, "ztunnel-a.istio-system"),
    ] {
        assert_eq!(found.expect("a ztunnel").shown(), name);
    }
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is() {
    let (_, cluster) = cluster();
    let error = cluster.ztunnel(Some("c")).await.expect_err("no such node");
    assert_eq!(
        format!("{error:#}"),
        "no ztunnel runs on node \"c\"; there is one on a, b"
    );
    let error = cluster.ztunnel_of("shop/gone").await.expect_err("no such pod");
    assert_eq!(format!("{error:#}"), "there is no pod shop/gone");
}

#[tokio::test]
async fn a_cluster_without_the_mesh_says_where_it_was_looked_for() {
    let api = FakeApi::new();
    api.serve(&PODS);
    let cluster = Asked::over(api.client(), "mesh");
    let error = cluster.control_planes().await.expect_err("none").to_string();
    assert!(
        error.contains("namespace mesh") && error.contains("--system"),
        "{error}"
    );
}

#[tokio::test]
async fn proxies_that_run_are_ztunnels_and_the_waypoints_of_revisions_that_are_here() {
    let (api, cluster) = cluster();
    let started = json!({"phase": "Running", "containerStatuses": [
        {"state": {"running": {"startedAt": "1970-01-01T00:00:05Z"}}},
        {"state": {"running": {"startedAt": "1970-01-01T00:01:05Z"}}},
        {"state": {"terminated": {"startedAt": "1970-01-01T01:00:00Z"}}}]});
    let pod = |name: &str, namespace: &str, mut metadata: Value, status: &Value| {
        metadata["name"] = name.into();
        metadata["namespace"] = namespace.into();
        api.put(
            &PODS,
            json!({"metadata": metadata, "spec": {"nodeName": "b"}, "status": status}),
        );
    };
    let managed = |by: &str, revision: &str| json!({"labels": {"gateway.istio.io/managed": by}, "annotations": {"istio.io/rev": revision}});
    let here = json!({"labels": {"app": "istiod", "istio.io/rev": "default"}});
    pod("istiod-1", "istio-system", here, &started);
    pod(
        "ztunnel-b",
        "istio-system",
        json!({"labels": {"app": "ztunnel"}}),
        &started,
    );
    let ours = ["istio.io-mesh-controller", "lateen.dev-mesh-controller"];
    pod("wp", "shop", managed(ours[0], "default"), &started);
    pod("own-class", "shop", managed(ours[1], "default"), &started);
    pod("of-another", "shop", managed(ours[0], "canary"), &started);
    pod(
        "ingress",
        "shop",
        managed("istio.io-gateway-controller", "default"),
        &started,
    );
    pod(
        "no-container-yet",
        "shop",
        managed(ours[0], "default"),
        &json!({"phase": "Running"}),
    );
    let mut leaving = managed(ours[0], "default");
    leaving["deletionTimestamp"] = "1970-01-01T00:02:00Z".into();
    pod("leaving", "shop", leaving, &started);

    let mut running = cluster.proxies().await.expect("the pods");
    running.sort_by(|a, b| a.name.cmp(&b.name));
    let of = |name: ObjectName, kind| Running {
        name,
        kind,
        node: "b".to_owned(),
        since: 65,
    };
    assert_eq!(
        running,
        [
            of(ObjectName::new("istio-system", "ztunnel-b"), Kind::Ztunnel),
            of(ObjectName::new("shop", "own-class"), Kind::Waypoint),
            of(ObjectName::new("shop", "wp"), Kind::Waypoint),
        ]
    );
}
