use super::*;

fn waypoint(conditions: Value) -> Found {
    let gateway = json!({"metadata": {"name": "waypoint", "namespace": "shop"},
        "spec": {"gatewayClassName": "istio-waypoint"}, "status": {"conditions": conditions}});
    serde_json::from_value(gateway).expect("a Gateway")
}

#[test]
fn a_waypoint_is_well_with_its_proxies() {
    let programmed = json!([{"type": "Programmed", "status": "True", "reason": "Programmed"}]);
    for (conditions, proxies, well) in [
        (programmed.clone(), vec![("w-1".to_owned(), None)], true),
        (
            programmed.clone(),
            vec![("w-1".to_owned(), Some("is 2 behind with Address".to_owned()))],
            false,
        ),
        (programmed, Vec::new(), false),
        (json!([]), vec![("w-1".to_owned(), None)], false),
    ] {
        let seen = Seen {
            waypoint: waypoint(conditions),
            proxies,
        };
        assert_eq!(seen.is_well(), well, "{seen:?}");
        assert_eq!(status(&[seen]).data[0]["well"], well);
    }
}

#[test]
fn conditions_and_proxies_have_a_line_each() {
    let conditions = json!([{"type": "Accepted", "status": "True", "reason": "Accepted"},
        {"type": "Programmed", "status": "False", "reason": "Pending", "message": "0 of 1 pods are ready"}]);
    let seen = Seen {
        waypoint: waypoint(conditions),
        proxies: vec![(
            "w-1".to_owned(),
            Some("container istio-proxy: ErrImagePull".to_owned()),
        )],
    };
    assert_eq!(
        status(&[seen]).table.text(),
        "WAYPOINT        WHAT         STATUS   WHY\n\
         shop/waypoint   Accepted     True     Accepted\n\
         shop/waypoint   Programmed   False    Pending: 0 of 1 pods are ready\n\
         shop/waypoint   proxy w-1    False    container istio-proxy: ErrImagePull\n"
    );
}

#[test]
fn routes_and_policies_are_told_and_what_is_not_carried_out() {
    let page = json!({"routes": ["HTTPRoute/shop/cart"], "attachedPolicies": ["AuthorizationPolicy/shop/a/authorization"],
        "notEnforced": [{"policy": "AuthorizationPolicy/shop/b/authorization", "targets": [], "reason": "no such service"}]});
    let carried = Carried::read("w-1", &page).expect("the page");
    assert!(carried.leaves_out());
    let text = routes(&[carried]).table.text();
    assert!(text.contains("w-1     route    HTTPRoute/shop/cart\n"), "{text}");
    assert!(
        text.ends_with("b/authorization is not carried out: no such service\n"),
        "{text}"
    );
    assert!(Carried::read("w-1", &json!({"workloads": []})).is_err());
}
