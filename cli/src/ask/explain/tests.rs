use mesh_kube::Resource;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::args::Place;
use crate::objects::PODS;

fn connection(part: &Value) -> Connection {
    let mut page = json!({
        "client": "Kubernetes//Pod/shop/web-1", "identity": "spiffe://cluster.local/ns/shop/sa/web", "to": "10.0.0.1:80",
        "goes": "tunnel", "address": "10.1.0.9:15008", "workload": "Kubernetes//Pod/infra/gate-7f-x2", "waypoint": true,
        "service": "shop/cart.shop.svc.cluster.local", "authority": "10.0.0.1:80",
        "expected": ["spiffe://cluster.local/ns/infra/sa/of-another-name"],
    });
    for (key, value) in part.as_object().expect("fields") {
        page[key] = value.clone();
    }
    Connection::read(&page).expect("the page")
}

fn args() -> ExplainArgs {
    ExplainArgs {
        from: "shop/web-1".into(),
        to: "cart:80".into(),
        method: Some("GET".into()),
        path: Some("/a?b=c".into()),
        headers: vec!["x-a: 1".into(), "x-b: 2".into()],
        claims: Some(r#"{"iss": "me"}"#.into()),
        place: Place::default(),
        files: Vec::new(),
        waypoint_url: None,
    }
}

#[test]
fn a_waypoint_is_told_the_clients_address_its_headers_and_its_tokens_claims() {
    let asked = question(&args(), &connection(&json!({"clientAddress": "10.1.0.7"})));
    for part in [
        "&ip=10.1.0.7&",
        "&headers=x-a%3A%201%0Ax-b%3A%202",
        "&claims=%7B%22iss%22%3A%20%22me%22%7D",
        "&host=cart&",
    ] {
        assert!(asked.contains(part), "{part} in {asked}");
    }
    let older = connection(&json!({}));
    assert!(!question(&args(), &older).contains("ip="));
    let by_address = ExplainArgs {
        from: "10.1.0.8".into(),
        method: None,
        path: None,
        ..args()
    };
    let asked = question(&by_address, &older);
    assert!(asked.ends_with("&ip=10.1.0.8"), "{asked}");
}

/// Whatever the account of a waypoint's proxies is called: the annotation `gateway.istio.io/service-account` names another.
#[test]
fn the_proxy_that_is_asked_is_the_one_that_the_connection_meets() {
    assert_eq!(
        connection(&json!({})).waypoint(),
        Some(ObjectName::new("infra", "gate-7f-x2"))
    );
    for elsewhere in ["Kubernetes/networking.istio.io/WorkloadEntry/infra/gate", "vm-7"] {
        assert_eq!(connection(&json!({ "workload": elsewhere })).waypoint(), None);
    }
}

#[tokio::test]
async fn the_gateway_and_what_binds_to_it_are_found_in_the_cluster() {
    const NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
    const SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");
    let api = FakeApi::new();
    for resource in [&PODS, &NAMESPACES, &SERVICES] {
        api.serve(resource);
    }
    api.put(
        &PODS,
        json!({"metadata": {"name": "gate-7f-x2", "namespace": "infra",
            "labels": {"gateway.networking.k8s.io/gateway-name": "gate"}},
            "spec": {"nodeName": "n", "containers": [{"name": "c"}]}}),
    );
    api.put(
        &SERVICES,
        json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}}),
    );
    api.put(
        &NAMESPACES,
        json!({"metadata": {"name": "shop", "labels": {"istio.io/use-waypoint": "gate"}}}),
    );
    let asked = Asked::over(api.client(), "istio-system");
    let of = async || binding_of(&Validated::default(), Some(&asked), &connection(&json!({}))).await;
    let binding = of().await;
    assert_eq!(binding.gateway(), Some("infra/gate"));
    assert_eq!(
        binding.by(),
        Some("Namespace shop has the label istio.io/use-waypoint=gate")
    );
    // Who may not look is told the rest.
    api.forbid(&PODS, true);
    api.forbid(&NAMESPACES, true);
    assert_eq!(of().await, Binding::default());
}
