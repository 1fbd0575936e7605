//! Tokens of the tests' own: signed with a secret that both sides know, or with a key of EdDSA.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

/// What signs tokens.
pub(crate) const ISSUER: &str = "https://issuer.example";

/// The key set with the one key of [`token`].
pub(crate) fn key_set() -> String {
    key_set_of("k1")
}

/// The same under another name.
pub(crate) fn key_set_of(kid: &str) -> String {
    // The bytes of SECRET, in base64url.
    let k = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    json!({"keys": [{"kty": "oct", "alg": "HS256", "kid": kid, "k": k}]}).to_string()
}

/// A token with these claims, beside issuer, subject `bob` and an end in the far future.
pub(crate) fn token(claims: Value) -> String {
    token_of("k1", claims)
}

/// The same by the key of this name.
pub(crate) fn token_of(kid: &str, claims: Value) -> String {
    let mut all = json!({"iss": ISSUER, "sub": "bob", "exp": 4_000_000_000_u64});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    encode(&header, &all, &EncodingKey::from_secret(SECRET)).unwrap()
}

/// A RequestAuthentication for the service `web`, whose one rule has this beside issuer and keys.
pub(crate) fn authentication(rule: &str) -> String {
    authentication_with(&format!("jwks: '{}', {rule}", key_set()))
}

/// The same with other keys.
pub(crate) fn authentication_with(rule: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {{name: jwt, namespace: shop}}, spec: \
         {{targetRefs: [{{group: '', kind: Service, name: web}}], jwtRules: [{{issuer: '{ISSUER}', {rule}}}]}}}}"
    )
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
