use serde_json::json;

use super::*;
use crate::files::Source;
use crate::validate::validate;

fn found(target: &str, listeners: &[&str]) -> Vec<Said> {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: shop}}\n\
         spec: {{clusterIP: 10.0.0.1, selector: {{app: cart}}, ports: [{{name: http, port: 80, targetPort: {target}}}]}}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {{name: cart-1, namespace: shop, labels: {{app: cart}}}}\n\
         spec: {{nodeName: n, containers: [{{name: c, ports: [{{name: web, containerPort: 8080}}]}}]}}\n"
    );
    let objects = validate(&[Source {
        name: String::new(),
        text,
    }]);
    assert_eq!(objects.faults, []);
    judge(
        &[json!({"name": "cart-1", "namespace": "shop", "listeners": listeners})],
        &objects,
    )
}

#[test]
fn a_port_on_the_loopback_address_only_is_told_of_the_service() {
    for target in ["8080", "web"] {
        let found = found(target, &["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:9090"]);
        assert_eq!(found.len(), 1);
        let (code, object, text) = &found[0];
        assert_eq!(
            (*code, object.as_str()),
            (Code::LocalhostListener, "Service shop/cart")
        );
        assert!(
            text.contains("spec.ports[0].targetPort") && text.contains("cart-1") && text.contains("0.0.0.0"),
            "{text}"
        );
    }
}

#[test]
fn ports_that_are_open_or_that_nobody_has_opened_yet_are_fine() {
    for listeners in [
        &["127.0.0.1:8080", "0.0.0.0:8080"][..],
        &["[::]:8080"],
        &["10.1.2.3:8080"],
        &["127.0.0.1:9090"],
        &[],
    ] {
        assert_eq!(found("8080", listeners), [], "{listeners:?}");
    }
}
