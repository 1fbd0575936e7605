//! What is counted apart.

use std::fmt;
use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

/// What is counted apart: a domain and the entries of a descriptor, as one text of bounded length. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Of names and values, in their order. Equal only for equal entries, but for those of more than [`LONGEST`] bytes
    /// that two hashes call equal.
    #[must_use]
    pub fn new<'e>(domain: &str, entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Self {
        let mut text = String::with_capacity(64);
        escaped(&mut text, domain);
        for (name, value) in entries {
            text.push('|');
            escaped(&mut text, name);
            text.push('=');
            escaped(&mut text, value);
        }
        Self::short(text)
    }

    /// What everything is counted as that a limit has no room to count apart.
    #[must_use]
    pub(crate) fn together(domain: &str, limit: &str) -> Self {
        let mut text = String::new();
        escaped(&mut text, domain);
        // No descriptor's: theirs begin with a name, which is followed by `=`.
        text.push_str("|*|");
        escaped(&mut text, limit);
        Self::short(text)
    }

    /// As a log has it.
    pub(crate) fn of_log(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        (!text.is_empty() && text.len() <= LONGEST).then(|| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn short(mut text: String) -> Self {
        if text.len() > LONGEST {
            let rest = [1, 2].map(|seed| xxh64(text.as_bytes(), seed));
            let mut end = LONGEST - DIGEST;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(&format!("#{:016x}{:016x}", rest[0], rest[1]));
        }
        Self(text.into())
    }
}

/// What separates entries stands in none of them.
fn escaped(text: &mut String, part: &str) {
    for c in part.chars() {
        match c {
            '|' => text.push_str("%7C"),
            '=' => text.push_str("%3D"),
            '#' => text.push_str("%23"),
            '%' => text.push_str("%25"),
            c if c.is_control() => text.push_str(&format!("%{:02X}", u32::from(c))),
            c => text.push(c),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes of a key: what clients send does not decide how much memory a counter takes.
pub const LONGEST: usize = 512;
/// `#` and two hashes.
const DIGEST: usize = 33;

#[cfg(test)]
mod tests;
