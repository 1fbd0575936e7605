use rcgen::SigningKey;

use super::*;
use crate::fixtures::identity;

const A: &str = "spiffe://cluster.local/ns/a/sa/client";

#[test]
fn what_is_encoded_is_decoded() {
    let (key, pem) = encode(&identity(A)).unwrap();
    let request = decode(&pem).unwrap();
    assert_eq!(request.identity(), &identity(A));
    let pair = KeyPair::try_from(key.expose_pkcs8_der()).unwrap();
    assert_eq!(
        request.public_key(),
        rcgen::PublicKeyData::subject_public_key_info(&pair)
    );
}

#[test]
fn the_name_is_critical_and_the_subject_empty() {
    let (_, pem) = encode(&identity(A)).unwrap();
    let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).unwrap();
    let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
    let info = &request.certification_request_info;
    assert_eq!(info.subject.iter().count(), 0);
    let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(extensions) =
        info.attributes()[0].parsed_attribute()
    else {
        panic!("no extensions are asked for");
    };
    let [san] = extensions.extensions.as_slice() else {
        panic!("more than one extension is asked for");
    };
    assert!(san.critical);
}

#[test]
fn each_request_has_a_key_of_its_own() {
    let (one, _) = encode(&identity(A)).unwrap();
    let (other, _) = encode(&identity(A)).unwrap();
    assert_ne!(one.expose_pkcs8_der(), other.expose_pkcs8_der());
}

#[test]
fn a_request_of_somebody_elses_key_is_refused() {
    struct Thief {
        own: KeyPair,
        shown: KeyPair,
    }
    impl rcgen::PublicKeyData for Thief {
        fn der_bytes(&self) -> &[u8] {
            self.shown.der_bytes()
        }
        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            rcgen::PublicKeyData::algorithm(&self.shown)
        }
    }
    impl SigningKey for Thief {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            self.own.sign(message)
        }
    }
    let (own, shown) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let pem = asking(&[A], &Thief { own, shown });
    assert_eq!(decode(&pem), Err(InvalidSigningRequest::Signature));
}

#[test]
fn only_one_identity_and_only_p256() {
    let key = KeyPair::generate().unwrap();
    assert_eq!(
        decode(&asking(&[], &key)),
        Err(InvalidSigningRequest::Identity(PeerIdentityError::NoUri))
    );
    assert_eq!(
        decode(&asking(&[A, A], &key)),
        Err(InvalidSigningRequest::Identity(PeerIdentityError::SeveralUris(2)))
    );
    let other = decode(&asking(&["https://example.com"], &key)).unwrap_err();
    assert!(matches!(
        other,
        InvalidSigningRequest::Identity(PeerIdentityError::NotAnIdentity(_))
    ));

    let mut params = params(&[A]);
    params
        .subject_alt_names
        .push(SanType::DnsName("istiod.istio-system.svc".try_into().unwrap()));
    let more = params.serialize_request(&key).unwrap().pem().unwrap();
    assert_eq!(decode(&more), Err(InvalidSigningRequest::OtherNames));

    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(decode(&asking(&[A], &p384)), Err(InvalidSigningRequest::KeyType));
}

#[test]
fn only_one_request_of_reasonable_size() {
    let (_, pem) = encode(&identity(A)).unwrap();
    assert_eq!(decode(&format!("{pem}{pem}")), Err(InvalidSigningRequest::Pem));
    assert_eq!(decode(""), Err(InvalidSigningRequest::Pem));
    let certificate = crate::fixtures::Authority::new().root_pem();
    assert_eq!(decode(&certificate), Err(InvalidSigningRequest::Pem));
    let long = " ".repeat(9000);
    assert_eq!(decode(&long), Err(InvalidSigningRequest::TooLong(9000)));
}

#[test]
fn whoever_asks_to_be_an_authority_gets_only_a_key_signed() {
    // Nothing but identity and key leaves the request, whatever else it asks for.
    let key = KeyPair::generate().unwrap();
    let mut params = params(&[A]);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    assert_eq!(decode(&pem).unwrap().identity(), &identity(A));
}

fn asking(uris: &[&str], key: &impl SigningKey) -> String {
    params(uris).serialize_request(key).unwrap().pem().unwrap()
}

fn params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()))
        .collect();
    params
}
