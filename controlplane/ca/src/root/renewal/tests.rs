use std::time::Duration;

use mesh_types::TrustDomain;
use rustls_pki_types::pem::PemObject;

use super::super::{Kept, Root};
use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

const NOW: u64 = 1_800_000_000;

fn root(pems: &AuthorityPems, now: SystemTime) -> Root {
    Root::from_pems(pems, Kept::Secret, now).unwrap()
}

#[test]
fn it_is_due_when_a_fifth_of_its_life_is_left() {
    let life = Life {
        not_before: at(0),
        not_after: at(1000),
    };
    for (now, due) in [(0, false), (799, false), (800, true), (1000, true), (2000, true)] {
        assert_eq!(is_due(life, at(now)), due, "{now}");
    }
}

#[test]
fn one_that_is_renewed_stands_for_what_the_one_before_it_signed() {
    let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
    let late = at(NOW) + LIFETIME / 10 * 9;
    let before = root(&pems, late);
    assert!(before.is_to_be_renewed(late) && !before.is_to_be_renewed(at(NOW)));
    let renewed = pems.renewed(late).unwrap();
    let after = root(&renewed, late);
    assert!(!after.is_to_be_renewed(late));
    assert!(after.has_signer_of(&before));
    assert!(after.not_after() > before.not_after());
    // Whoever trusts the earlier one takes what is signed now.
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (old, new) = (der(&pems.certificate), der(&renewed.certificate));
    let (old, new) = (parsed(&old).unwrap(), parsed(&new).unwrap());
    new.verify_signature(Some(old.public_key())).unwrap();
    assert_eq!(new.issuer().as_raw(), old.subject().as_raw());
    assert_eq!(key_id(&new), key_id(&old));
    assert!(key_id(&new).is_some());
    assert_ne!(new.raw_serial(), old.raw_serial());
}

#[test]
fn names_of_upstreams_roots_are_kept_to_the_letter() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let organization = PrintableString::try_from("cluster.local").unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationName, DnValue::PrintableString(organization));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = at(NOW).into();
    params.not_after = at(NOW + 1000).into();
    let pems = AuthorityPems {
        certificate: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem().into(),
        ..AuthorityPems::default()
    };
    let renewed = pems.renewed(at(NOW + 900)).unwrap();
    let (before, after) = (root(&pems, at(NOW + 900)), root(&renewed, at(NOW + 900)));
    assert!(after.has_signer_of(&before));
}

#[test]
fn an_authority_under_somebodys_root_is_not_ours_to_renew() {
    let pems = AuthorityPems::make(&TrustDomain::default(), at(NOW)).unwrap();
    let under = AuthorityPems {
        roots: AuthorityPems::make(&TrustDomain::default(), at(NOW))
            .unwrap()
            .certificate,
        ..pems
    };
    let late = at(NOW) + LIFETIME / 10 * 9;
    assert!(!root(&under, late).is_to_be_renewed(late));
    assert!(under.renewed(late).is_err());
}
