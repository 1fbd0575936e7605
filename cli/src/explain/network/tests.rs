use serde_json::json;

use super::*;

fn pod(name: &str, labels: &Value) -> (ObjectName, Value) {
    let (namespace, own) = name.split_once('/').expect("a name");
    let ports = json!([{"ports": [{"name": "web", "containerPort": 8080}, {"name": "hbone", "containerPort": 15008}]}]);
    let object = json!({"metadata": {"namespace": namespace, "name": own, "labels": labels}, "spec": {"containers": ports}});
    (ObjectName::new(namespace, own), object)
}

/// A client in `desk`, a server in `shop`, and what the server's namespace has of policies, and the client's.
fn network(shop: &[Value], desk: &[Value]) -> Network {
    let policies = |namespace: &'static str, specs: &[Value]| {
        let names = ["a", "b", "c"].into_iter().zip(specs.to_vec());
        let policies = names.map(
            move |(name, spec)| json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec}),
        );
        policies.collect::<Vec<_>>()
    };
    Network {
        policies: [policies("shop", shop), policies("desk", desk)].concat(),
        pods: BTreeMap::from([
            pod("desk/client", &json!({"app": "client"})),
            pod("shop/cart", &json!({"app": "cart"})),
        ]),
        namespaces: BTreeMap::from([
            ("desk".to_owned(), json!({"team": "sales"})),
            ("shop".to_owned(), json!({"team": "shop"})),
        ]),
    }
}

fn end(name: &str, address: &str) -> End {
    End {
        address: address.parse().ok(),
        pod: name
            .split_once('/')
            .map(|(namespace, name)| ObjectName::new(namespace, name)),
    }
}

fn tunnel() -> Flow {
    Flow {
        from: end("desk/client", "10.1.0.2"),
        to: end("shop/cart", "10.1.1.3"),
        port: 15008,
    }
}

fn judged(shop: &[Value], desk: &[Value]) -> Vec<String> {
    network(shop, desk).judge(&[tunnel()])
}

/// Whether a policy with this one ingress rule lets the tunnel in.
fn lets_in(rule: &Value) -> bool {
    judged(&[json!({"podSelector": {}, "ingress": [rule]})], &[]).is_empty()
}

#[test]
fn what_no_policy_selects_passes_and_policies_add_up() {
    assert_eq!(judged(&[], &[]), Vec::<String>::new());
    let of_another = json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]});
    assert_eq!(judged(&[of_another], &[]), Vec::<String>::new());
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let application = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 8080}]}]});
    assert_eq!(
        judged(&[deny.clone(), application.clone()], &[]),
        ["NetworkPolicy a, b of shop: nothing from desk/client comes into shop/cart at TCP 15008"]
    );
    let tunnels = json!({"podSelector": {}, "ingress": [{"ports": [{"port": 15008}]}]});
    assert_eq!(judged(&[deny, application, tunnels], &[]), Vec::<String>::new());
}

#[test]
fn both_directions_count_each_at_its_own_end() {
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    assert_eq!(
        judged(std::slice::from_ref(&deny), std::slice::from_ref(&deny)),
        [
            "NetworkPolicy a of desk: nothing goes out of desk/client to shop/cart at TCP 15008",
            "NetworkPolicy a of shop: nothing from desk/client comes into shop/cart at TCP 15008",
        ]
    );
    let in_only = json!({"podSelector": {}});
    assert_eq!(judged(&[], &[in_only]), Vec::<String>::new());
    let to_shop = json!([{"to": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]}]);
    let out = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": to_shop});
    assert_eq!(judged(&[], &[deny, out]), Vec::<String>::new());
}

#[test]
fn a_rule_is_for_the_peers_and_the_ports_that_it_names() {
    let sales = json!({"namespaceSelector": {"matchLabels": {"team": "sales"}}});
    for (rule, lets) in [
        (json!({}), true),
        (json!({"from": []}), true),
        (json!({"from": [sales]}), true),
        // Without a namespace's selector it is a pod of the policy's own.
        (json!({"from": [{"podSelector": {}}]}), false),
        (
            json!({"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}]}),
            true,
        ),
        (
            json!({"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}]}),
            false,
        ),
        (json!({"from": [{"ipBlock": {"cidr": "10.1.0.0/24"}}]}), true),
        (
            json!({"from": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.0.0/30"]}}]}),
            false,
        ),
        (json!({"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}), false),
        (json!({"from": [{"ipBlock": {"cidr": "nonsense"}}]}), false),
        (json!({"ports": [{"port": 15000, "endPort": 15010}]}), true),
        (json!({"ports": [{"port": 15008, "protocol": "UDP"}]}), false),
        (json!({"ports": [{"port": "hbone"}]}), true),
        (json!({"ports": [{"port": "web"}]}), false),
        (json!({"ports": [{"protocol": "TCP"}]}), true),
        (json!({"from": [sales], "ports": [{"port": 8080}]}), false),
    ] {
        assert_eq!(lets_in(&rule), lets, "{rule}");
    }
}

#[test]
fn nobody_judges_about_pods_of_a_nodes_network_or_about_what_is_not_known() {
    let deny = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
    let mut known = network(std::slice::from_ref(&deny), &[]);
    let cart = known.pods.get_mut(&ObjectName::new("shop", "cart")).expect("it");
    cart["spec"]["hostNetwork"] = true.into();
    assert_eq!(known.judge(&[tunnel()]), Vec::<String>::new());
    let elsewhere = Flow {
        to: end("", "192.0.2.1"),
        ..tunnel()
    };
    assert_eq!(
        network(&[deny], &[]).judge(std::slice::from_ref(&elsewhere)),
        Vec::<String>::new()
    );
    let nothing_out = json!({"podSelector": {}, "policyTypes": ["Egress"]});
    assert_eq!(
        network(&[], &[nothing_out]).judge(&[elsewhere]),
        ["NetworkPolicy a of desk: nothing goes out of desk/client to 192.0.2.1 at TCP 15008"]
    );
}
