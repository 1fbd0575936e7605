use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;
use crate::signing_key::P256Key;

const NOW: u64 = 1_790_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

/// An API server's key.
struct Server(P256Key);

impl Server {
    fn new() -> Self {
        Self(P256Key::generate().expect("a key"))
    }

    fn keys(&self) -> ClusterKeys {
        let point = self.0.public_point();
        let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..]));
        let key =
            json!({"use": "sig", "kty": "EC", "kid": "one", "alg": "ES256", "crv": "P-256", "x": x, "y": y});
        let secret =
            json!({"kty": "oct", "kid": "secret", "k": BASE64.encode(b"known to all"), "alg": "HS256"});
        let set = json!({ "keys": [secret, key] }).to_string();
        ClusterKeys::parse(&json!({"issuer": ISSUER, "jwks_uri": "x"}).to_string(), &set).expect("keys")
    }

    fn token(&self, key_id: &str, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(key_id.to_owned());
        let key = EncodingKey::from_ec_der(&self.0.to_der());
        jsonwebtoken::encode(&header, claims, &key).expect("signed")
    }
}

/// What Kubernetes 1.34 puts into a projected token.
fn claims() -> Value {
    json!({
        "aud": ["istio-ca"], "exp": NOW + 43_200, "iat": NOW, "nbf": NOW, "iss": ISSUER,
        "jti": "5b4d7a52-9ab0-4a8e-8a1f-0c0b5a5e1c11",
        "kubernetes.io": {
            "namespace": "istio-system",
            "node": {"name": "node-a", "uid": "n"},
            "pod": {"name": "ztunnel-x7k2p", "uid": "5a3c"},
            "serviceaccount": {"name": "ztunnel", "uid": "s"}
        },
        "sub": "system:serviceaccount:istio-system:ztunnel"
    })
}

#[test]
fn a_projected_token_says_who_where_and_which_pod() {
    let server = Server::new();
    let (subject, end) = server
        .keys()
        .verify_until(&server.token("one", &claims()), at(NOW + 60))
        .expect("a good token");
    assert_eq!(subject.account.to_string(), "istio-system/ztunnel");
    assert_eq!(subject.node, "node-a");
    let pod = subject.pod.expect("it is bound");
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("ztunnel-x7k2p", "5a3c"));
    assert!(end >= at(NOW + 43_200) && end < at(NOW + 43_260));
}

#[test]
fn what_is_wrong_with_a_token_is_told_apart() {
    let server = Server::new();
    let keys = server.keys();
    let verdict = |edit: &dyn Fn(&mut Value), now: u64| {
        let mut claims = claims();
        edit(&mut claims);
        keys.verify_until(&server.token("one", &claims), at(now))
            .map(drop)
    };
    assert_eq!(verdict(&|_| {}, NOW + 44_000), Err(InvalidToken::Expired));
    assert_eq!(
        verdict(&|c| c["aud"] = json!(["other"]), NOW),
        Err(InvalidToken::Audience)
    );
    assert_eq!(
        verdict(&|c| c["iss"] = json!("https://else"), NOW),
        Err(InvalidToken::Issuer)
    );
    let unbound = |c: &mut Value| drop(c["kubernetes.io"].as_object_mut().expect("a map").remove("pod"));
    assert_eq!(verdict(&unbound, NOW), Err(InvalidToken::NoPod));
    let other = server.token("two", &claims());
    assert_eq!(
        keys.verify_until(&other, at(NOW)).map(drop),
        Err(InvalidToken::UnknownKey)
    );
    let forged = Server::new().token("one", &claims());
    assert_eq!(
        keys.verify_until(&forged, at(NOW)).map(drop),
        Err(InvalidToken::Signature)
    );
}

#[test]
fn a_secret_in_the_list_is_no_key() {
    let server = Server::new();
    let mut header = Header::new(Algorithm::HS256);
    for id in ["secret", "one"] {
        header.kid = Some(id.to_owned());
        let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"known to all"));
        let verdict = server
            .keys()
            .verify_until(&token.expect("signed"), at(NOW))
            .map(drop);
        assert!(
            matches!(verdict, Err(InvalidToken::UnknownKey | InvalidToken::Header)),
            "{verdict:?}"
        );
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    let discovery = json!({ "issuer": ISSUER }).to_string();
    assert_eq!(
        ClusterKeys::parse(&discovery, r#"{"keys":[]}"#).map(drop),
        Err(InvalidKeys::None)
    );
    assert!(matches!(
        ClusterKeys::parse("{}", r#"{"keys":[]}"#),
        Err(InvalidKeys::Discovery(_))
    ));
    assert!(matches!(
        ClusterKeys::parse(&discovery, "[]"),
        Err(InvalidKeys::Keys(_))
    ));
}
