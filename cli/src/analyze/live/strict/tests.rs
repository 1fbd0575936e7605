use serde_json::json;

use super::*;
use crate::files::Source;
use crate::validate::validate;

fn pod(namespace: &str, name: &str, captured: bool) -> Value {
    let annotations = match captured {
        true => json!({"ambient.istio.io/redirection": "enabled"}),
        false => json!({}),
    };
    json!({"metadata": {"name": name, "namespace": namespace, "labels": {"app": "cart"}, "annotations": annotations},
        "status": {"phase": "Running"}})
}

fn peer(namespace: &str, spec: &str) -> Validated {
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    );
    validate(&[Source {
        name: String::new(),
        text,
    }])
}

fn said(pods: Vec<Value>, metrics: &str, objects: &Validated) -> Vec<(Code, String, String)> {
    let seen = Seen {
        system: "istio-system".into(),
        pods,
        metrics: BTreeMap::from([("n1".to_owned(), metrics.to_owned())]),
        ..Seen::default()
    };
    judge(&seen, objects, &MeshConfig::default())
}

#[test]
fn what_is_strict_for_the_whole_mesh_is_told_of_each_namespace_that_is_left_out() {
    let pods = || {
        vec![
            pod("shop", "in", true),
            pod("shop", "out-1", false),
            pod("shop", "out-2", false),
            pod("kube-system", "dns", false),
            pod("istio-system", "istiod", false),
        ]
    };
    let found = said(pods(), "", &peer("istio-system", "mtls: {mode: STRICT}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0, found[0].1.as_str()),
        (Code::StrictOutsideMesh, "Namespace shop")
    );
    assert!(
        found[0].2.contains("istio-system/p")
            && found[0].2.contains("2 pods")
            && found[0].2.contains("out-1"),
        "{found:?}"
    );
    let found = said(pods(), "", &peer("shop", "mtls: {mode: STRICT}"));
    let objects: Vec<&str> = found.iter().map(|(_, object, _)| object.as_str()).collect();
    assert_eq!(objects, ["Pod shop/out-1", "Pod shop/out-2"]);
    let of_pods = "selector: {matchLabels: {app: cart}}, mtls: {mode: STRICT}";
    assert_eq!(said(pods(), "", &peer("shop", of_pods)).len(), 2);
    assert_eq!(
        said(pods(), "", &peer("istio-system", "mtls: {mode: PERMISSIVE}")),
        []
    );
}

fn failed(workload: &str, source: &str, security: &str, flag: &str, count: u32) -> String {
    format!(
        "{FAILED}{{reporter=\"destination\",source_workload=\"{source}\",source_workload_namespace=\"old\",\
         destination_workload=\"{workload}\",destination_workload_namespace=\"shop\",response_flags=\"{flag}\",\
         connection_security_policy=\"{security}\"}} {count}\n"
    )
}

#[test]
fn plaintext_that_strict_refuses_names_who_came() {
    let pods = || vec![pod("shop", "cart-7f-x", true)];
    let strict = peer("istio-system", "mtls: {mode: STRICT}");
    let page = failed("cart", "web", "unknown", "DENY", 2) + &failed("cart", "unknown", "unknown", "DENY", 3);
    let found = said(pods(), &page, &strict);
    assert_eq!(found.len(), 1, "{found:?}");
    let (code, object, text) = &found[0];
    assert_eq!(
        (*code, object.as_str()),
        (Code::StrictRefusesPlaintext, "Workload shop/cart")
    );
    for part in [
        "5 of them",
        "old/web",
        "does not know",
        "PeerAuthentication istio-system/p",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // At one port alone.
    let port = "selector: {matchLabels: {app: cart}}, portLevelMtls: {9000: {mode: STRICT}}";
    assert_eq!(said(pods(), &page, &peer("shop", port)).len(), 1);
    for (what, page, objects) in [
        ("a policy of its author's", page.clone(), Validated::default()),
        (
            "mutual TLS",
            failed("cart", "web", "mutual_tls", "DENY", 1),
            strict.clone(),
        ),
        (
            "nobody listens",
            failed("cart", "web", "unknown", "CONNECT", 1),
            strict.clone(),
        ),
        (
            "none yet",
            failed("cart", "web", "unknown", "DENY", 0),
            strict.clone(),
        ),
        (
            "another workload",
            failed("car", "web", "unknown", "DENY", 1),
            strict.clone(),
        ),
    ] {
        assert_eq!(said(pods(), &page, &objects), [], "{what}");
    }
}
