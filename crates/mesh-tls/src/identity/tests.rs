use super::*;
use crate::fixtures::{Authority, Leaf, identity};

const A: &str = "spiffe://cluster.local/ns/a/sa/client";

#[test]
fn the_only_uri_is_the_identity() {
    assert_eq!(read(Leaf::of(&[A])), Ok(identity(A)));
    // Names of other kinds say nothing.
    assert_eq!(read(Leaf::of(&[A]).dns("a.example")), Ok(identity(A)));
}

#[test]
fn anything_else_is_none() {
    assert_eq!(peer_identity(&[]), Err(PeerIdentityError::NoCertificate));
    assert_eq!(read(Leaf::of(&[])), Err(PeerIdentityError::NoUri));
    assert_eq!(
        read(Leaf::of(&[]).dns("a.example")),
        Err(PeerIdentityError::NoUri)
    );
    assert_eq!(read(Leaf::of(&[A, A])), Err(PeerIdentityError::SeveralUris(2)));
    let strange = [
        "https://example.com/",
        "spiffe://td/ns/a",
        "spiffe://td/ns/a/sa/",
        "spiffe://td/ns//sa/b",
    ];
    for uri in strange {
        let outcome = read(Leaf::of(&[uri]));
        assert!(
            matches!(outcome, Err(PeerIdentityError::NotAnIdentity(_))),
            "{uri}: {outcome:?}"
        );
    }
    for control in ["\0", "\n", "\u{7f}"] {
        let uri = format!("{A}{control}");
        assert_eq!(read(Leaf::of(&[&uri])), Err(PeerIdentityError::ControlCharacter));
    }
}

#[test]
fn broken_bytes_are_refused() {
    let whole = Authority::new().der(Leaf::of(&[A]));
    for len in 0..whole.len() {
        let part = CertificateDer::from(&whole[..len]);
        assert_eq!(peer_identity(&[part]), Err(PeerIdentityError::Malformed));
    }
    let mut longer = whole.to_vec();
    longer.push(0);
    assert_eq!(peer_identity(&[longer.into()]), Err(PeerIdentityError::Malformed));
}

fn read(leaf: Leaf) -> Result<Identity, PeerIdentityError> {
    peer_identity(&[Authority::new().der(leaf)])
}
