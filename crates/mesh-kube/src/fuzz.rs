//! Fuzz target of what an API server sends: lines of a watch in pieces, lists, and what is said of errors.

use http::StatusCode;
use serde_json::Value;

use crate::error::KubeError;
use crate::read::Page;
use crate::watch::line::{self, Lines};

/// Feeds the bytes to every reader of outside bytes of this crate.
///
/// # Panics
/// When the same bytes in other pieces give other lines.
pub fn fuzz(data: &[u8]) {
    let size = usize::from(data.first().copied().unwrap_or(0)) + 1;
    assert_eq!(cut(data, size), cut(data, data.len().max(1)));
    for line in cut(data, size) {
        // Errors are answers, too.
        drop(line::read::<Value>(&line));
    }
    if let Ok(page) = serde_json::from_slice::<Page<'_>>(data) {
        for item in page.items.unwrap_or_default() {
            drop(line::object::<Value>(item.get().as_bytes()));
        }
    }
    drop(KubeError::of_answer(StatusCode::CONFLICT, data).to_string());
}

fn cut(data: &[u8], size: usize) -> Vec<bytes::Bytes> {
    let mut lines = Lines::default();
    let mut found = Vec::new();
    for piece in data.chunks(size) {
        lines.push(piece);
        while let Ok(Some(line)) = lines.next_line() {
            found.push(line);
        }
    }
    found
}

#[cfg(test)]
mod tests;
