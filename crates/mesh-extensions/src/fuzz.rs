//! One fuzz target for every decoder: whatever the bytes, the answer is a value or a named error, and a value survives
//! its own encoding. Corpus in `fuzz/corpus/<target>/`.

use crate::authorization::{Check, Checked};
use crate::framing::{Reader, single};
use crate::processing::{Processed, Sent};
use crate::rate_limit::{Counted, Hit};

/// Everything that a service is asked or answers.
pub fn messages(data: &[u8]) {
    if let Ok(value) = Check::decode(data) {
        assert_eq!(Check::decode(&value.encode()), Ok(value));
    }
    if let Ok(value) = Checked::decode(data) {
        assert_eq!(Checked::decode(&value.encode()), Ok(value));
    }
    if let Ok(value) = Hit::decode(data) {
        assert_eq!(Hit::decode(&value.encode()), Ok(value));
    }
    if let Ok(value) = Counted::decode(data) {
        assert_eq!(Counted::decode(&value.encode()), Ok(value));
    }
    if let Ok(value) = Sent::decode(data) {
        assert_eq!(Sent::decode(&value.encode()), Ok(value));
    }
    if let Ok(value) = Processed::decode(data) {
        assert_eq!(Processed::decode(&value.encode()), Ok(value));
    }
}

/// A body of messages, in one piece and byte by byte.
pub fn framing(data: &[u8]) {
    let read = |size: usize| {
        let (mut reader, mut messages) = (Reader::new(4096), Vec::new());
        for piece in data.chunks(size.max(1)) {
            reader.push(piece);
            loop {
                match reader.message() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(error) => return (messages, Some(error)),
                }
            }
        }
        (messages, None)
    };
    let whole = read(data.len());
    assert_eq!(whole, read(1));
    if let Ok(message) = single(data, 4096) {
        assert_eq!(whole.0, [message]);
    }
}

#[cfg(test)]
mod tests;
