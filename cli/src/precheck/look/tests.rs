use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::precheck::rights::REVIEWS;

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.page("/version", r#"{"gitVersion": "v1.34.1"}"#);
    for resource in [
        &NAMESPACES,
        &CONFIG_MAPS,
        &NODES,
        &DEPLOYMENTS,
        &DAEMONSETS,
        &CRDS,
    ] {
        api.serve(resource);
    }
    api.review(&REVIEWS, json!({"allowed": true}));
    api
}

#[tokio::test]
async fn a_cluster_is_asked_for_everything_that_is_judged() {
    let api = api();
    api.put(
        &NODES,
        json!({"metadata": {"name": "n1"}, "status": {"nodeInfo": {"kubeletVersion": "v1.34.1"}}}),
    );
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "istio-system", "labels": {"a": "b"}}}),
    );
    api.put(
        &CONFIG_MAPS,
        json!({"metadata": {"name": "cilium-config", "namespace": "kube-system"}, "data": {"cni-exclusive": "true"}}),
    );
    api.put(
        &DEPLOYMENTS,
        json!({"metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}}}),
    );
    api.put(
        &CRDS,
        json!({"metadata": {"name": "certificates.cert-manager.io"}, "spec": {
            "group": "cert-manager.io", "names": {"plural": "certificates", "kind": "Certificate"}}}),
    );
    api.put(
        &CRDS,
        json!({"metadata": {"name": "gateways.gateway.networking.k8s.io"}, "spec": {
            "group": "gateway.networking.k8s.io", "names": {"plural": "gateways", "kind": "Gateway"},
            "versions": [{"name": "v1", "served": true, "storage": true}]}}),
    );
    let facts = look(&api.client(), "istio-system").await.expect("facts");
    assert_eq!(facts.kubernetes, "v1.34.1");
    assert_eq!(facts.nodes[0].status.node_info.kubelet_version, "v1.34.1");
    assert_eq!(facts.system.expect("it is there").labels["a"], "b");
    assert_eq!(facts.cilium.expect("Cilium")["cni-exclusive"], "true");
    assert_eq!(facts.parts.len(), 1);
    assert_eq!(facts.crds.len(), 1, "those of others do not matter");
    assert_eq!(facts.denied, []);
    assert!(!facts.openshift);
}

#[tokio::test]
async fn rights_that_are_refused_are_named() {
    let api = api();
    api.review(&REVIEWS, json!({"allowed": false}));
    let facts = look(&api.client(), "istio-system").await.expect("facts");
    assert_eq!(facts.denied, rights::usual());
}

#[tokio::test]
async fn what_has_to_be_known_and_cannot_be_asked_is_an_error_that_names_it() {
    let api = api();
    api.forbid(&NODES, true);
    let error = look(&api.client(), "istio-system").await.expect_err("forbidden");
    assert_eq!(format!("{error:#}"), "nodes: not allowed: no role lets you");
}
