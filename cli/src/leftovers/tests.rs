use mesh_kube::fake::FakeApi;

use super::*;

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
    for name in [ROOT_KEY, ROOTS_BEFORE] {
        api.put(
            &SECRETS,
            json!({"metadata": {"name": name, "namespace": "istio-system"}}),
        );
    }
    for (namespace, name) in [("shop", ROOT), ("shop", "mine")] {
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

fn shown(left: &[Leftover]) -> Vec<String> {
    left.iter().map(Leftover::shown).collect()
}

#[tokio::test]
async fn what_is_left_is_listed_with_what_uses_it() {
    let (_, cluster) = cluster();
    let left = find(&cluster).await.expect("a list");
    assert_eq!(
        shown(&left),
        [
            "Gateway shop/waypoint",
            "Namespace shop",
            "CustomResourceDefinition peerauthentications.security.istio.io",
            "Secret istio-system/istio-ca-secret",
            "Secret istio-system/lateen-trusted-roots",
            "ConfigMap shop/istio-ca-root-cert",
            "Lease istio-system/lateen-status",
        ]
    );
    let text = view(&left, "left").table.text();
    assert!(text.contains("a CRD, with 1 object: shop/strict"), "{text}");
    assert!(text.contains("its labels istio.io/use-waypoint"), "{text}");
}

#[tokio::test]
async fn purging_takes_what_was_listed_and_nothing_of_others() {
    let (api, cluster) = cluster();
    let left = find(&cluster).await.expect("a list");
    purge(&cluster, &left).await.expect("purged");
    assert_eq!(find(&cluster).await.expect("a list"), []);
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
    let left = find(&cluster).await.expect("a list");
    api.forbid(&SECRETS, true);
    let error = purge(&cluster, &left).await.expect_err("forbidden");
    assert!(
        format!("{error:#}")
            .starts_with("Secret istio-system/istio-ca-secret: it and what follows it is left: not allowed"),
        "{error:#}"
    );
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
