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

fn example() -> Vec<u8> {
    let header = Header {
        source: "10.1.2.3:40000".parse().unwrap(),
        destination: "10.4.5.6:8080".parse().unwrap(),
        peer_identity: Some("spiffe://td/ns/a/sa/b"),
    };
    header.encode().unwrap()
}

#[test]
fn a_header_is_read_once_it_is_whole() {
    let header = example();
    for end in 0..header.len() {
        assert_eq!(decode(&header[..end]), Ok(Decoded::More), "{end}");
    }
    let Ok(Decoded::Proxied(length, proxied)) = decode(&[&header[..], b"GET /"].concat()) else {
        panic!("it is whole");
    };
    assert_eq!(length, header.len());
    assert_eq!(proxied.source, "10.1.2.3:40000".parse().unwrap());
    assert_eq!(proxied.destination, "10.4.5.6:8080".parse().unwrap());
    assert_eq!(proxied.peer_identity.as_deref(), Some("spiffe://td/ns/a/sa/b"));
    let mut local = header[..16].to_vec();
    local[12..16].copy_from_slice(&[0x20, 0, 0, 0]);
    assert_eq!(decode(&local), Ok(Decoded::Local(16)));
}

#[test]
fn what_is_no_header_is_named() {
    let with = |at: usize, byte: u8| {
        let mut header = example();
        header[at] = byte;
        decode(&header)
    };
    assert_eq!(decode(b"GET / HTTP/1.1\r\n"), Err(InvalidHeader::Signature));
    assert_eq!(decode(b"PROXY TCP4 1.2.3.4"), Err(InvalidHeader::Signature));
    assert_eq!(with(12, 0x11), Err(InvalidHeader::Command(0x11)));
    assert_eq!(with(13, 0x12), Err(InvalidHeader::Family(0x12)));
    assert_eq!(with(14, 0xff), Err(InvalidHeader::TooLong(0xff00 + 16 + 36)));
    assert_eq!(with(15, 8), Err(InvalidHeader::CutOff));
    assert_eq!(with(30, 200), Err(InvalidHeader::CutOff));
    assert_eq!(with(31, 0xff), Err(InvalidHeader::Identity));
}

#[test]
fn no_input_breaks_it() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proxy-protocol");
    let corpus = mesh_types::fuzzing::corpus(&dir);
    mesh_types::fuzzing::mutations(&corpus, 1, 20_000).for_each(|data| fuzz(&data));
}
