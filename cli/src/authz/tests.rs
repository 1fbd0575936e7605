use super::*;

fn page() -> Value {
    let policy = |namespace: &str, name: &str, scope: &str, action: &str| json!({"namespace": namespace, "name": name, "scope": scope, "action": action, "rules": [[]]});
    json!({
        "workloads": [
            {"uid": "K//Pod/shop/cart-1", "name": "cart-1", "namespace": "shop", "protocol": "HBONE",
             "authorizationPolicies": ["shop/of-cart", "istio-system/strict"]},
            {"uid": "K//Pod/shop/old", "name": "old", "namespace": "shop", "protocol": "TCP"},
        ],
        "services": [
            {"name": "cart", "namespace": "shop", "waypoint": {"destination": "shop/waypoint.shop.svc.cluster.local"},
             "endpoints": {"K//Pod/shop/cart-1": {"status": "Healthy"}}},
            {"name": "other", "namespace": "shop", "endpoints": {}},
            {"name": "waypoint", "namespace": "shop", "hostname": "waypoint.shop.svc.cluster.local",
             "endpoints": {"K//Pod/shop/waypoint-1": {}, "K/networking.istio.io/WorkloadEntry/shop/vm": {}}},
        ],
        "policies": [
            policy("istio-system", "mesh-wide", "Global", "Deny"),
            policy("istio-system", "strict", "WorkloadSelector", "Deny"),
            policy("shop", "all-of-shop", "Namespace", "Allow"),
            policy("shop", "of-cart", "WorkloadSelector", "Allow"),
            policy("shop", "of-others", "WorkloadSelector", "Deny"),
            policy("data", "all-of-data", "Namespace", "Deny"),
        ],
    })
}

#[test]
fn a_pod_has_the_policies_of_the_mesh_of_its_namespace_and_its_own() {
    let checked = check(&page(), "shop/cart-1").expect("it is known");
    let names: Vec<&str> = checked
        .policies
        .iter()
        .map(|policy| policy.name.as_str())
        .collect();
    assert_eq!(names, ["mesh-wide", "strict", "all-of-shop", "of-cart"]);
    let text = checked.view().table.text();
    assert!(text.contains("what none of them matches is denied"), "{text}");
    assert!(
        text.contains("Service shop/cart has a waypoint, shop/waypoint.shop.svc.cluster.local"),
        "{text}"
    );
}

#[test]
fn the_proxies_of_its_waypoints_are_known_and_their_policies_stand_beside_ztunnels() {
    let mut checked = check(&page(), "shop/cart-1").expect("it is known");
    let waypoint = &mut checked.waypoints_mut()[0];
    assert_eq!(
        waypoint.proxies,
        [mesh_kube::ObjectName::new("shop", "waypoint-1")]
    );
    waypoint.said = Said::read(&json!({"authorizations": [
        {"policy": "AuthorizationPolicy/shop/readers", "action": "Allow", "targets": [{"name": "gateway shop/waypoint"}],
         "rules": ["to methods=GET"]}]}));
    let view = checked.view();
    let text = view.table.text();
    assert!(
        text.contains("ztunnel ") && text.contains("shop/readers") && text.contains("to methods=GET"),
        "{text}"
    );
    assert_eq!(view.data["waypoints"][0]["policies"][0]["action"], "Allow");
}

#[test]
fn a_pod_that_nobody_guards_says_so() {
    let mut page = page();
    page["policies"] = json!([]);
    page["services"] = json!([]);
    let text = check(&page, "shop/cart-1")
        .expect("it is known")
        .view()
        .table
        .text();
    assert!(
        text.starts_with("no policy decides about what comes to shop/cart-1: everybody may\n"),
        "{text}"
    );
}

#[test]
fn a_pod_outside_of_the_mesh_or_unknown_is_an_error_with_the_way_out() {
    for (pod, remedy) in [
        ("shop/old", "istio.io/dataplane-mode=ambient"),
        ("shop/none", "lateen node workloads -n shop"),
        ("cart-1", "<namespace>/<pod>"),
    ] {
        let error = check(&page(), pod).expect_err("refused").to_string();
        assert!(error.contains(remedy), "{error}");
    }
}
