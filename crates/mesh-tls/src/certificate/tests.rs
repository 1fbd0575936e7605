use super::*;
use crate::fixtures::{Authority, Leaf, identity};

const A: &str = "spiffe://cluster.local/ns/a/sa/client";
const B: &str = "spiffe://cluster.local/ns/b/sa/server";

#[test]
fn it_tells_what_it_is_but_not_its_key() {
    let authority = Authority::new();
    let (leaf, key) = authority.sign(Leaf::of(&[A]));
    let chain = [leaf.clone(), authority.root_pem()];
    let cert = WorkloadCertificate::new(identity(A), &key, &chain, &TlsSettings::default()).unwrap();
    assert_eq!(cert.identity(), &identity(A));
    assert_eq!(cert.chain_pem(), [leaf]);
    assert_eq!(cert.roots_pem(), authority.root_pem());
    assert!(cert.not_before() < SystemTime::now() && SystemTime::now() < cert.not_after());
    assert!(cert.serial().len() >= 16 && cert.serial().chars().all(|c| c.is_ascii_hexdigit()));
    let shown = format!("{cert:?} {key:?}");
    assert!(
        shown.contains("PrivateKey(..)") && !shown.contains("BEGIN"),
        "{shown}"
    );
}

#[test]
fn serial_numbers_are_written_as_authorities_write_them() {
    assert_eq!(serial_number(&[0, 0x85, 0x1a]), "851a");
    assert_eq!(serial_number(&[0x05, 0]), "0500");
    assert_eq!(serial_number(&[0]), "00");
}

#[test]
fn configurations_are_made_once_and_bounded() {
    let cert = Authority::new().workload(A);
    let expected = ExpectedPeers::one(&identity(B));
    let first = cert.client_config(&expected);
    assert!(Arc::ptr_eq(&first, &cert.client_config(&expected.clone())));
    assert!(Arc::ptr_eq(&cert.server_config(), &cert.server_config()));
    for i in 0..2 * MAX_CLIENT_CONFIGS {
        let other = ExpectedPeers::any_of([format!("spiffe://td/{i}")]).unwrap();
        let _ = cert.client_config(&other);
    }
    assert_eq!(cert.clients.lock().0.len(), MAX_CLIENT_CONFIGS);
    assert!(!Arc::ptr_eq(&first, &cert.client_config(&expected)));
}

#[test]
fn the_leaf_must_be_for_the_identity_and_the_key() {
    let authority = Authority::new();
    let root = authority.root_pem();
    let make = |id: &str, leaf: &str, key: &PrivateKey| {
        let chain = [leaf.to_owned(), root.clone()];
        WorkloadCertificate::new(identity(id), key, &chain, &TlsSettings::default()).map(|_| ())
    };
    let (leaf, key) = authority.sign(Leaf::of(&[A]));
    let (_, other_key) = authority.sign(Leaf::of(&[A]));
    make(A, &leaf, &key).unwrap();
    let wrong = make(B, &leaf, &key).unwrap_err();
    assert!(
        matches!(wrong, InvalidCertificate::OtherIdentity { .. }),
        "{wrong}"
    );
    assert_eq!(
        wrong.to_string(),
        format!("leaf certificate is for {A}, asked for {B}")
    );
    assert!(matches!(make(A, &leaf, &other_key), Err(InvalidCertificate::Key)));
    let (two, key) = authority.sign(Leaf::of(&[A, B]));
    assert!(matches!(
        make(A, &two, &key),
        Err(InvalidCertificate::Identity(PeerIdentityError::SeveralUris(2)))
    ));
}

#[test]
fn a_chain_that_is_none_is_named() {
    let authority = Authority::new();
    let (leaf, key) = authority.sign(Leaf::of(&[A]));
    let make = |chain: &[&str]| {
        let chain: Vec<String> = chain.iter().map(ToString::to_string).collect();
        let made = WorkloadCertificate::new(identity(A), &key, &chain, &TlsSettings::default());
        made.unwrap_err().to_string()
    };
    let root = authority.root_pem();
    assert_eq!(
        make(&[]),
        "certificate chain of 0 elements; at least the leaf and the roots are needed"
    );
    assert_eq!(
        make(&[&leaf]),
        "certificate chain of 1 elements; at least the leaf and the roots are needed"
    );
    assert_eq!(
        make(&[&leaf, "nonsense"]),
        "certificate chain, element 1: no certificate in the PEM text"
    );
    assert_eq!(
        make(&["", &root]),
        "certificate chain, element 0: no certificate in the PEM text"
    );
}

#[test]
fn several_roots_may_come_in_the_last_element() {
    let (old, new) = (Authority::new(), Authority::new());
    let (leaf, key) = new.sign(Leaf::of(&[A]));
    let roots = format!("{}{}", old.root_pem(), new.root_pem());
    let cert = WorkloadCertificate::new(identity(A), &key, &[leaf, roots], &TlsSettings::default()).unwrap();
    assert_eq!(cert.roots.len(), 2);
}
