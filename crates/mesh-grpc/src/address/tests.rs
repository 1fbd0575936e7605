use super::*;

#[test]
fn the_forms_that_people_write() {
    let with_scheme: Address = "https://istiod.istio-system.svc:15012".parse().unwrap();
    assert_eq!(with_scheme.scheme(), Scheme::Https);
    assert_eq!(with_scheme.host(), "istiod.istio-system.svc");
    assert_eq!(with_scheme.port(), 15012);
    let bare: Address = "istiod.istio-system.svc:15012".parse().unwrap();
    assert_eq!(bare, with_scheme);
    let v6: Address = "https://[fd00::1]:15012/".parse().unwrap();
    assert_eq!(v6.host(), "fd00::1");
    assert_eq!(v6.to_string(), "https://[fd00::1]:15012");
    let local: Address = "http://127.0.0.1:15010".parse().unwrap();
    assert_eq!(local.scheme(), Scheme::Http);
}

#[test]
fn a_token_is_not_sent_in_the_clear_to_another_machine() {
    let refused = "http://istiod.istio-system.svc:15010".parse::<Address>();
    assert!(matches!(refused, Err(InvalidAddress::Plaintext(_))));
}

#[test]
fn malformed_addresses_are_named() {
    for bad in [
        "",
        "host",
        "host:",
        ":1",
        "host:0",
        "host:70000",
        "host:+80",
        "[::1:80",
        "a b:1",
        "https://a/b:1",
    ] {
        assert!(
            matches!(bad.parse::<Address>(), Err(InvalidAddress::Form(_))),
            "{bad}"
        );
    }
    assert!(matches!(
        "ftp://h:1".parse::<Address>(),
        Err(InvalidAddress::Scheme(_))
    ));
}
