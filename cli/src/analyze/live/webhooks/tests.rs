use super::*;
use crate::files::Source;
use crate::validate::validate;

fn services() -> Validated {
    validate(&[Source {
        name: String::new(),
        text: "apiVersion: v1\nkind: Service\nmetadata: {name: istiod, namespace: istio-system}\n\
               spec: {clusterIP: 10.0.0.1, ports: [{name: https, port: 443}]}\n"
            .into(),
    }])
}

fn configuration(kind: &str, name: &str, hook: &str, service: &str, selector: Value) -> Value {
    json!({"kind": kind, "metadata": {"name": name}, "webhooks": [{"name": hook, "failurePolicy": "Fail",
        "namespaceSelector": selector,
        "clientConfig": {"service": {"namespace": "istio-system", "name": service}}}]})
}

fn found(configurations: &[Value]) -> Vec<(String, String)> {
    let said = judge(configurations, &services()).into_iter();
    said.map(|(code, object, text)| {
        assert_eq!(code, Code::InvalidWebhook);
        (object, text)
    })
    .collect()
}

#[test]
fn a_webhook_that_asks_nobody_is_told_with_the_way_to_get_rid_of_it() {
    let kind = "ValidatingWebhookConfiguration";
    let left = configuration(
        kind,
        "istio-validator",
        "rev.validation.istio.io",
        "gone",
        Value::Null,
    );
    let said = found(&[left]);
    assert_eq!(said[0].0, "ValidatingWebhookConfiguration istio-validator");
    for part in [
        "webhooks[rev.validation.istio.io].clientConfig.service",
        "istio-system/gone",
        "is refused",
        "kubectl delete validatingwebhookconfiguration istio-validator",
    ] {
        assert!(said[0].1.contains(part), "{said:?}");
    }
    let there = configuration(
        kind,
        "istio-validator",
        "rev.validation.istio.io",
        "istiod",
        Value::Null,
    );
    let others = configuration(kind, "policy", "policy.example.com", "gone", Value::Null);
    let by_url = json!({"kind": kind, "metadata": {"name": "x"}, "webhooks": [
        {"name": "a.istio.io", "clientConfig": {"url": "https://example.com"}}]});
    assert_eq!(found(&[there, others, by_url]), []);
}

#[test]
fn two_that_would_inject_into_one_pod_are_told_of_each_other() {
    let kind = "MutatingWebhookConfiguration";
    let enabled = json!({"matchLabels": {"istio-injection": "enabled"}});
    let one = configuration(
        kind,
        "one",
        "a.sidecar-injector.istio.io",
        "istiod",
        enabled.clone(),
    );
    let two = configuration(kind, "two", "b.sidecar-injector.istio.io", "istiod", enabled);
    let said = found(&[one.clone(), two]);
    let objects: Vec<&str> = said.iter().map(|(object, _)| object.as_str()).collect();
    assert_eq!(
        objects,
        [
            "MutatingWebhookConfiguration one",
            "MutatingWebhookConfiguration two"
        ]
    );
    assert!(said[0].1.contains("MutatingWebhookConfiguration two"), "{said:?}");
    let other = json!({"matchLabels": {"istio.io/rev": "canary"},
        "matchExpressions": [{"key": "istio-injection", "operator": "DoesNotExist"}]});
    let canary = configuration(kind, "canary", "c.sidecar-injector.istio.io", "istiod", other);
    assert_eq!(found(&[one, canary]), []);
}
