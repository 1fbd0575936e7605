use super::*;
use crate::fixtures::Authority;

#[test]
fn certificates_come_in_order_past_other_blocks() {
    let (a, b) = (Authority::new().root_pem(), Authority::new().root_pem());
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let all = certificates(&format!("a comment\n{a}{key}{b}")).unwrap();
    assert_eq!(
        all,
        [certificates(&a).unwrap(), certificates(&b).unwrap()].concat()
    );
}

#[test]
fn text_without_certificates_is_refused() {
    assert_eq!(certificates(""), Err(InvalidPem::Empty));
    assert_eq!(certificates("nonsense"), Err(InvalidPem::Empty));
    let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    assert_eq!(certificates(broken), Err(InvalidPem::Broken));
    let cut = Authority::new()
        .root_pem()
        .replace("-----END CERTIFICATE-----", "");
    assert_eq!(certificates(&cut), Err(InvalidPem::Broken));
    assert_eq!(certificates(&" ".repeat(MAX_PEM + 1)), Err(InvalidPem::TooLong));
}
