use super::*;

fn page() -> Value {
    json!({"authorizations": [
        {"policy": "AuthorizationPolicy/shop/readers", "action": "Allow", "dryRun": false,
         "targets": [{"name": "gateway shop/gate"}], "rules": ["to methods=GET", "anything"]},
        {"policy": "AuthorizationPolicy/shop/of-cart", "action": "Custom", "provider": "opa", "dryRun": true,
         "targets": [{"service": "shop/cart.shop.svc.cluster.local", "name": "service shop/cart.shop.svc.cluster.local"}],
         "rules": []},
        {"policy": "AuthorizationPolicy/shop/of-others", "action": "Deny", "dryRun": false,
         "targets": [{"service": "shop/other.shop.svc.cluster.local", "name": "service x"}], "rules": []},
    ]})
}

fn waypoint(said: Said) -> Waypoint {
    Waypoint {
        destination: "shop/gate.shop.svc.cluster.local".into(),
        of: "Service shop/cart".into(),
        service: Some("shop/cart.shop.svc.cluster.local".into()),
        proxies: Vec::new(),
        said,
    }
}

fn text(waypoint: &Waypoint) -> String {
    let mut table = Table::new(["AT", "POLICY", "ACTION", "SCOPE", "RULES"]);
    waypoint.show(&mut table);
    table.text()
}

#[test]
fn policies_of_the_gateway_and_of_the_service_are_named_with_their_rules() {
    let waypoint = waypoint(Said::read(&page()));
    let text = text(&waypoint);
    for part in [
        "waypoint shop/gate.shop.svc.cluster.local   shop/readers",
        "shop/of-cart   Custom (opa) (on trial)",
        "shop/readers, at waypoint shop/gate.shop.svc.cluster.local: to methods=GET\n",
        "there is an ALLOW policy at waypoint",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("of-others"), "{text}");
    let data = waypoint.data();
    assert_eq!(data["policies"].as_array().map(Vec::len), Some(2));
    assert_eq!(data["policies"][0]["rules"][0], "to methods=GET");
}

#[test]
fn a_waypoint_that_says_nothing_is_named_with_the_reason() {
    for (said, part) in [
        (Said::NotAsked, "--waypoint-url names it"),
        (Said::Unknown("no answer".into()), "not known: no answer"),
        (
            Said::read(&json!({"routes": []})),
            "of a version that does not show them",
        ),
    ] {
        let waypoint = waypoint(said);
        let text = text(&waypoint);
        assert!(text.contains(part), "{text}");
        assert!(waypoint.data()["unknown"].is_string());
    }
}

#[test]
fn proxies_are_found_by_the_uids_of_their_pods() {
    assert_eq!(
        pod("Kubernetes//Pod/shop/gate-1"),
        Some(ObjectName::new("shop", "gate-1"))
    );
    assert_eq!(
        pod("Kubernetes/networking.istio.io/WorkloadEntry/shop/gate-1"),
        None
    );
}
