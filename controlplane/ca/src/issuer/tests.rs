use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_790_000_000;
const HOUR: Duration = Duration::from_secs(3600);

fn issuer() -> Issuer {
    let dir = tempfile::tempdir().unwrap();
    Issuer::new(Root::load_or_create(dir.path(), &mesh_types::TrustDomain::default(), at(NOW)).unwrap())
}

fn identity() -> Identity {
    "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap()
}

fn leaf(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.chain[0].as_bytes()).unwrap()
}

#[test]
fn says_who_and_nothing_else() {
    let (issuer, key) = (issuer(), KeyPair::generate().unwrap());
    let issued = issuer
        .issue(&identity(), &key.subject_public_key_info(), HOUR, at(NOW))
        .unwrap();
    assert_eq!(issued.chain.len(), 2);
    assert_eq!(issued.chain[1], issuer.root().certificate_pem());

    let der = leaf(&issued);
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(cert.subject().iter().count(), 0);
    let san = cert.subject_alternative_name().unwrap().unwrap();
    assert!(san.critical, "an empty subject makes the SAN critical");
    assert_eq!(
        san.value.general_names,
        [GeneralName::URI("spiffe://cluster.local/ns/shop/sa/cart")]
    );
    let usage = cert.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let extended = cert.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.server_auth && extended.client_auth);
    assert!(!cert.is_ca());
    assert_eq!(cert.validity().not_before.timestamp(), NOW as i64 - 120);
    assert_eq!(cert.validity().not_after.timestamp(), NOW as i64 + 3600);
    assert_eq!(
        cert.public_key().subject_public_key.as_ref(),
        key.public_key_raw()
    );
    let root = CertificateDer::from_pem_slice(issued.chain[1].as_bytes()).unwrap();
    let (_, root) = X509Certificate::from_der(&root).unwrap();
    cert.verify_signature(Some(root.public_key())).unwrap();
}

#[test]
fn serials_are_128_random_bits() {
    let (issuer, key) = (issuer(), KeyPair::generate().unwrap());
    let spki = key.subject_public_key_info();
    let serials: std::collections::BTreeSet<_> = (0..16)
        .map(|_| issuer.issue(&identity(), &spki, HOUR, at(NOW)).unwrap().serial)
        .collect();
    assert_eq!(serials.len(), 16);
    assert!(serials.iter().all(|s| s.len() == 32), "{serials:?}");
}

#[test]
fn lifetimes_follow_the_signing_contract() {
    let end = at(NOW) + Duration::from_secs(3650 * 24 * 3600);
    let not_after = |ttl, now| lifetime(ttl, now, end).map(|l| l.not_after);
    assert_eq!(not_after(Duration::ZERO, at(NOW)), Ok(at(NOW) + DEFAULT_TTL));
    assert_eq!(not_after(MAX_TTL, at(NOW)), Ok(at(NOW) + MAX_TTL));
    let asked = MAX_TTL + Duration::from_secs(1);
    assert_eq!(not_after(asked, at(NOW)), Err(IssueError::TtlTooLong { asked }));
    assert_eq!(
        not_after(DEFAULT_TTL, end - HOUR),
        Ok(end),
        "nobody outlives the issuer"
    );
    assert_eq!(not_after(HOUR, end), Err(IssueError::RootExpired));
}

#[test]
fn a_key_that_is_none_is_refused() {
    let refused = issuer().issue(&identity(), b"hello", HOUR, at(NOW)).unwrap_err();
    assert!(matches!(refused, IssueError::PublicKey(_)), "{refused}");
}

#[test]
fn a_revisions_own_name_is_one_that_it_serves() {
    let names = |name: &str| crate::serving::default_names(name, "istio-system");
    assert!(names("istiod-canary").contains(&"istiod-canary.istio-system.svc".to_owned()));
    assert_eq!(names("istiod-canary").len(), names("istiod").len() + 3);
}

#[test]
fn the_serving_certificate_has_upstreams_names() {
    let issuer = issuer();
    let mut names = crate::serving::default_names("istiod", "istio-system");
    names.push("127.0.0.1".to_owned());
    let serving = crate::serving::make(&issuer, &names, at(NOW)).unwrap();
    let der = CertificateDer::from_pem_slice(serving.chain[0].as_bytes()).unwrap();
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    let san = cert.subject_alternative_name().unwrap().unwrap().value;
    assert!(
        san.general_names
            .contains(&GeneralName::DNSName("istiod.istio-system.svc"))
    );
    assert!(
        san.general_names
            .contains(&GeneralName::IPAddress(&[127, 0, 0, 1]))
    );
    let renew_at: i64 = serving
        .renew_at
        .duration_since(at(0))
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap();
    assert!(
        renew_at < cert.validity().not_after.timestamp() - 24 * 3600,
        "well before the end"
    );
    assert_eq!(serving.chain.len(), 1, "the root is not sent in a handshake");
    assert!(crate::serving::make(&issuer, &["ä".to_owned()], at(NOW)).is_err());
}

#[test]
fn another_root_signs_from_then_on_and_both_are_trusted() {
    let (issuer, key) = (issuer(), KeyPair::generate().unwrap());
    let old = issuer.root().certificate_pem().to_owned();
    let mut trusted = issuer.trusted();
    let other = tempfile::tempdir().unwrap();
    let root = Root::load_or_create(other.path(), &mesh_types::TrustDomain::default(), at(NOW)).unwrap();
    let new = root.certificate_pem().to_owned();
    issuer.replace(root.trusting([old.as_str()], at(NOW)));
    let issued = issuer
        .issue(&identity(), &key.subject_public_key_info(), HOUR, at(NOW))
        .unwrap();
    assert_eq!(
        issued.chain[1],
        [new.trim_end(), "\n", old.trim_end(), "\n"].concat()
    );
    assert!(trusted.has_changed().unwrap());
    assert_eq!(*trusted.borrow_and_update(), issued.chain[1]);

    let signer = CertificateDer::from_pem_slice(new.as_bytes()).unwrap();
    let (_, signer) = X509Certificate::from_der(&signer).unwrap();
    let der = leaf(&issued);
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    cert.verify_signature(Some(signer.public_key())).unwrap();
}

#[test]
fn the_longest_life_that_was_given_is_known() {
    let (issuer, key) = (issuer(), KeyPair::generate().unwrap());
    let mut longest = issuer.longest();
    let give = |ttl| {
        issuer
            .issue(&identity(), &key.subject_public_key_info(), ttl, at(NOW))
            .unwrap()
    };
    give(HOUR);
    assert_eq!(*longest.borrow_and_update(), DEFAULT_TTL, "the default at least");
    give(DEFAULT_TTL * 7);
    assert!(longest.has_changed().unwrap());
    assert_eq!(*longest.borrow_and_update(), DEFAULT_TTL * 7);
    give(DEFAULT_TTL * 2);
    assert!(!longest.has_changed().unwrap());
}
