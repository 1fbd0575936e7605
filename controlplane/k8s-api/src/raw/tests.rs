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

#[test]
fn of_an_object_that_is_not_understood_it_is_told_what_it_is_attached_to() {
    let route = read(
        r#"{"metadata": {"name": "a", "namespace": "shop", "generation": 7},
            "spec": {"rules": "none", "parentRefs": [
                {"group": "", "kind": "Service", "name": "cart", "port": 80},
                {"name": "edge", "sectionName": "web", "namespace": "edge"},
                {"kind": "Service"}, "cart", {"name": "far", "port": 70000}]}}"#,
    );
    assert_eq!(route.generation(), Some(7));
    let named: Vec<_> = route
        .attached_to()
        .into_iter()
        .map(|parent| (parent.kind.to_string(), parent.name.to_string(), parent.port))
        .collect();
    assert_eq!(
        named,
        [
            ("Service".to_owned(), "cart".to_owned(), Some(80)),
            ("Gateway".to_owned(), "edge".to_owned(), None),
        ]
    );
    let policy = read(
        r#"{"spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "cart", "sectionName": "tls"}]}}"#,
    );
    let target = policy.attached_to().remove(0);
    assert_eq!(
        (&*target.group, target.section_name.as_deref()),
        ("", Some("tls"))
    );
    let gateway = read(r#"{"spec": {"gatewayClassName": "istio-waypoint", "listeners": 1}}"#);
    assert_eq!(gateway.spec_text("gatewayClassName"), Some("istio-waypoint"));
    assert!(gateway.attached_to().is_empty() && gateway.generation().is_none());
}
