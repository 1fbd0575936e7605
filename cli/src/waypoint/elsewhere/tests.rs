use serde_json::json;

use super::*;
use crate::waypoint::inspect::status;

fn client(name: &str, namespace: &str, gateway: &str, refused: Option<&str>) -> Value {
    json!({
        "node": {"kind": "waypoint", "ip": "10.0.0.1", "name": name, "namespace": namespace, "node": "n",
            "metadata": {"GATEWAY_NAME": gateway}},
        "subscriptions": [{"type_url": "a/b.Address", "sent": 1, "acknowledged": 1, "outstanding": false, "refusals": 0,
            "refused": refused}],
    })
}

fn waypoint(namespace: &str) -> Found {
    let gateway = json!({"metadata": {"name": "waypoint", "namespace": namespace},
        "spec": {"gatewayClassName": "istio-waypoint"},
        "status": {"conditions": [{"type": "Programmed", "status": "True", "reason": "Programmed"}]}});
    Found::deserialize(&gateway).expect("a Gateway")
}

#[test]
fn a_waypoints_proxies_are_those_that_say_so() {
    let clients = json!([
        client("w-1", "shop", "waypoint", None),
        client("w-2", "shop", "waypoint", Some("no port")),
        client("other", "shop", "edge", None),
        client("w-1", "bank", "waypoint", None),
        {"node": null, "subscriptions": []},
    ]);
    let seen = beside(vec![waypoint("shop"), waypoint("alone")], &clients).expect("the page");
    let proxies: Vec<_> = seen[0].proxies.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(proxies, ["w-1", "w-2"]);
    assert!(!seen[0].is_well() && !seen[1].is_well());
    let text = status(&seen).table.text();
    assert!(
        text.contains("proxy w-2    False    refuses Address: no port"),
        "{text}"
    );
    assert!(
        text.contains("alone/waypoint   proxies      False    none is there"),
        "{text}"
    );
}

#[test]
fn a_waypoint_that_is_named_and_not_there_is_said() {
    for (namespace, said) in [
        (Some("shop"), "shop/other"),
        (None, "waypoint other in any namespace"),
    ] {
        let missing = named(vec![waypoint("shop")], namespace, &["other".to_owned()]);
        let missing = missing.expect_err("none").to_string();
        assert!(
            missing.contains(said) && missing.contains("lateen waypoint list"),
            "{missing}"
        );
    }
    let found = named(
        vec![waypoint("shop"), waypoint("bank")],
        None,
        &["waypoint".to_owned()],
    );
    assert_eq!(found.expect("both").len(), 2);
}
