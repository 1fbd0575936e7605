//! The server name in a ClientHello (RFC 8446, section 4.1.2; RFC 6066, section 3), read without trusting any length.

use super::{Clue, Spoken};

/// The content type of a handshake record.
pub(super) const HANDSHAKE: u8 = 22;

/// What bytes that begin like a handshake record are.
pub(super) fn classify(first: &[u8]) -> Clue {
    let header = [first.get(1), first.get(2), first.get(5)];
    match header {
        // Version 3.x, then a ClientHello.
        [Some(major), _, _] if *major != 3 => return Clue::Is(Spoken::Tcp),
        [_, _, Some(kind)] if *kind != CLIENT_HELLO => return Clue::Is(Spoken::Tcp),
        [_, _, None] => return Clue::More,
        _ => {}
    }
    let Some(hello) = assemble(first) else {
        return Clue::More;
    };
    Clue::Is(Spoken::Tls(server_name(&hello)))
}

/// The ClientHello's body, out of as many records as it takes; absent while some of it is missing.
fn assemble(mut records: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let length = usize::from(u16::from_be_bytes([*records.get(3)?, *records.get(4)?]));
        if records[0] != HANDSHAKE || length == 0 {
            // It will never be complete: what is there must do.
            return Some(message.get(4..).unwrap_or_default().to_vec());
        }
        message.extend_from_slice(records.get(5..5 + length)?);
        if let [_, a, b, c, body @ ..] = message.as_slice() {
            let wanted = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if let Some(body) = body.get(..wanted) {
                return Some(body.to_vec());
            }
        }
        records = &records[5 + length..];
    }
}

fn server_name(hello: &[u8]) -> Option<String> {
    // Version and random.
    let rest = hello.get(2 + 32..)?;
    let (_session, rest) = sized::<1>(rest)?;
    let (_suites, rest) = sized::<2>(rest)?;
    let (_compression, rest) = sized::<1>(rest)?;
    let (mut extensions, _) = sized::<2>(rest)?;
    while let [a, b, rest @ ..] = extensions {
        let (content, rest) = sized::<2>(rest)?;
        if u16::from_be_bytes([*a, *b]) == SERVER_NAME {
            let (list, _) = sized::<2>(content)?;
            let [0, name @ ..] = list else { return None };
            let (name, _) = sized::<2>(name)?;
            let name = std::str::from_utf8(name).ok()?;
            return Some(name.to_ascii_lowercase());
        }
        extensions = rest;
    }
    None
}

/// What stands behind a length of `N` bytes, and the rest.
fn sized<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(N)?;
    let length = length.iter().fold(0, |sum, b| sum << 8 | usize::from(*b));
    rest.split_at_checked(length)
}

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
