use serde_json::json;

use super::*;

pub(in crate::analyze) fn pod(name: &str, captured: bool) -> Value {
    let annotations = if captured {
        json!({"ambient.istio.io/redirection": "enabled"})
    } else {
        json!({})
    };
    json!({"metadata": {"name": name, "namespace": "shop", "labels": {"app": name}, "annotations": annotations},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}})
}

/// A cluster in which all is well: both pods are in the mesh and served.
pub(in crate::analyze) fn seen() -> Seen {
    let state = |name: &str| json!({"state": "Up", "info": {"name": name, "namespace": "shop"}});
    let certificate = json!({"identity": "spiffe://cluster.local/ns/shop/sa/cart", "certChain": [
        {"validFrom": "1970-01-01T00:00:00Z", "expirationTime": "1970-01-02T00:00:00Z"}]});
    Seen {
        facts: Facts {
            kubernetes: "v1.34.0".into(),
            ..Facts::default()
        },
        system: "istio-system".into(),
        pods: vec![pod("cart", true), pod("web", true)],
        dumps: BTreeMap::from([(
            "n1".to_owned(),
            json!({"workloadState": {"1": state("cart"), "2": state("web")}, "certificates": [certificate]}),
        )]),
        now: Duration::from_secs(12 * 3600),
        ..Seen::default()
    }
}

fn judged(seen: &Seen) -> Vec<Said> {
    judge(seen, &Validated::default(), &MeshConfig::default())
}

fn of(seen: &Seen, code: Code) -> Vec<String> {
    let said = judged(seen).into_iter();
    said.filter(|(found, ..)| *found == code)
        .map(|(_, object, _)| object)
        .collect()
}

fn blocked(spec: Value) -> Vec<String> {
    let policy = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
    let seen = Seen {
        network_policies: vec![policy],
        ..seen()
    };
    of(&seen, Code::NetworkPolicyBlocksTunnels)
}

#[test]
fn a_mesh_that_is_well_gives_nothing_but_the_missing_gateway_api() {
    let said = judged(&seen());
    let codes: Vec<Code> = said.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, [Code::UnsupportedGatewayApiVersion], "{said:?}");
}

#[test]
fn a_network_policy_has_to_let_the_tunnels_in() {
    let only = |ports: Value| json!({"podSelector": {}, "ingress": [{"ports": ports}]});
    let web = json!([{"podSelector": {"matchLabels": {"app": "web"}}}]);
    let app = json!([{"from": web, "ports": [{"port": 8080}]}]);
    for spec in [
        only(json!([{"port": 8080}])),
        only(json!([{"port": "http"}])),
        only(json!([{"port": 15008, "protocol": "UDP"}, {"port": 80}])),
        json!({"podSelector": {"matchLabels": {"app": "cart"}}, "policyTypes": ["Ingress"], "ingress": app}),
        json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, "ingress": app}),
    ] {
        assert_eq!(blocked(spec.clone()), ["NetworkPolicy shop/p"], "{spec}");
    }
    for spec in [
        only(json!([{"port": 8080}, {"port": 15008}])),
        only(json!([{"port": 15000, "endPort": 15010}])),
        only(json!([{"protocol": "TCP"}])),
        json!({"podSelector": {}, "ingress": [{}]}),
        // Nobody at all, or nobody of the cluster, is to come in: not the mesh's fault.
        json!({"podSelector": {}}),
        only(json!([{"port": 15008, "protocol": "UDP"}])),
        json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}]}),
        json!({"podSelector": {}, "policyTypes": ["Egress"]}),
        json!({"podSelector": {"matchLabels": {"app": "other"}}}),
        json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}),
    ] {
        assert_eq!(blocked(spec.clone()), Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn a_pod_that_is_marked_and_not_served_is_named_unless_its_node_did_not_answer() {
    let mut seen = seen();
    seen.pods.push(pod("lost", true));
    assert_eq!(of(&seen, Code::PodNotServed), ["Pod shop/lost"]);
    seen.pods[2]["spec"]["nodeName"] = "n2".into();
    assert_eq!(of(&seen, Code::PodNotServed), Vec::<String>::new());
}

#[test]
fn a_certificate_with_a_quarter_of_its_life_left_should_have_been_renewed() {
    for (hours, expected) in [(12, 0), (17, 0), (19, 1), (30, 1)] {
        let seen = Seen {
            now: Duration::from_secs(hours * 3600),
            ..seen()
        };
        assert_eq!(of(&seen, Code::CertificateNearExpiry).len(), expected, "{hours}");
    }
}

#[test]
fn missing_rights_are_told_before_an_installation_and_not_after() {
    let mut seen = seen();
    let right = crate::precheck::Right {
        group: "apps".into(),
        resource: "deployments".into(),
        verb: "create",
        everywhere: false,
    };
    assert_eq!(of(&seen, Code::InsufficientPermissions), Vec::<String>::new());
    seen.facts.denied = vec![right];
    let said = judged(&seen);
    let text = said
        .iter()
        .find(|(code, ..)| *code == Code::InsufficientPermissions);
    let text = &text.expect("a message").2;
    assert!(
        text.contains("deployments.apps in namespace istio-system") && text.contains("cluster-admin"),
        "{text}"
    );
    seen.facts.parts = vec![crate::precheck::Part {
        kind: "Deployment",
        metadata: crate::precheck::Meta {
            namespace: "istio-system".into(),
            ..crate::precheck::Meta::default()
        },
    }];
    assert_eq!(of(&seen, Code::InsufficientPermissions), Vec::<String>::new());
}
