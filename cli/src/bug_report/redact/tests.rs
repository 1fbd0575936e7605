use serde_json::json;

use super::*;

const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

#[test]
fn keys_tokens_and_passwords_go_out_of_every_text() {
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----";
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    for (given, expected) in [
        (format!("a {JWT} b"), "a (left out) b".to_owned()),
        (
            "authorization: Bearer abcdefgh12345".to_owned(),
            "authorization: Bearer (left out)".to_owned(),
        ),
        (
            "basic dXNlcjpwYXNzd29yZA==, x".to_owned(),
            "basic (left out), x".to_owned(),
        ),
        (
            "redis://me:hunter2@db:6379/0".to_owned(),
            "redis://(left out)@db:6379/0".to_owned(),
        ),
        (format!("x{key}y{key}z"), "x(left out)y(left out)z".to_owned()),
        (
            format!("{certificate} {key}"),
            format!("{certificate} (left out)"),
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMHcC".to_owned(),
            "(left out)".to_owned(),
        ),
        (format!("{JWT}{JWT}"), "(left out)".to_owned()),
    ] {
        assert_eq!(text(&given), expected, "{given}");
    }
}

#[test]
fn prose_addresses_and_certificates_stay() {
    for given in [
        "a Basic fault; bearer of news",
        "https://istiod.istio-system.svc:15012/debug",
        "eyJ alone",
        "spiffe://cluster.local/ns/a/sa/b",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "päßwort: ünïcode — fine",
    ] {
        assert_eq!(text(given), given);
    }
}

#[test]
fn applications_keep_to_themselves_how_they_are_started() {
    let pod = || {
        json!({"metadata": {"name": "web", "namespace": "shop", "managedFields": [1],
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{env}", "a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "args": ["--password=x"], "env": [{"name": "A", "value": "x"}]}]}})
    };
    let mut theirs = pod();
    assert!(object(&mut theirs, "istio-system"));
    assert_eq!(
        theirs,
        json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i", "args": OUT, "env": OUT}]}})
    );
    let mut ours = pod();
    assert!(object(&mut ours, "shop"));
    assert_eq!(ours["spec"]["containers"][0]["env"][0]["value"], "x");
    let mut deployment = json!({"metadata": {"namespace": "shop"}, "spec": {"template": {"spec": {"initContainers": [{"args": ["x"]}]}}}});
    assert!(object(&mut deployment, "istio-system"));
    assert_eq!(
        deployment["spec"]["template"]["spec"]["initContainers"][0]["args"],
        OUT
    );
}

#[test]
fn config_maps_are_kept_only_where_they_are_the_meshs() {
    let mut theirs = json!({"metadata": {"name": "app", "namespace": "shop"}, "data": {"a": "b"}});
    assert!(!object(&mut theirs, "istio-system"));
    let mut same_name = json!({"metadata": {"name": "istio", "namespace": "shop"}, "data": {"a": "b"}});
    assert!(!object(&mut same_name, "istio-system"));
    let mut ours = json!({"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": "b"}});
    assert!(object(&mut ours, "istio-system"));
}

#[test]
fn headers_and_fields_that_promise_a_secret_are_left_out_and_names_of_secrets_are_not() {
    let mut route = json!({"spec": {"rules": [{"filters": [{"requestHeaderModifier": {"set": [
        {"name": "Authorization", "value": "hunter2"}, {"name": "X-Team", "value": "a"}]}}]}],
        "apiKey": "hunter2", "credentialName": "tls", "secretRef": "db", "password": "hunter2"}});
    assert!(object(&mut route, "istio-system"));
    assert!(!route.to_string().contains("hunter2"), "{route}");
    for kept in ["X-Team", "\"a\"", "\"tls\"", "\"db\""] {
        assert!(route.to_string().contains(kept), "{kept}: {route}");
    }
}
