use controlplane_k8s_api::{Object, parse};

use super::*;

fn service(spec: &str) -> Service {
    let text = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: cart, namespace: shop}}, spec: {{{spec}}}}}"
    );
    match parse(&text).remove(0).expect("a Service").value {
        Object::Service(service) => service,
        other => panic!("{other:?}"),
    }
}

fn compared(there: &str) -> Vec<Said> {
    let here = service("clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: db, port: 5432}]");
    compare(&[
        ("east".to_owned(), vec![here]),
        ("west".to_owned(), vec![service(there)]),
        ("north".to_owned(), vec![]),
    ])
}

#[test]
fn what_differs_is_told_with_the_clusters() {
    for (there, field) in [
        (
            "clusterIP: None, ports: [{name: http, port: 80}, {name: db, port: 5432}]",
            "spec.clusterIP",
        ),
        (
            "clusterIP: 10.1.0.1, ports: [{name: http, port: 81}, {name: db, port: 5432}]",
            "spec.ports",
        ),
        (
            "clusterIP: 10.1.0.1, type: NodePort, ports: [{name: http, port: 80}, {name: db, port: 5432}]",
            "spec.type",
        ),
    ] {
        let found = compared(there);
        assert_eq!(found.len(), 1, "{there}");
        let (code, object, text) = &found[0];
        assert_eq!(
            (*code, object.as_str()),
            (Code::MultiClusterInconsistentService, "Service shop/cart")
        );
        assert!(
            text.contains(field) && text.contains("in west as in east"),
            "{text}"
        );
    }
}

#[test]
fn addresses_and_the_order_of_ports_may_differ() {
    assert_eq!(
        compared("clusterIP: 10.9.0.1, ports: [{name: db, port: 5432}, {name: http, port: 80}]"),
        []
    );
}
