use super::*;

#[test]
fn keys_are_read_and_never_printed() {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let key = PrivateKey::from_pem(&pem).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    let again = PrivateKey::from_pkcs8_der(key.expose_pkcs8_der().to_vec()).unwrap();
    assert_eq!(again.expose_pkcs8_der(), key.expose_pkcs8_der());
}

#[test]
fn other_things_are_no_keys() {
    assert_eq!(PrivateKey::from_pem("nonsense").unwrap_err(), InvalidPrivateKey);
    assert_eq!(
        PrivateKey::from_pkcs8_der(vec![1, 2, 3]).unwrap_err(),
        InvalidPrivateKey
    );
    let certificate = crate::fixtures::Authority::new().root_pem();
    assert_eq!(PrivateKey::from_pem(&certificate).unwrap_err(), InvalidPrivateKey);
}
