use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mesh_testkit::Issuer;
use serde_json::json;

use super::*;

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn of(header: &str, payload: &str) -> Result<Token, Refusal> {
    Token::parse(&format!("{}.{}.c2ln", part(header), part(payload)))
}

const HEADER: &str = r#"{"alg":"ES256"}"#;

#[test]
fn a_token_is_taken_apart() {
    let issuer = Issuer::new(Algorithm::ES256);
    let text = issuer.token(&json!({"iss": "me", "sub": "bob", "aud": ["https://a/", "b"], "exp": 100}));
    let token = Token::parse(&text).unwrap();
    assert_eq!(
        (token.issuer.as_str(), token.key_id.as_deref()),
        ("me", Some("key-1"))
    );
    assert_eq!(token.audiences, ["a", "b"]);
    assert_eq!(token.payload["sub"], "bob");
    assert!(text.starts_with(&format!("{}.", token.signed)));
    assert!(!format!("{token:?}").contains("bob"));
}

#[test]
fn what_is_wrong_is_said_in_envoys_words() {
    let cases = [
        (
            "",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "a.b",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "a.b.c.d",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "a..c",
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        ("!.b.c", "Jwt header is an invalid Base64url encoded"),
        ("bm8.b.c", "Jwt header is an invalid JSON"),
    ];
    for (text, message) in cases {
        assert_eq!(Token::parse(text).unwrap_err().message(), message, "{text:?}");
    }
    let headers = [
        ("[]", Refusal::HeaderJson),
        ("{}", Refusal::AlgorithmMissing),
        (r#"{"alg":7}"#, Refusal::AlgorithmMissing),
        (r#"{"alg":"none"}"#, Refusal::AlgorithmUnknown),
        (r#"{"alg":"None"}"#, Refusal::AlgorithmUnknown),
        (r#"{"alg":"es256"}"#, Refusal::AlgorithmUnknown),
        (r#"{"alg":"ES256","kid":1}"#, Refusal::KeyId),
        (r#"{"alg":"ES256","crit":["b64"]}"#, Refusal::AlgorithmUnknown),
        (r#"{"alg":"ES256","alg":"HS256"}"#, Refusal::HeaderJson),
    ];
    for (header, refusal) in headers {
        assert_eq!(of(header, "{}").unwrap_err(), refusal, "{header}");
    }
    let payloads = [
        ("no", Refusal::PayloadJson),
        (r#"{"iss":1}"#, Refusal::Issuer),
        (r#"{"sub":1}"#, Refusal::Subject),
        (r#"{"iat":"1"}"#, Refusal::IssuedAt),
        (r#"{"nbf":-1}"#, Refusal::NotBefore),
        (r#"{"exp":"soon"}"#, Refusal::Expires),
        (r#"{"exp":1e300}"#, Refusal::Expires),
        (r#"{"jti":{}}"#, Refusal::Id),
        (r#"{"aud":7}"#, Refusal::Audience),
        (r#"{"aud":["a",7]}"#, Refusal::Audience),
        (r#"{"iss":"a","iss":"b"}"#, Refusal::PayloadJson),
        (r#"{"a":{"b":1,"b":2}}"#, Refusal::PayloadJson),
    ];
    for (payload, refusal) in payloads {
        assert_eq!(of(HEADER, payload).unwrap_err(), refusal, "{payload}");
    }
    let bad = format!("{}.{}.!", part(HEADER), part("{}"));
    assert_eq!(Token::parse(&bad).unwrap_err(), Refusal::SignatureBase64);
    assert_eq!(
        Token::parse(&"a".repeat(LONGEST + 1)).unwrap_err(),
        Refusal::Format
    );
}

#[test]
fn clocks_may_differ_by_a_minute() {
    let token = of(HEADER, r#"{"nbf":1000,"exp":2000.9}"#).unwrap();
    let counts = [939, 940, 2060, 2061].map(|now| token.counts_at(now));
    assert_eq!(
        counts,
        [Err(Refusal::NotYet), Ok(()), Ok(()), Err(Refusal::Expired)]
    );
    // Who says nothing of it counts for ever, and 1970 is over.
    assert_eq!(of(HEADER, "{}").unwrap().counts_at(u64::MAX), Ok(()));
    assert_eq!(
        of(HEADER, r#"{"exp":0}"#).unwrap().counts_at(61),
        Err(Refusal::Expired)
    );
}

#[test]
fn audiences_are_compared_without_scheme_and_final_slash() {
    let token = of(HEADER, r#"{"aud":"https://shop.example/"}"#).unwrap();
    let bare = |audience: &str| vec![bare_audience(audience)];
    assert!(token.is_for(&[]));
    assert!(token.is_for(&bare("shop.example")) && token.is_for(&bare("http://shop.example")));
    assert!(!token.is_for(&bare("shop.example/a")));
    assert!(!of(HEADER, "{}").unwrap().is_for(&bare("shop.example")));
}
