//! Fuzz targets of what reads clients' first bytes and the ends of their requests.

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

const LIMIT: usize = 4096;

#[cfg(test)]
mod tests;
