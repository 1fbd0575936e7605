use serde_json::{Value as Json, json};

use super::*;
use crate::security::{JwtHeader, RequestAuthentication};

fn raw(spec: &Json) -> RawObject {
    let object = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
    serde_json::from_value(object).expect("any JSON will do")
}

fn left(spec: &Json) -> Option<(RequestAuthentication, Vec<String>)> {
    assert!(raw(spec).understand(KIND).is_err(), "{spec} is to be broken");
    let left = raw(spec).strictest(KIND)?;
    let parts = left.parts.iter().map(ToString::to_string).collect();
    match left.object.value {
        Object::RequestAuthentication(policy) => Some((policy, parts)),
        other => panic!("{other:?}"),
    }
}

fn targets() -> Json {
    json!([{"group": "", "kind": "Service", "name": "web"}])
}

fn good() -> Json {
    json!({"issuer": "good", "jwksUri": "https://keys.example.com/k"})
}

#[test]
fn a_rule_that_is_not_understood_keeps_issuer_places_and_headers_and_accepts_no_token() {
    let broken = json!({
        "issuer": "me", "jwksUrl": "https://keys.example.com/k", "audiences": ["a"],
        "fromHeaders": [{"nmae": "x-lost"}, {"name": "x-token", "prefix": "JWT "}],
        "fromParams": ["t", 1], "fromCookies": ["c"], "forwardOriginalToken": true,
        "outputPayloadToHeader": "x-payload",
        "outputClaimToHeaders": [{"header": "x-sub", "claim": "sub"}, {"header": "x-lost"}],
    });
    let (policy, parts) =
        left(&json!({"targetRefs": targets(), "jwtRules": [good(), broken]})).expect("a policy");
    assert_eq!(policy.spec.target_refs.len(), 1);
    let [kept, unreadable] = policy.spec.jwt_rules.as_slice() else {
        panic!("{policy:?}")
    };
    assert_eq!(
        kept.keys,
        JwtKeys::Uri("https://keys.example.com/k".into()),
        "in its place, as it is written"
    );
    assert_eq!(unreadable.keys, JwtKeys::Unreadable);
    assert_eq!(unreadable.issuer, "me");
    let header = JwtHeader {
        name: "x-token".into(),
        prefix: "JWT ".into(),
    };
    assert_eq!(unreadable.from_headers, [header]);
    assert_eq!(unreadable.from_params, ["t"]);
    assert_eq!(unreadable.from_cookies, ["c"]);
    assert_eq!(unreadable.output_payload_to_header.as_deref(), Some("x-payload"));
    assert_eq!(unreadable.output_claim_to_headers.len(), 1);
    assert_eq!(
        parts,
        ["spec.jwtRules[1] cannot be read, so no token of its issuer is accepted by that rule"]
    );
}

#[test]
fn whose_tokens_are_meant_may_be_unknown_too() {
    for rules in [
        json!([{"isuer": "me", "jwksUri": "https://keys.example.com/k"}]),
        json!([{"issuer": ["me"]}]),
        json!(["me"]),
    ] {
        let (policy, parts) = left(&json!({"targetRefs": targets(), "jwtRules": rules})).expect("a policy");
        let [rule] = policy.spec.jwt_rules.as_slice() else {
            panic!("{policy:?}")
        };
        assert_eq!((rule.issuer.as_str(), &rule.keys), ("", &JwtKeys::Unreadable));
        assert_eq!(
            parts,
            ["spec.jwtRules[0] cannot be read, so tokens that no other rule accepts are refused"]
        );
    }
    let (policy, parts) = left(&json!({"targetRefs": targets(), "jwtRules": "all"})).expect("a policy");
    assert_eq!(policy.spec.jwt_rules.len(), 1);
    assert!(parts[0].starts_with("spec.jwtRules cannot be read"), "{parts:?}");
}

#[test]
fn a_field_beside_known_targets_may_be_rules_under_another_name() {
    let (policy, parts) =
        left(&json!({"targetRefs": targets(), "jwtRule": [good()], "jwtRules": [good()]})).expect("a policy");
    let keys: Vec<_> = policy.spec.jwt_rules.iter().map(|rule| &rule.keys).collect();
    assert!(
        matches!(keys[..], [JwtKeys::Uri(_), JwtKeys::Unreadable]),
        "{keys:?}"
    );
    assert_eq!(
        parts,
        ["spec.jwtRule cannot be read, so tokens that no other rule accepts are refused"]
    );
    let selector = json!({"matchLabels": {"app": "web"}});
    assert!(left(&json!({"selector": selector, "jwtRulez": []})).is_some());
}

#[test]
fn a_policy_whose_target_is_not_understood_is_nothing() {
    for spec in [
        json!({"targetRefz": targets(), "jwtRules": [good()]}),
        json!({"targetRefs": [{"kind": "Lamp", "name": "web"}], "jwtRules": [good()]}),
        json!({"selector": "web", "jwtRules": [good()]}),
        json!({"selector": {"matchLabels": {"a": "b"}}, "targetRefs": targets(), "jwtRules": [{}]}),
        json!("jwt"),
    ] {
        assert_eq!(left(&spec), None, "{spec}");
    }
}
