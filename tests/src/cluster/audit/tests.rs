use serde_json::json;

use super::*;

fn event(user: &str, decision: &str) -> Value {
    json!({
        "user": {"username": user},
        "verb": "patch",
        "requestURI": "/api/v1/namespaces/shop/pods/web/status",
        "objectRef": {"resource": "pods", "subresource": "status", "namespace": "shop", "name": "web", "apiVersion": "v1"},
        "responseStatus": {"code": 201},
        "annotations": {"authorization.k8s.io/decision": decision},
    })
}

#[test]
fn a_request_says_who_what_and_whether_it_may() {
    let asked = Asked::of(
        &event("system:serviceaccount:istio-system:istio-cni", "forbid"),
        false,
    );
    let asked = asked.expect("an account's");
    assert_eq!(asked.account, "istio-system/istio-cni");
    assert!(!asked.granted && asked.made);
    let What::Resource {
        group,
        resource,
        namespace,
        name,
    } = asked.what
    else {
        panic!("a resource")
    };
    assert_eq!((group.as_str(), resource.as_str()), ("", "pods/status"));
    assert_eq!(
        (namespace.as_deref(), name.as_deref()),
        (Some("shop"), Some("web"))
    );
    assert_eq!(Asked::of(&event("system:node:node1", "allow"), false), None);
}

#[test]
fn what_an_api_server_said_while_it_started_is_marked() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("logs")).expect("a directory");
    let mut log = AuditLog::create(dir.path()).expect("a log");
    let path = dir.path().join("logs/audit.log");
    let line = |decision| format!("{}\n", event("system:serviceaccount:a:b", decision));
    let since = log.len();
    fs::write(&path, line("forbid")).expect("a line");
    log.started(since);
    let half = &line("allow")[..20];
    fs::write(&path, format!("{}{}{half}", line("forbid"), line("allow"))).expect("lines");
    let said: Vec<_> = log
        .asked()
        .expect("an audit")
        .iter()
        .map(|asked| (asked.granted, asked.starting))
        .collect();
    assert_eq!(said, [(false, true), (true, false)]);
}
