use jsonwebtoken::Algorithm;
use mesh_model::l7::authentication::TokenLocation;
use mesh_testkit::Issuer;
use serde_json::json;

use super::*;

fn rule(issuer: &str, keys: &str) -> JwtRule {
    JwtRule {
        issuer: issuer.into(),
        audiences: Vec::new(),
        keys: KeySet::Inline(keys.into()),
        locations: Vec::new(),
        payload_header: None,
        claim_headers: Vec::new(),
        forward: false,
        space_delimited_claims: Vec::new(),
    }
}

fn compiled(rules: Vec<JwtRule>) -> TokenRules {
    TokenRules::compile([&Authentication { rules }])
}

fn found(rules: &TokenRules, headers: &[(&str, String)]) -> Result<usize, Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    let request = Request {
        method: &Method::GET,
        scheme: "http",
        authority: "shop",
        path: "/",
        query: None,
        headers: &map,
        metadata: None,
    };
    rules.find(&request).map(|found| found.len())
}

#[test]
fn every_token_must_be_of_an_issuer_that_is_known_where_it_stands() {
    let one = Issuer::new(Algorithm::ES256);
    let cookie = JwtRule {
        locations: vec![TokenLocation::Cookie("t".into())],
        ..rule("two", &one.keys())
    };
    let rules = compiled(vec![rule("one", &one.keys()), cookie]);
    let token = |issuer: &str| one.token(&json!({ "iss": issuer }));
    let bearer = |issuer: &str| ("authorization", format!("Bearer {}", token(issuer)));
    let jar = |issuer: &str| ("cookie", format!("t={}", token(issuer)));
    assert_eq!(found(&rules, &[]), Ok(0));
    assert_eq!(found(&rules, &[bearer("one")]), Ok(1));
    assert_eq!(found(&rules, &[bearer("one"), jar("two")]), Ok(2));
    for wrong in [bearer("two"), jar("one"), bearer("three")] {
        assert_eq!(found(&rules, &[wrong]), Err(Refusal::UnknownIssuer));
    }
    assert_eq!(
        found(&rules, &[bearer("one"), ("authorization", "Bearer x".to_owned())]),
        Err(Refusal::Format)
    );
    let many: Vec<_> = std::iter::repeat_n(bearer("one"), MOST_TOKENS + 1).collect();
    assert_eq!(found(&rules, &many), Err(Refusal::Several));
}

#[test]
fn without_any_rule_no_token_is_accepted() {
    let rules = compiled(Vec::new());
    let token = Issuer::new(Algorithm::ES256).token(&json!({"iss": "me"}));
    assert!(!rules.is_empty());
    assert_eq!(found(&rules, &[]), Ok(0));
    let bearer = ("authorization", format!("Bearer {token}"));
    assert_eq!(found(&rules, &[bearer]), Err(Refusal::UnknownIssuer));
    assert!(TokenRules::default().is_empty());
}

#[test]
fn what_a_token_says_is_told_and_what_clients_say_of_it_is_not() {
    let issuer = Issuer::new(Algorithm::ES256);
    let path = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Strng>>();
    let rules = compiled(vec![JwtRule {
        payload_header: Some("x-payload".into()),
        claim_headers: vec![
            ("x-sub".into(), path(&["sub"])),
            ("x-age".into(), path(&["person", "age"])),
            ("x-groups".into(), path(&["groups"])),
            ("x-none".into(), path(&["person", "name"])),
            ("x-bad".into(), path(&["bad"])),
        ],
        ..rule("me", &issuer.keys())
    }]);
    let claims = json!({"iss": "me", "sub": "bob", "person": {"age": 7}, "groups": ["a"], "bad": "a\r\nb"});
    let token = Token::parse(&issuer.token(&claims)).unwrap();
    let mut headers = HeaderMap::new();
    for name in ["x-sub", "x-none", "x-payload", "x-mine"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("forged"));
    }
    rules.sanitize(&mut headers);
    assert_eq!(headers.len(), 1);
    rules.rules[0].tell(&token, &mut headers);
    assert_eq!(headers["x-sub"], "bob");
    assert_eq!(headers["x-age"], "7");
    assert_eq!(headers["x-groups"], URL_SAFE_NO_PAD.encode(r#"["a"]"#));
    assert_eq!(headers["x-payload"], token.encoded_payload);
    assert!(!headers.contains_key("x-none") && !headers.contains_key("x-bad"));
}

#[test]
fn keys_that_cannot_be_used_accept_nothing() {
    let rules = compiled(vec![rule("me", "{}")]);
    assert!(matches!(rules.rules[0].keys, RuleKeys::Unusable));
}
