use mesh_kube::fake::FakeApi;

use super::*;
use crate::precheck::look::CRDS;

const VERSIONS: &str = r#"{"versions": [{"version": "v1"}]}"#;

/// A cluster from which the mesh was removed.
fn cluster() -> (FakeApi, Asked) {
    let api = FakeApi::new();
    for resource in [&GATEWAYS, &NAMESPACES, &CRDS, &SECRETS, &CONFIG_MAPS, &LEASES] {
        api.serve(resource);
    }
    let policies = Resource::namespaced(
        "security.istio.io",
        "v1",
        "peerauthentications",
        "PeerAuthentication",
    );
    api.page("/apis/security.istio.io", VERSIONS);
    api.put(
        &policies,
        json!({"metadata": {"name": "strict", "namespace": "shop"}}),
    );
    for (name, labels) in [
        (
            "peerauthentications.security.istio.io",
            json!({"app.kubernetes.io/part-of": "lateen"}),
        ),
        ("virtualservices.networking.istio.io", json!({"app": "istio"})),
    ] {
        let (plural, group) = name.split_once('.').expect("a name");
        api.put(
            &CRDS,
            json!({"metadata": {"name": name, "labels": labels}, "spec": {"group": group,
                "names": {"plural": plural, "kind": "PeerAuthentication"}, "versions": [{"name": "v1", "served": true}]}}),
        );
    }
    api.put(&GATEWAYS, json!({"metadata": {"name": "waypoint", "namespace": "shop"}, "spec": {"gatewayClassName": "istio-waypoint"}}));
    api.put(
        &GATEWAYS,
        json!({"metadata": {"name": "front", "namespace": "shop"}, "spec": {"gatewayClassName": "other"}}),
    );
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "shop", "labels": {"istio.io/use-waypoint": "waypoint", "team": "a"}}}),
    );
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "other", "labels": {"team": "b"}}}),
    );
    for name in [kinds::ROOT_KEY, kinds::ROOTS_BEFORE] {
        api.put(
            &SECRETS,
            json!({"metadata": {"name": name, "namespace": "istio-system"}}),
        );
    }
    for (namespace, name) in [("shop", kinds::ROOT), ("shop", "mine")] {
        api.put(
            &CONFIG_MAPS,
            json!({"metadata": {"name": name, "namespace": namespace}}),
        );
    }
    api.put(
        &LEASES,
        json!({"metadata": {"name": "lateen-status", "namespace": "istio-system"}}),
    );
    api.put(
        &LEASES,
        json!({"metadata": {"name": "mine", "namespace": "istio-system"}}),
    );
    let asked = Asked::over(api.client(), "istio-system");
    (api, asked)
}

fn names(left: &[Leftover]) -> Vec<String> {
    left.iter().map(Leftover::shown).collect()
}

/// What goes with the mesh, and what stays then.
async fn parted(cluster: &Asked) -> (Vec<Leftover>, Vec<Leftover>) {
    let all = find(cluster, "lateen").await.expect("a list");
    all.into_iter().partition(|left| left.goes(false))
}

#[tokio::test]
async fn what_is_left_is_listed_with_what_uses_it() {
    let (_, cluster) = cluster();
    let (gone, left) = parted(&cluster).await;
    assert_eq!(
        names(&left),
        [
            "Gateway shop/waypoint",
            "Namespace shop",
            "CustomResourceDefinition peerauthentications.security.istio.io",
            "Secret istio-system/istio-ca-secret",
        ]
    );
    assert_eq!(
        names(&gone),
        [
            "Secret istio-system/lateen-trusted-roots",
            "ConfigMap shop/istio-ca-root-cert",
            "Lease istio-system/lateen-status",
        ]
    );
    let text = view(&gone, &left, false).table.text();
    assert!(text.contains("a CRD, with 1 object: shop/strict"), "{text}");
    assert!(text.contains("its labels istio.io/use-waypoint"), "{text}");
    assert!(text.contains("--purge"), "{text}");
    assert!(
        text.contains("3 objects that the mesh had made by itself taken away"),
        "{text}"
    );
}

#[tokio::test]
async fn programs_are_given_every_object_by_name() {
    let (api, cluster) = cluster();
    let policies = Resource::namespaced(
        "security.istio.io",
        "v1",
        "peerauthentications",
        "PeerAuthentication",
    );
    for at in 0..9 {
        api.put(
            &policies,
            json!({"metadata": {"name": format!("p{at}"), "namespace": "shop"}}),
        );
    }
    let (gone, left) = parted(&cluster).await;
    let view = view(&gone, &left, false);
    assert!(view.table.text().contains("with 10 objects: shop/p0"));
    let objects = view.data["objects"].as_array().expect("objects");
    let crd = objects
        .iter()
        .find(|object| object["kind"] == "CustomResourceDefinition");
    let named = crd.expect("the CRD")["objects"].as_array().expect("its objects");
    assert_eq!(named.len(), 10);
    assert_eq!(view.data["removed"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn what_people_wrote_of_kinds_of_others_is_listed_and_stays() {
    let (api, cluster) = cluster();
    let services = Resource::namespaced("networking.istio.io", "v1", "virtualservices", "VirtualService");
    api.put(
        &services,
        json!({"metadata": {"name": "cart", "namespace": "shop"}}),
    );
    let (gone, left) = parted(&cluster).await;
    let text = view(&gone, &left, false).table.text();
    assert!(
        text.contains("a CRD that stays: it is not ours, with 1 object: shop/cart"),
        "{text}"
    );
    let all = find(&cluster, "lateen").await.expect("a list");
    let purged: Vec<_> = all.into_iter().filter(|left| left.goes(true)).collect();
    remove(&cluster, &purged).await.expect("purged");
    let name = ObjectName::cluster("virtualservices.networking.istio.io");
    assert!(api.object(&CRDS, &name).is_some());
}

#[tokio::test]
async fn what_hooks_left_is_found_and_taken_away_but_not_that_of_others() {
    let (api, cluster) = cluster();
    let put = |resource: &Resource, namespace: &str, name: &str, of: Option<&str>| {
        let mut labels = json!({"app.kubernetes.io/name": "lateen-unenroll", "app.kubernetes.io/part-of": "lateen",
            "istio.io/dataplane-mode": "none"});
        if let Some(of) = of {
            labels["app.kubernetes.io/instance"] = of.into();
        }
        let metadata = json!({"name": name, "namespace": namespace, "labels": labels});
        api.put(resource, json!({ "metadata": metadata }));
    };
    for (resource, names) in &HOOKS {
        if !names.contains(&"lateen-unenroll") {
            continue;
        }
        let is_pod = resource.kind == "Pod";
        match resource.namespaced {
            true => put(
                resource,
                "istio-system",
                "lateen-unenroll",
                (!is_pod).then_some("lateen"),
            ),
            false => {
                put(resource, "", "lateen-unenroll-istio-system", Some("lateen"));
                put(resource, "", "lateen-unenroll-mesh-2", Some("lateen"));
            }
        }
    }
    let (gone, _) = parted(&cluster).await;
    let hooks: Vec<String> = names(&gone)
        .into_iter()
        .filter(|name| name.contains("unenroll"))
        .collect();
    assert_eq!(
        hooks,
        [
            "Job istio-system/lateen-unenroll",
            "Pod istio-system/lateen-unenroll",
            "ClusterRoleBinding lateen-unenroll-istio-system",
            "ClusterRole lateen-unenroll-istio-system",
            "ServiceAccount istio-system/lateen-unenroll",
        ]
    );
    remove(&cluster, &gone).await.expect("taken away");
    assert_eq!(parted(&cluster).await.0, []);
}

#[tokio::test]
async fn services_and_pods_are_looked_at_as_namespaces_are() {
    let (api, cluster) = cluster();
    let labels = json!({"istio.io/use-waypoint": "w", "app": "cart"});
    for resource in [&SERVICES, &PODS] {
        let metadata = json!({"name": "cart", "namespace": "shop", "labels": labels});
        api.put(resource, json!({ "metadata": metadata }));
    }
    // A waypoint's own goes with its Gateway.
    let metadata = json!({"name": "w", "namespace": "shop",
        "labels": {"istio.io/dataplane-mode": "none", "gateway.networking.k8s.io/gateway-name": "w"}});
    api.put(&PODS, json!({ "metadata": metadata }));
    let (_, left) = parted(&cluster).await;
    let labelled: Vec<String> = names(&left)
        .into_iter()
        .filter(|name| name.starts_with("Service ") || name.starts_with("Pod "))
        .collect();
    assert_eq!(labelled, ["Service shop/cart", "Pod shop/cart"]);
    remove(&cluster, &left).await.expect("purged");
    for resource in [&SERVICES, &PODS] {
        let object = api.object(resource, &ObjectName::new("shop", "cart"));
        let object = object.expect("it stays");
        assert_eq!(object["metadata"]["labels"], json!({"app": "cart"}));
    }
}

#[tokio::test]
async fn purging_takes_what_was_listed_and_nothing_of_others() {
    let (api, cluster) = cluster();
    let left = find(&cluster, "lateen").await.expect("a list");
    remove(&cluster, &left).await.expect("purged");
    assert_eq!(find(&cluster, "lateen").await.expect("a list"), []);
    let namespace = api
        .object(&NAMESPACES, &ObjectName::cluster("shop"))
        .expect("it stays");
    assert_eq!(namespace["metadata"]["labels"], json!({"team": "a"}));
    for (resource, name) in [
        (&GATEWAYS, ObjectName::new("shop", "front")),
        (&CRDS, ObjectName::cluster("virtualservices.networking.istio.io")),
        (&CONFIG_MAPS, ObjectName::new("shop", "mine")),
        (&LEASES, ObjectName::new("istio-system", "mine")),
    ] {
        assert!(api.object(resource, &name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_away_is_named() {
    let (api, cluster) = cluster();
    let left = find(&cluster, "lateen").await.expect("a list");
    api.forbid(&SECRETS, true);
    let error = remove(&cluster, &left).await.expect_err("forbidden");
    assert!(
        format!("{error:#}")
            .starts_with("Secret istio-system/istio-ca-secret: it and what follows it is left: not allowed"),
        "{error:#}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_control_plane_made_is_not_taken_away_under_its_hands() {
    let (api, cluster) = cluster();
    let labels = json!({"app": "istiod", "app.kubernetes.io/instance": "lateen"});
    let metadata = json!({"name": "istiod-1", "namespace": "istio-system", "labels": labels});
    api.put(
        &PODS,
        json!({ "metadata": metadata, "status": {"phase": "Running"} }),
    );
    let error = wait_for_control_plane(&cluster, "lateen", Duration::from_secs(5))
        .await
        .expect_err("it stays");
    assert!(error.to_string().contains("istio-system/istiod-1"), "{error}");
    let gone = async {
        sleep(Duration::from_secs(3)).await;
        api.remove(&PODS, &ObjectName::new("istio-system", "istiod-1"));
    };
    let (waited, ()) = tokio::join!(
        wait_for_control_plane(&cluster, "lateen", Duration::from_secs(60)),
        gone
    );
    waited.expect("it is gone");
}

#[tokio::test]
async fn pods_that_are_done_keep_nobody_in_the_mesh_and_are_told_that_they_are_out() {
    let (api, cluster) = cluster();
    for phase in ["Succeeded", "Failed"] {
        let metadata = json!({"name": phase.to_lowercase(), "namespace": "shop",
            "annotations": {REDIRECTION: "enabled", "a": "b"}});
        api.put(&PODS, json!({ "metadata": metadata, "status": {"phase": phase} }));
    }
    assert!(!is_anybody_in_the_mesh(&cluster).await.expect("an answer"));
    let (gone, _) = parted(&cluster).await;
    remove(&cluster, &gone).await.expect("taken away");
    for name in ["succeeded", "failed"] {
        let pod = api
            .object(&PODS, &ObjectName::new("shop", name))
            .expect("it stays");
        assert_eq!(pod["metadata"]["annotations"], json!({"a": "b"}));
    }
}

#[tokio::test]
async fn somebody_is_in_the_mesh_by_a_label_or_by_what_the_agent_says() {
    let (api, cluster) = cluster();
    api.serve(&PODS);
    let asked = async || is_anybody_in_the_mesh(&cluster).await.expect("an answer");
    assert!(!asked().await);
    let pod = |annotations: Value| json!({"metadata": {"name": "p", "namespace": "shop", "annotations": annotations}});
    api.put(&PODS, pod(json!({"ambient.istio.io/redirection": "enabled"})));
    assert!(asked().await);
    api.put(&PODS, pod(json!({})));
    assert!(!asked().await);
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": "ambient"}}}),
    );
    assert!(asked().await);
}
