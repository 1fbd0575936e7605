use super::*;

#[test]
fn ipv4_with_identity() {
    let header = Header {
        source: "10.1.2.3:40000".parse().unwrap(),
        destination: "10.4.5.6:8080".parse().unwrap(),
        peer_identity: Some("spiffe://td/ns/a/sa/b"),
    };
    let bytes = header.encode().unwrap();
    assert_eq!(bytes[..12], *b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a");
    assert_eq!(bytes[12..16], [0x21, 0x11, 0, 12 + 3 + 21]);
    assert_eq!(bytes[16..24], [10, 1, 2, 3, 10, 4, 5, 6]);
    assert_eq!(bytes[24..28], [0x9c, 0x40, 0x1f, 0x90]);
    assert_eq!(bytes[28..31], [0xd0, 0, 21]);
    assert_eq!(bytes[31..], *b"spiffe://td/ns/a/sa/b");
}

#[test]
fn ipv6_and_mixed_families() {
    let header = |source: &str, destination: &str| {
        let header = Header {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            peer_identity: None,
        };
        header.encode().unwrap()
    };
    let v6 = header("[2001:db8::1]:1", "[2001:db8::2]:2");
    assert_eq!(v6[12..16], [0x21, 0x21, 0, 36]);
    assert_eq!(v6.len(), 16 + 36);
    let mixed = header("10.0.0.1:1", "[2001:db8::2]:2");
    assert_eq!(
        mixed[16..32],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]
    );
    // A dual-stack socket's mapped addresses are IPv4.
    assert_eq!(header("[::ffff:10.0.0.1]:1", "10.0.0.2:2")[13], 0x11);
}

#[test]
fn an_identity_is_sent_whole_or_not_at_all() {
    let encode = |len: usize| {
        let identity = "x".repeat(len);
        let addr = "10.0.0.1:1".parse().unwrap();
        let header = Header {
            source: addr,
            destination: addr,
            peer_identity: Some(&identity),
        };
        header.encode().map(|bytes| bytes.len())
    };
    let most = usize::from(u16::MAX) - 12 - 3;
    assert_eq!(encode(most), Ok(16 + usize::from(u16::MAX)));
    assert_eq!(encode(most + 1), Err(IdentityTooLong(most + 1)));
    assert_eq!(encode(100_000), Err(IdentityTooLong(100_000)));
}
