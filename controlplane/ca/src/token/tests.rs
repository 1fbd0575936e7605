use super::*;

const NOW: u64 = 1_790_000_000;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn key() -> TokenKey {
    let dir = tempfile::tempdir().unwrap();
    TokenKey::load_or_create(dir.path()).unwrap()
}

fn ztunnel() -> TokenSubject {
    TokenSubject {
        account: ServiceAccount::new("istio-system", "ztunnel").unwrap(),
        node: "node-a".to_owned(),
        pod: Some(BoundPod {
            name: "ztunnel-x7k2p".to_owned(),
            uid: "5a3c".to_owned(),
        }),
    }
}

fn payload(token: &str) -> serde_json::Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, part).unwrap())
        .unwrap()
}

/// A token with its claims edited, signed by the real key.
fn forge(key: &TokenKey, edit: impl FnOnce(&mut serde_json::Value)) -> String {
    let token = key.sign(&ztunnel(), Duration::from_secs(3600), at(NOW)).unwrap();
    let mut claims = payload(&token);
    edit(&mut claims);
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key.key_id.clone());
    jsonwebtoken::encode(&header, &claims, &key.signing).unwrap()
}

#[test]
fn comes_back_as_it_went_in_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let token = TokenKey::load_or_create(dir.path())
        .unwrap()
        .sign(&ztunnel(), Duration::from_secs(60), at(NOW))
        .unwrap();
    let later = TokenKey::load_or_create(dir.path()).unwrap();
    assert_eq!(later.verify(&token, at(NOW + 30)), Ok(ztunnel()));
}

#[test]
fn has_the_shape_of_a_bound_service_account_token() {
    let token = key()
        .sign(&ztunnel(), Duration::from_secs(3600), at(NOW))
        .unwrap();
    let claims = payload(&token);
    assert_eq!(claims["aud"], serde_json::json!(["istio-ca"]));
    assert_eq!(claims["sub"], "system:serviceaccount:istio-system:ztunnel");
    assert_eq!(claims["exp"], NOW + 3600);
    assert_eq!(claims["iat"], NOW);
    assert_eq!(claims["nbf"], NOW);
    let kubernetes = &claims["kubernetes.io"];
    assert_eq!(kubernetes["namespace"], "istio-system");
    assert_eq!(kubernetes["serviceaccount"]["name"], "ztunnel");
    assert_eq!(kubernetes["node"]["name"], "node-a");
    assert_eq!(
        kubernetes["pod"],
        serde_json::json!({"name": "ztunnel-x7k2p", "uid": "5a3c"})
    );
    assert_ne!(
        payload(&token)["jti"],
        payload(&key().sign(&ztunnel(), Duration::from_secs(1), at(NOW)).unwrap())["jti"]
    );
}

#[test]
fn lives_from_its_making_to_its_end() {
    let key = key();
    let token = key.sign(&ztunnel(), Duration::from_secs(100), at(NOW)).unwrap();
    assert!(key.verify(&token, at(NOW - LEEWAY)).is_ok());
    assert_eq!(
        key.verify(&token, at(NOW - LEEWAY - 1)),
        Err(InvalidToken::NotYet)
    );
    assert!(key.verify(&token, at(NOW + 100 + LEEWAY - 1)).is_ok());
    assert_eq!(
        key.verify(&token, at(NOW + 100 + LEEWAY)),
        Err(InvalidToken::Expired)
    );
    assert!(matches!(
        key.sign(&ztunnel(), Duration::ZERO, at(NOW)),
        Err(SignError::Ttl(_))
    ));
    assert!(matches!(
        key.sign(&ztunnel(), MAX_TTL + Duration::from_secs(1), at(NOW)),
        Err(SignError::Ttl(_))
    ));
}

#[test]
fn is_believed_only_from_its_own_key() {
    let (ours, other) = (key(), key());
    let token = other.sign(&ztunnel(), Duration::from_secs(100), at(NOW)).unwrap();
    assert_eq!(ours.verify(&token, at(NOW)), Err(InvalidToken::UnknownKey));

    // The other key under our key's name.
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(ours.key_id.clone());
    let forged = jsonwebtoken::encode(&header, &payload(&token), &other.signing).unwrap();
    assert_eq!(ours.verify(&forged, at(NOW)), Err(InvalidToken::Signature));
}

#[test]
fn no_other_algorithm_will_do() {
    let key = key();
    let claims = payload(&key.sign(&ztunnel(), Duration::from_secs(100), at(NOW)).unwrap());
    // RFC 8725, 3.1: the public key as an HMAC secret, and no algorithm at all.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.key_id.clone());
    let secret = EncodingKey::from_secret(key.verifying.try_get_as_bytes().unwrap());
    let confused = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    assert_eq!(key.verify(&confused, at(NOW)), Err(InvalidToken::Header));

    let signed = key.sign(&ztunnel(), Duration::from_secs(100), at(NOW)).unwrap();
    let rest = signed.split_once('.').unwrap().1;
    let none = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, br#"{"alg":"none"}"#);
    assert_eq!(
        key.verify(&format!("{none}.{rest}"), at(NOW)),
        Err(InvalidToken::Malformed)
    );
    assert_eq!(key.verify("", at(NOW)), Err(InvalidToken::Malformed));
    assert_eq!(key.verify(&"a".repeat(9000), at(NOW)), Err(InvalidToken::TooLong));
}

#[test]
fn critical_header_fields_are_refused() {
    let key = key();
    let claims = payload(&key.sign(&ztunnel(), Duration::from_secs(100), at(NOW)).unwrap());
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(key.key_id.clone());
    header.crit = Some(vec!["exp".to_owned()]);
    let token = jsonwebtoken::encode(&header, &claims, &key.signing).unwrap();
    assert_eq!(key.verify(&token, at(NOW)), Err(InvalidToken::Header));
}

#[test]
fn each_claim_counts() {
    let key = key();
    let verify = |edit: fn(&mut serde_json::Value)| key.verify(&forge(&key, edit), at(NOW));
    assert_eq!(verify(|_| ()), Ok(ztunnel()));
    assert_eq!(
        verify(|c| c["iss"] = "https://elsewhere".into()),
        Err(InvalidToken::Issuer)
    );
    assert_eq!(
        verify(|c| c["aud"] = serde_json::json!(["vault"])),
        Err(InvalidToken::Audience)
    );
    assert_eq!(verify(|c| c["aud"] = "istio-ca".into()), Ok(ztunnel()));
    assert_eq!(
        verify(|c| c["exp"] = "tomorrow".into()),
        Err(InvalidToken::Claims)
    );
    assert_eq!(
        verify(|c| drop(c.as_object_mut().unwrap().remove("exp"))),
        Err(InvalidToken::Claims)
    );
    assert_eq!(
        verify(|c| c["sub"] = "system:serviceaccount:kube-system:admin".into()),
        Err(InvalidToken::Claims)
    );
    assert_eq!(
        verify(|c| c["kubernetes.io"]["serviceaccount"]["name"] = "a/b".into()),
        Err(InvalidToken::Claims)
    );
    assert_eq!(
        verify(|c| c["kubernetes.io"]["node"] = serde_json::Value::Null),
        Err(InvalidToken::NoNode)
    );
    assert_eq!(
        verify(|c| c["kubernetes.io"]["node"]["name"] = "".into()),
        Err(InvalidToken::NoNode)
    );
    assert_eq!(
        verify(|c| c["kubernetes.io"]["pod"]["uid"] = "".into()),
        Err(InvalidToken::Claims)
    );
}

#[test]
fn prints_no_key() {
    let key = key();
    let printed = format!("{key:?}");
    assert_eq!(printed, format!("TokenKey {{ key_id: {:?}, .. }}", key.key_id));
}
