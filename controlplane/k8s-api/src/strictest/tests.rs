use serde_json::{Value as Json, json};

use super::*;
use crate::security::{Action, AuthorizationPolicy, MutualTlsMode, Rule};

fn raw(spec: &Json) -> RawObject {
    let object = json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec});
    serde_json::from_value(object).expect("any JSON will do")
}

fn policy(spec: &Json) -> Option<AuthorizationPolicy> {
    assert!(
        raw(spec).understand(Kind::AuthorizationPolicy).is_err(),
        "{spec} is to be broken"
    );
    match raw(spec).strictest(Kind::AuthorizationPolicy)?.object.value {
        Object::AuthorizationPolicy(policy) => Some(policy),
        other => panic!("{other:?}"),
    }
}

fn good() -> Json {
    json!({"to": [{"operation": {"methods": ["GET"]}}]})
}

fn broken() -> Json {
    json!({"to": [{"operation": {"method": ["GET"]}}]})
}

fn unreadable() -> Rule {
    Rule {
        unreadable: true,
        ..Rule::default()
    }
}

#[test]
fn a_rule_of_an_allow_that_is_not_understood_allows_nothing() {
    let left = policy(&json!({"action": "ALLOW", "rules": [broken(), good()]})).expect("a policy");
    let rules = left.spec.rules;
    assert_eq!(rules[0], unreadable());
    assert!(!rules[1].unreadable && !rules[1].to.is_empty());
    let left = policy(&json!({"rules": [broken()]})).expect("a policy");
    assert_eq!(
        (left.spec.action, left.spec.rules),
        (Action::Allow, vec![unreadable()])
    );
}

#[test]
fn a_rule_of_a_deny_that_is_not_understood_denies_everything() {
    let left = policy(&json!({"action": "DENY", "rules": [good(), broken()]})).expect("a policy");
    assert_eq!(left.spec.action, Action::Deny);
    assert_eq!(left.spec.rules.len(), 2);
    assert_eq!(left.spec.rules[1], unreadable());
}

#[test]
fn rules_that_are_no_list_are_a_rule_that_is_not_understood() {
    let left = policy(&json!({"action": "DENY", "rules": "all"})).expect("a policy");
    assert_eq!(left.spec.rules, [unreadable()]);
    let left = policy(&json!({"rules": {"to": []}})).expect("a policy");
    assert_eq!(left.spec.rules, [unreadable()]);
}

#[test]
fn an_action_that_is_not_understood_allows_nothing_to_its_target() {
    let selector = json!({"matchLabels": {"app": "web"}});
    let left =
        policy(&json!({"action": "DENNY", "selector": selector, "rules": [good()]})).expect("a policy");
    assert_eq!((left.spec.action, left.spec.rules.len()), (Action::Allow, 0));
    assert!(left.spec.selector.is_some());
}

#[test]
fn a_policy_whose_target_is_not_understood_is_nothing() {
    assert_eq!(policy(&json!({"selectors": {}, "rules": [good()]})), None);
    assert_eq!(
        policy(&json!({"selector": "web", "action": "DENY", "rules": [good()]})),
        None
    );
    assert_eq!(policy(&json!("deny")), None);
}

#[test]
fn a_mode_that_is_not_understood_is_strict() {
    let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "STRIKT"}, "portLevelMtls": {"8080": 1}});
    let left = raw(&spec)
        .strictest(Kind::PeerAuthentication)
        .expect("a policy")
        .object
        .value;
    let Object::PeerAuthentication(left) = left else {
        panic!("{left:?}")
    };
    assert_eq!(left.spec.mtls.map(|mtls| mtls.mode), Some(MutualTlsMode::Strict));
    assert!(left.spec.selector.is_some() && left.spec.port_level_mtls.is_empty());
}

#[test]
fn other_kinds_have_no_safe_direction() {
    assert!(raw(&json!({"rules": 1})).strictest(Kind::HttpRoute).is_none());
}

#[test]
fn each_part_that_is_not_understood_says_what_it_comes_to() {
    let parts = |spec: Json| {
        let left = raw(&spec).strictest(Kind::AuthorizationPolicy).expect("a policy");
        left.parts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        parts(json!({"rules": [broken(), good(), broken()]})),
        [
            "spec.rules[0] cannot be read, so the policy allows nobody by that rule",
            "spec.rules[2] cannot be read, so the policy allows nobody by that rule",
        ]
    );
    assert_eq!(
        parts(json!({"action": "DENY", "rules": [good(), broken()]})),
        ["spec.rules[1] cannot be read, so the policy denies everybody by that rule"]
    );
    assert_eq!(
        parts(json!({"action": "CUSTOM", "provider": {"name": "asked"}, "rules": [broken()]})),
        ["spec.rules[0] cannot be read, so its provider is asked about everybody by that rule"]
    );
    assert_eq!(
        parts(json!({"action": "AUDIT", "rules": [broken()]})),
        ["spec.rules[0] cannot be read, so everybody is audited by that rule"]
    );
    assert_eq!(
        parts(json!({"action": "DENY", "rules": "all"})),
        ["spec.rules cannot be read, so the policy denies everybody by that rule"]
    );
    assert_eq!(
        parts(json!({"action": "DENNY", "rules": [good()]})),
        ["spec.action cannot be read, so the policy allows nobody"]
    );
    for (field, spec) in [
        ("spec.mtls", json!({"mtls": {"mode": "STRIKT"}})),
        (
            "spec.portLevelMtls",
            json!({"selector": {"matchLabels": {"app": "web"}}, "mtls": {"mode": "STRICT"}, "portLevelMtls": {"80": 1}}),
        ),
    ] {
        let left = raw(&spec).strictest(Kind::PeerAuthentication).expect("a policy");
        assert_eq!(
            left.parts[0].to_string(),
            format!("{field} cannot be read, so mutual TLS is required, on every port")
        );
    }
}
