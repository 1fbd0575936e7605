use std::time::Duration;

use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::issuer::Issuer;
use crate::root::Root;
use crate::token::TokenSubject;

const HOUR: Duration = Duration::from_secs(3600);

struct Fixture {
    authenticator: Authenticator,
    tokens: Arc<TokenKey>,
    issuer: Issuer,
    now: SystemTime,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let tokens = Arc::new(TokenKey::load_or_create(dir.path()).unwrap());
        Self {
            authenticator: Authenticator::new(tokens.clone(), TrustDomain::default()),
            tokens,
            issuer: Issuer::new(Root::load_or_create(dir.path(), &TrustDomain::default(), now).unwrap()),
            now,
        }
    }

    fn headers(&self) -> MetadataMap {
        let token = self.tokens.sign(&subject(), HOUR, self.now).unwrap();
        let mut metadata = MetadataMap::new();
        metadata.insert(
            "authorization",
            format!("Bearer {}", token.as_str()).parse().unwrap(),
        );
        metadata
    }

    fn connection(&self, identity: &str) -> ConnectionInfo {
        let key = KeyPair::generate().unwrap().subject_public_key_info();
        let issued = self
            .issuer
            .issue(&identity.parse().unwrap(), &key, HOUR, self.now)
            .unwrap();
        let leaf = CertificateDer::from_pem_slice(issued.chain[0].as_bytes()).unwrap();
        ConnectionInfo {
            peer: None,
            certificates: vec![leaf].into(),
        }
    }
}

fn subject() -> TokenSubject {
    TokenSubject {
        account: "istio-system/ztunnel".parse().unwrap(),
        node: "node-a".to_owned(),
        pod: None,
    }
}

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

#[test]
fn a_token_or_a_certificate_says_who_calls() {
    let f = Fixture::new();
    let by_token = f.authenticator.judge(&f.headers(), None, f.now);
    assert_eq!(by_token, Ok(Caller::Token(subject())));
    let connection = f.connection(CART);
    let by_certificate = f
        .authenticator
        .judge(&MetadataMap::new(), Some(&connection), f.now);
    assert_eq!(by_certificate, Ok(Caller::Mesh(CART.parse().unwrap())));
    let both = f.authenticator.judge(&f.headers(), Some(&connection), f.now);
    assert_eq!(both, Ok(Caller::Token(subject())));
}

#[test]
fn neither_is_nobody() {
    let f = Fixture::new();
    for connection in [None, Some(&ConnectionInfo::default())] {
        let nobody = f.authenticator.judge(&MetadataMap::new(), connection, f.now);
        assert!(matches!(nobody, Err(Denied::Unauthenticated(_))));
    }
}

#[test]
fn a_bad_token_is_not_mended_by_a_certificate() {
    let f = Fixture::new();
    let connection = f.connection(CART);
    let late = f.now + 2 * HOUR;
    let Err(Denied::Unauthenticated(reason)) = f.authenticator.judge(&f.headers(), Some(&connection), late)
    else {
        panic!("an expired token must not pass");
    };
    assert!(reason.contains("expired"), "{reason}");
}

#[test]
fn a_certificate_ends_on_an_open_connection_too() {
    let f = Fixture::new();
    let connection = f.connection(CART);
    let late = f.now + 2 * HOUR;
    let Err(Denied::Unauthenticated(reason)) =
        f.authenticator
            .judge(&MetadataMap::new(), Some(&connection), late)
    else {
        panic!("an expired certificate must not pass");
    };
    assert_eq!(reason, format!("the certificate of {CART} has expired"));
}

#[test]
fn another_trust_domain_is_another_mesh() {
    let f = Fixture::new();
    let connection = f.connection("spiffe://elsewhere/ns/shop/sa/cart");
    let foreign = f
        .authenticator
        .judge(&MetadataMap::new(), Some(&connection), f.now);
    assert!(matches!(foreign, Err(Denied::Unauthenticated(_))));
}
