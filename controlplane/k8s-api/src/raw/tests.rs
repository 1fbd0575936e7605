use crate::parse;

use super::*;

fn read(json: &str) -> RawObject {
    serde_json::from_str(json).expect("JSON")
}

#[test]
fn an_item_of_a_list_is_understood_by_the_kind_of_the_list() {
    let item = r#"{"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "12"}, "spec": {"nodeName": "a"},
                   "status": {"podIP": "10.0.0.1"}}"#;
    let raw = read(item);
    assert_eq!(raw.metadata("resourceVersion"), Some("12"));
    let object = raw.understand(Kind::Pod).expect("a pod").value;
    assert_eq!(object.reference().to_string(), "Pod shop/web");
}

#[test]
fn json_says_what_the_same_yaml_says() {
    for (kind, yaml) in [
        (
            Kind::AuthorizationPolicy,
            r#"{"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "a", "namespace": "b"},
                "spec": {"action": "DENY", "rules": [{"from": [{"source": {"principals": ["c"]}}]}]}}"#,
        ),
        (
            Kind::HttpRoute,
            r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "a", "namespace": "b"},
                "spec": {"parentRefs": [{"group": "", "kind": "Service", "name": "s"}],
                         "rules": [{"backendRefs": [{"name": "s", "port": 80, "weight": 3}]}]}}"#,
        ),
    ] {
        let from_yaml = parse(yaml).remove(0).expect("valid").value;
        assert_eq!(read(yaml).understand(kind).expect("valid").value, from_yaml);
    }
}

#[test]
fn what_is_wrong_names_object_and_field() {
    let broken = r#"{"metadata": {"name": "a", "namespace": "b"}, "spec": {"rulez": []}}"#;
    let errors = read(broken)
        .understand(Kind::AuthorizationPolicy)
        .expect_err("misspelt");
    let said: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        ["1:1: AuthorizationPolicy b/a: spec.rulez: there is no such field; did you mean \"rules\"?"]
    );
}

#[test]
fn what_is_no_object_is_refused_and_does_not_end_the_watch() {
    for odd in ["null", "[]", "7", r#"{"metadata": 3}"#] {
        read(odd).understand(Kind::Pod).expect_err(odd);
    }
}
