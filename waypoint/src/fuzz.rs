//! Fuzz targets of what reads clients' first bytes and the ends of their requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::body::web::messages::Messages;
use crate::body::web::text::Text;
use crate::detect::{Clue, classify};
use crate::proxy::http::framing::Framing;

/// However the bytes come in pieces, requests end at the same places, or are refused for the same reason.
///
/// # Panics
/// When they are not.
pub fn http1_framing(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let mut whole = Framing::new(LIMIT);
    let at_once = whole.feed(data);
    let mut pieces = Framing::new(LIMIT);
    let mut passed = Ok(0);
    for piece in data.chunks(usize::from(cut % 16) + 1) {
        passed = match (passed, pieces.feed(piece)) {
            (Ok(before), Ok(more)) => Ok(before + more),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        if passed.is_err() {
            break;
        }
    }
    assert_eq!(at_once, passed);
    assert_eq!(
        at_once.is_ok_and(|_| whole.is_held()),
        passed.is_ok_and(|_| pieces.is_held())
    );
}

/// What is known of a beginning stays so with whatever follows.
///
/// # Panics
/// When it does not.
pub fn detect(data: &[u8]) {
    let mut known: Option<Clue> = None;
    for end in 0..=data.len() {
        let clue = classify(&data[..end]);
        if let Some(known) = &known {
            assert_eq!(known, &clue);
        } else if clue != Clue::More {
            known = Some(clue);
        }
    }
}

/// However the bytes of gRPC-web come in pieces, they mean the same messages, in base64 as well.
///
/// # Panics
/// When they do not.
pub fn grpc_web(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let length = usize::from(cut % 16) + 1;
    let (mut whole, mut pieces) = (Messages::default(), Messages::default());
    let at_once = whole.feed(data);
    let passed = data.chunks(length).try_for_each(|piece| pieces.feed(piece));
    assert_eq!(at_once, passed);
    assert!(at_once.is_err() || whole == pieces);
    let (mut whole, mut pieces) = (Text::default(), Text::default());
    let at_once = whole.read(data);
    let passed: Result<Vec<Bytes>, _> = data.chunks(length).map(|piece| pieces.read(piece)).collect();
    assert_eq!(at_once, passed.map(|bytes| Bytes::from(bytes.concat())));
    assert!(at_once.is_err() || whole == pieces);
    let written = STANDARD.encode(data);
    let read = Text::default().read(written.as_bytes());
    assert_eq!(read.as_deref(), Ok(data), "what is written is read");
    // What another reader takes means the same to it.
    if whole.is_between()
        && let Ok(known) = STANDARD.decode(data)
    {
        assert_eq!(at_once.as_deref(), Ok(&known[..]));
    }
}

const LIMIT: usize = 4096;

#[cfg(test)]
mod tests;
