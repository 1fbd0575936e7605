use std::fs;

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_790_000_000;

#[test]
fn is_the_same_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let domain = TrustDomain::default();
    let first = Root::load_or_create(dir.path(), &domain, at(NOW)).unwrap();
    let second = Root::load_or_create(dir.path(), &domain, at(NOW + 60)).unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    assert_eq!(first.not_after(), at(NOW) + LIFETIME);
    let public = fs::read_to_string(Root::public_path(dir.path())).unwrap();
    assert_eq!(public, first.certificate_pem());
    assert!(!public.contains("PRIVATE"));
}

#[test]
fn two_starters_share_one_root() {
    let dir = tempfile::tempdir().unwrap();
    let roots: Vec<String> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| Root::load_or_create(dir.path(), &TrustDomain::default(), at(NOW)).unwrap())
            })
            .collect();
        starters
            .into_iter()
            .map(|t| t.join().unwrap().certificate_pem().to_owned())
            .collect()
    });
    assert!(roots.iter().all(|r| *r == roots[0]));
}

#[test]
fn is_an_ecdsa_p256_authority_that_never_prints_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::load_or_create(dir.path(), &TrustDomain::default(), at(NOW)).unwrap();
    let der = CertificateDer::from_pem_slice(root.certificate_pem().as_bytes()).unwrap();
    let (_, cert) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(cert.is_ca());
    assert!(cert.key_usage().unwrap().unwrap().value.key_cert_sign());
    assert_eq!(cert.validity().not_before.timestamp(), NOW as i64 - 120);
    cert.verify_signature(None).unwrap();
    let file = fs::read_to_string(dir.path().join(SECRET_FILE)).unwrap();
    let secret_line = file.lines().nth(1).unwrap();
    assert!(!format!("{root:?}").contains(secret_line));
}

#[test]
fn names_the_file_and_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let domain = TrustDomain::default();
    drop(Root::load_or_create(dir.path(), &domain, at(NOW)).unwrap());
    let late = Root::load_or_create(dir.path(), &domain, at(NOW) + LIFETIME).unwrap_err();
    assert!(
        late.to_string()
            .contains("root.pem: the root certificate has expired; move the file away"),
        "{late}"
    );

    let other = tempfile::tempdir().unwrap();
    drop(Root::load_or_create(other.path(), &domain, at(NOW)).unwrap());
    let ours = fs::read_to_string(dir.path().join(SECRET_FILE)).unwrap();
    let theirs = fs::read_to_string(other.path().join(SECRET_FILE)).unwrap();
    let key_end = ours.find(BEGIN).unwrap();
    let mixed = format!("{}{}", &ours[..key_end], pem_block(&theirs).unwrap());
    fs::write(dir.path().join(SECRET_FILE), mixed).unwrap();
    let mixed = Root::load_or_create(dir.path(), &domain, at(NOW)).unwrap_err();
    assert!(
        mixed.to_string().contains("does not belong to the private key"),
        "{mixed}"
    );

    fs::write(dir.path().join(SECRET_FILE), "hello").unwrap();
    let garbage = Root::load_or_create(dir.path(), &domain, at(NOW)).unwrap_err();
    assert!(garbage.to_string().contains("root.pem: holds no"), "{garbage}");
}

/// An authority under a root that the operator keeps elsewhere.
fn plugged_in(key: rcgen::KeyPair) -> (AuthorityPems, String) {
    let root_key = rcgen::KeyPair::generate().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = at(NOW).into();
        params.not_after = at(NOW + 1_000_000).into();
        params
    };
    let root = authority("root").self_signed(&root_key).unwrap().pem();
    let issuer = Issuer::from_ca_cert_pem(&root, root_key).unwrap();
    let own = authority("intermediate").signed_by(&key, &issuer).unwrap().pem();
    let pems = AuthorityPems {
        chain: [own.as_str(), &root].concat(),
        roots: root.clone(),
        key: Zeroizing::new(key.serialize_pem()),
        certificate: own,
    };
    (pems, root)
}

#[test]
fn an_operators_authority_signs_under_its_own_root_with_ecdsa_and_with_rsa() {
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    for key in [rcgen::KeyPair::generate().unwrap(), rsa] {
        let (pems, trusted) = plugged_in(key);
        let root = Root::from_pems(&pems, Kept::Secret, at(NOW + 60)).unwrap();
        assert_eq!(root.certificate_pem().trim(), trusted.trim());
        assert_eq!(root.intermediates().len(), 1);
        assert_eq!(root.intermediates()[0].trim(), pems.certificate.trim());
        assert_eq!(root.not_after(), at(NOW + 1_000_000));
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (pems, _) = plugged_in(rcgen::KeyPair::generate().unwrap());
    let (other, _) = plugged_in(rcgen::KeyPair::generate().unwrap());
    let mixed = AuthorityPems {
        key: other.key,
        ..pems.clone()
    };
    assert!(
        Root::from_pems(&mixed, Kept::Secret, at(NOW + 60))
            .unwrap_err()
            .contains("does not belong")
    );
    assert!(
        Root::from_pems(&pems, Kept::Secret, at(NOW + 2_000_000))
            .unwrap_err()
            .contains("expired")
    );
}

#[test]
fn what_is_made_for_others_is_a_root() {
    let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
    assert!(pems.key.contains("PRIVATE") && !pems.certificate.contains("PRIVATE"));
    assert!(!format!("{pems:?}").contains("PRIVATE"));
    let root = Root::from_pems(&pems, Kept::Secret, at(NOW)).unwrap();
    assert_eq!(root.certificate_pem().trim(), pems.certificate.trim());
    assert!(root.intermediates().is_empty());
}

#[test]
fn others_are_trusted_beside_it_each_once_and_while_they_last() {
    let make = || {
        let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
        Root::from_pems(&pems, Kept::Secret, at(NOW)).unwrap()
    };
    let (root, other, third) = (make(), make(), make());
    let [others, thirds] = [&other, &third].map(Root::certificate_pem);
    let both = root.trusting([others, root.certificate_pem(), others], at(NOW));
    assert_eq!(
        both.certificate_pem(),
        [root.own(), other.own()].concat().concat()
    );
    assert_eq!(both.own(), root.own());
    assert!(both.is_same_authority(&root) && !both.is_same_authority(&other));
    let another = both.trusting([thirds], at(NOW));
    assert_eq!(
        another.certificate_pem(),
        [root.own(), third.own()].concat().concat(),
        "what is not named is not trusted any more"
    );
    let late = root.trusting([others], at(NOW) + LIFETIME);
    assert_eq!(late.certificate_pem(), root.own().concat());
}

#[test]
fn what_helps_when_a_root_has_expired_is_said_of_where_it_is_kept() {
    let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
    for (kept, helps) in [
        (Kept::Secret, "delete the Secret"),
        (Kept::Mounted, "mount a new one"),
    ] {
        let late = Root::from_pems(&pems, kept, at(NOW) + LIFETIME).unwrap_err();
        assert!(late.contains(helps), "{late}");
    }
}
