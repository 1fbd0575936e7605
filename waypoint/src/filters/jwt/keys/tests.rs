use mesh_testkit::Issuer;
use serde_json::json;

use super::*;

const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::HS256,
    Algorithm::HS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::EdDSA,
];

fn keys(issuer: &Issuer) -> Keys {
    Keys::parse(issuer.keys().as_bytes()).unwrap()
}

fn token(issuer: &Issuer) -> Token {
    Token::parse(&issuer.token(&json!({"iss": "me"}))).unwrap()
}

#[test]
fn each_algorithm_is_verified_by_its_own_key_and_no_other() {
    for algorithm in ALGORITHMS {
        let (issuer, other) = (Issuer::new(algorithm), Issuer::new(algorithm));
        assert_eq!(keys(&issuer).verify(&token(&issuer)), Ok(()), "{algorithm:?}");
        if algorithm.family() != AlgorithmFamily::Hmac {
            assert_eq!(
                keys(&issuer).verify(&token(&other)),
                Err(Refusal::Signature),
                "{algorithm:?}"
            );
        }
        let mut forged = token(&issuer);
        forged.signed.push('x');
        assert_eq!(
            keys(&issuer).verify(&forged),
            Err(Refusal::Signature),
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let issuer = Issuer::new(Algorithm::RS256);
    let public = issuer.key();
    // Signed with what everybody knows, as if it were a secret: the text of the key, and its modulus.
    let modulus = URL_SAFE_NO_PAD.decode(public["n"].as_str().unwrap()).unwrap();
    for secret in [public.to_string().into_bytes(), modulus] {
        let header = jsonwebtoken::Header::new(Algorithm::HS256);
        let key = jsonwebtoken::EncodingKey::from_secret(&secret);
        let text = jsonwebtoken::encode(&header, &json!({"iss": "me"}), &key).unwrap();
        let forged = Token::parse(&text).unwrap();
        assert_eq!(keys(&issuer).verify(&forged), Err(Refusal::NoKey));
        // Not even where the set does not say what the key is for.
        let mut unsaid = issuer.key();
        unsaid.as_object_mut().unwrap().remove("alg");
        let set = Keys::parse(json!({ "keys": [unsaid] }).to_string().as_bytes()).unwrap();
        assert_eq!(set.verify(&forged), Err(Refusal::NoKey));
    }
}

#[test]
fn the_named_key_counts_and_unnamed_ones_are_all_tried() {
    let one = Issuer::new(Algorithm::ES256).named(Some("one"));
    let two = Issuer::new(Algorithm::ES256).named(Some("two"));
    let both = json!({ "keys": [one.key(), two.key()] }).to_string();
    let both = Keys::parse(both.as_bytes()).unwrap();
    assert_eq!(both.verify(&token(&two)), Ok(()));
    let stranger = Issuer::new(Algorithm::ES256).named(Some("three"));
    assert_eq!(both.verify(&token(&stranger)), Err(Refusal::NoKey));
    assert_eq!(both.verify(&token(&two.named(None))), Ok(()));
    // An algorithm of the same family that the key is not for.
    let rsa = Issuer::new(Algorithm::RS256);
    let mut other = token(&rsa);
    other.algorithm = Algorithm::RS512;
    assert_eq!(keys(&rsa).verify(&other), Err(Refusal::NoKey));
}

#[test]
fn what_is_no_usable_set_is_refused() {
    let error = |json: &str| Keys::parse(json.as_bytes()).unwrap_err();
    assert_eq!(error("no"), InvalidKeys::Json);
    assert_eq!(error("{}"), InvalidKeys::NoKeys);
    assert_eq!(error(r#"{"keys":{}}"#), InvalidKeys::NoKeys);
    assert_eq!(error(r#"{"keys":[]}"#), InvalidKeys::NoValidKeys);
    for key in [
        json!({"kty": "oct", "k": ""}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "alg": "none"}),
        json!({"kty": "oct", "k": "c2VjcmV0", "use": "enc"}),
        json!({"kty": 7}),
        json!(7),
    ] {
        assert_eq!(
            error(&json!({ "keys": [key] }).to_string()),
            InvalidKeys::NoValidKeys,
            "{key}"
        );
    }
    let many = json!({ "keys": vec![json!({"kty": "oct", "k": "c2VjcmV0"}); MOST_KEYS + 1] });
    assert_eq!(error(&many.to_string()), InvalidKeys::TooMany);
    // A key that cannot be used takes no other with it.
    let issuer = Issuer::new(Algorithm::ES256);
    let mixed = json!({ "keys": [{"kty": "?"}, issuer.key()] }).to_string();
    assert_eq!(
        Keys::parse(mixed.as_bytes()).unwrap().verify(&token(&issuer)),
        Ok(())
    );
}

#[test]
fn a_good_token_is_verified_once_and_no_other_profits() {
    let issuer = Issuer::new(Algorithm::ES256);
    let keys = keys(&issuer);
    let good = token(&issuer);
    assert_eq!([keys.verify(&good), keys.verify(&good)], [Ok(()), Ok(())]);
    assert_eq!(keys.good.tokens.lock().len(), 1);
    let mut forged = token(&issuer);
    forged.signature.clone_from(&good.signature);
    forged.signed.push('x');
    assert_eq!(keys.verify(&forged), Err(Refusal::Signature));
    // The same bytes with the border elsewhere.
    let mut shifted = good.clone();
    let last = shifted.signed.pop().unwrap();
    shifted.signature.insert(0, last);
    assert!(keys.verify(&shifted).is_err());
    for _ in 0..3 {
        (0..MOST_GOOD as u128).for_each(|hash| keys.good.add(hash));
    }
    assert!(keys.good.tokens.lock().len() <= MOST_GOOD);
}
