use serde_json::json;

use super::*;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": name},
        "annotations": {"ambient.istio.io/redirection": "enabled"}}})
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

fn said(specs: &[Value]) -> Vec<(String, String)> {
    let names = ["a", "b", "c"].iter();
    let policies: Vec<Value> = names.zip(specs).map(|(name, spec)| policy(name, spec)).collect();
    let said = judge(&policies, &[pod("cart"), pod("web")]);
    said.into_iter().map(|(_, object, text)| (object, text)).collect()
}

fn objects(specs: &[Value]) -> Vec<String> {
    said(specs).into_iter().map(|(object, _)| object).collect()
}

#[test]
fn what_any_policy_of_a_pod_lets_in_passes() {
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let app = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 8080}]}]});
    let tunnels = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 15008}]}]});
    assert_eq!(objects(&[deny.clone(), tunnels]), Vec::<String>::new());
    let found = said(&[deny.clone(), app.clone()]);
    assert_eq!(found.len(), 1, "one message for the same policies: {found:?}");
    assert_eq!(found[0].0, "NetworkPolicy shop/a");
    assert!(
        found[0].1.contains("together with shop/b")
            && found[0].1.contains("2 pods of the mesh, such as cart"),
        "{found:?}"
    );
    // It is let in at one of the pods alone.
    let at_web =
        json!({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"ports": [{"port": 15008}]}]});
    let found = said(&[deny.clone(), app, at_web]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].1.contains("pod cart of the mesh"), "{found:?}");
    // Where nobody is let in anyway, as to pods that only call, it is not the mesh that is kept away.
    assert_eq!(objects(&[deny]), Vec::<String>::new());
}

#[test]
fn who_may_go_out_to_pods_has_to_reach_the_tunnels() {
    let out = |rules: Value| json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": rules});
    let to_pods = json!([{"namespaceSelector": {}}]);
    for rules in [
        json!([{"ports": [{"port": 8080}]}]),
        json!([{"to": to_pods, "ports": [{"port": 8080}]}]),
        json!([{"to": to_pods, "ports": [{"port": "http"}]}]),
        json!([{"ports": [{"port": 53, "protocol": "UDP"}]}, {"to": [{"podSelector": {}}], "ports": [{"port": 80}]}]),
    ] {
        let found = said(&[out(rules.clone())]);
        assert_eq!(found.len(), 1, "{rules}");
        assert!(
            found[0].1.contains("add an egress rule for TCP 15008"),
            "{found:?}"
        );
    }
    for rules in [
        json!([]),
        json!([{}]),
        json!([{"to": to_pods}]),
        json!([{"ports": [{"port": 8080}, {"port": 15008}]}]),
        json!([{"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53}]}]),
        json!([{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}]),
        json!([{"ports": [{"port": 8080}]}, {"ports": [{"port": 15000, "endPort": 15010}]}]),
    ] {
        assert_eq!(objects(&[out(rules.clone())]), Vec::<String>::new(), "{rules}");
    }
    // Another policy of the pod lets them out.
    let app = out(json!([{"ports": [{"port": 8080}]}]));
    let tunnels =
        json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 15008}]}]});
    assert_eq!(objects(&[app.clone(), tunnels]), Vec::<String>::new());
    // Without types a list of what goes out makes it one for that, beside what comes in.
    let both = json!({"podSelector": {}, "ingress": [{}], "egress": [{"ports": [{"port": 8080}]}]});
    assert_eq!(objects(&[both]), ["NetworkPolicy shop/a"]);
}
