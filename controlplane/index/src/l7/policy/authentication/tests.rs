use std::time::Duration;

use controlplane_k8s_api::security::JwtKeys;
use controlplane_k8s_api::{Kind, Object};
use mesh_model::l7::authentication::{JwtRule, KeySet, TokenLocation};
use mesh_model::l7::policy::PolicyKind;

use crate::l7::policy::fixture::{Sent, object};

fn policy(rule: &str) -> String {
    let spec = format!("{{targetRef: {{kind: Service, name: web}}, jwtRules: [{rule}]}}");
    object("security.istio.io/v1", "RequestAuthentication", "shop/p", &spec)
}

fn rules(sent: &Sent) -> &[JwtRule] {
    match sent.kind("RequestAuthentication/shop/p/authentication") {
        PolicyKind::Authentication(authentication) => &authentication.rules,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_of_a_rule() {
    let sent = Sent::of(&policy(
        "{issuer: me, audiences: [a, b], jwksUri: 'https://keys.example.com/k', fromHeaders: [{name: X-Token, prefix: 'Tok '}], fromParams: [t], fromCookies: [c], outputPayloadToHeader: X-Payload, forwardOriginalToken: true, outputClaimToHeaders: [{header: X-Sub, claim: a.b}], timeout: 2s, spaceDelimitedClaims: [roles]}",
    ));
    assert_eq!(
        rules(&sent),
        [JwtRule {
            issuer: "me".into(),
            audiences: vec!["a".into(), "b".into()],
            keys: KeySet::Remote {
                uri: "https://keys.example.com/k".into(),
                timeout: Duration::from_secs(2),
            },
            locations: vec![
                TokenLocation::Header {
                    name: "x-token".into(),
                    prefix: "Tok ".into(),
                },
                TokenLocation::Query("t".into()),
                TokenLocation::Cookie("c".into()),
            ],
            payload_header: Some("x-payload".into()),
            claim_headers: vec![("x-sub".into(), vec!["a".into(), "b".into()])],
            forward: true,
            space_delimited_claims: vec!["roles".into()],
        }]
    );
}

#[test]
fn keys_are_given_or_fetched_or_there_are_none() {
    let sent = Sent::of(&policy("{issuer: me, jwks: '{\"keys\":[{\"kty\":\"oct\"}]}'}"));
    assert_eq!(
        rules(&sent)[0].keys,
        KeySet::Inline("{\"keys\":[{\"kty\":\"oct\"}]}".into())
    );
    let sent = Sent::of(&policy("{issuer: me, jwksUri: 'http://keys.example.com'}"));
    let timeout = Duration::from_secs(5);
    assert_eq!(
        rules(&sent)[0].keys,
        KeySet::Remote {
            uri: "http://keys.example.com".into(),
            timeout
        }
    );
    let sent = Sent::of(&policy("{issuer: 'https://issuer.example.com'}"));
    assert!(matches!(&rules(&sent)[0].keys, KeySet::Unusable(_)));
    let told = sent.conditions(Kind::RequestAuthentication, "shop/p");
    assert!(told[0].starts_with("spec.jwtRules[0].jwksUri: "), "{told:?}");
}

/// No broken part makes a token count that would not.
#[test]
fn what_cannot_be_read_lets_no_token_count() {
    let broken = |breaking: fn(&mut controlplane_k8s_api::security::JwtRule)| {
        let mut sent = Sent::of("");
        sent.set_broken(
            &policy("{issuer: me, audiences: [a], jwks: '{\"keys\":[{\"kty\":\"oct\"}]}', fromHeaders: [{name: x}]}"),
            |object| {
                let Object::RequestAuthentication(policy) = object else {
                    panic!()
                };
                breaking(&mut policy.spec.jwt_rules[0]);
            },
        );
        assert!(!sent.conditions(Kind::RequestAuthentication, "shop/p").is_empty());
        rules(&sent).to_vec()
    };
    let unusable: [fn(&mut controlplane_k8s_api::security::JwtRule); 5] = [
        |rule| rule.issuer = "".into(),
        |rule| rule.audiences = vec!["".into()],
        |rule| rule.from_headers[0].name = "no header".into(),
        |rule| rule.keys = JwtKeys::Uri("ftp://x".into()),
        |rule| rule.keys = JwtKeys::Inline(" ".into()),
    ];
    for breaking in unusable {
        assert!(matches!(broken(breaking)[0].keys, KeySet::Unusable(_)));
    }
    // One of several audiences and places is enough.
    let rules = broken(|rule| rule.audiences.push("".into()));
    assert_eq!(rules[0].audiences, ["a"]);
    assert!(matches!(rules[0].keys, KeySet::Inline(_)));
}

/// As `strictest` leaves it, which says itself what is wrong.
#[test]
fn a_rule_that_cannot_be_read_refuses_the_tokens_that_it_is_about() {
    let unreadable = |breaking: fn(&mut controlplane_k8s_api::security::JwtRule)| {
        let mut sent = Sent::of("");
        sent.set_broken(
            &policy("{issuer: me, jwksUri: 'https://keys.example.com', fromHeaders: [{name: X-Token}], outputPayloadToHeader: X-P}"),
            |object| {
                let Object::RequestAuthentication(policy) = object else {
                    panic!()
                };
                policy.spec.jwt_rules[0].keys = JwtKeys::Unreadable;
                breaking(&mut policy.spec.jwt_rules[0]);
            },
        );
        let told = sent.conditions(Kind::RequestAuthentication, "shop/p");
        assert!(told.is_empty(), "{told:?}");
        rules(&sent)[0].clone()
    };
    let rule = unreadable(|_| {});
    assert_eq!(
        (rule.issuer.as_str(), &rule.payload_header),
        ("me", &Some("x-p".into()))
    );
    let header = TokenLocation::Header {
        name: "x-token".into(),
        prefix: "".into(),
    };
    assert_eq!(rule.locations, std::slice::from_ref(&header));
    assert!(matches!(rule.keys, KeySet::Unusable(_)));
    // Of nobody knows whom: the wire has no empty issuer.
    let rule = unreadable(|rule| rule.issuer = "".into());
    assert_eq!(
        (rule.issuer.as_str(), rule.locations),
        (super::NOBODY, vec![header])
    );
    assert!(matches!(rule.keys, KeySet::Unusable(_)));
}
