//! Paths made comparable (RFC 3986, section 6.2.2).

use std::borrow::Cow;

use crate::l7::policy::PathNormalization;

/// The path that policies, routes and the destination see; without a query. What does not begin with a slash (`*` of
/// OPTIONS) stays as it is.
///
/// Doing it twice changes nothing, so that nobody behind us reads another path out of the result: a `%` that encodes
/// nothing becomes `%25`. `%` itself, and slashes but for the mode that says so, stay encoded.
#[must_use]
pub fn normalize(path: &str, mode: PathNormalization) -> Cow<'_, str> {
    let (decode_slashes, merge) = match mode {
        PathNormalization::None => return path.into(),
        PathNormalization::Base => (false, false),
        PathNormalization::MergeSlashes => (false, true),
        PathNormalization::DecodeAndMergeSlashes => (true, true),
    };
    if !path.starts_with(['/', '\\']) || is_plain(path) {
        return path.into();
    }
    let decoded = decode(path, decode_slashes);
    let resolved = resolve_dots(&decoded);
    match merge {
        true => merge_slashes(&resolved).into(),
        false => resolved.into(),
    }
}

/// Whether there is nothing to do in any mode: the way of nearly all paths.
fn is_plain(path: &str) -> bool {
    let bytes = path.as_bytes();
    let pairs = bytes.windows(2).all(|pair| !matches!(pair, b"//" | b"/."));
    pairs && !bytes.iter().any(|byte| matches!(byte, b'%' | b'\\'))
}

/// Backslashes become slashes, what need not be encoded is decoded, and what must be is so in capitals.
fn decode(path: &str, decode_slashes: bool) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find(['%', '\\']) {
        decoded.push_str(&rest[..at]);
        let (special, tail) = rest.split_at(at).1.split_at(1);
        rest = tail;
        if special == "\\" {
            decoded.push('/');
            continue;
        }
        let Some(byte) = rest.get(..2).and_then(hex) else {
            decoded.push_str("%25");
            continue;
        };
        rest = &rest[2..];
        match byte {
            b'/' | b'\\' if decode_slashes => decoded.push('/'),
            byte if is_unreserved(byte) => decoded.push(char::from(byte)),
            byte => decoded.push_str(&format!("%{byte:02X}")),
        }
    }
    decoded.push_str(rest);
    decoded
}

fn hex(digits: &str) -> Option<u8> {
    let digits = digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(digits)?;
    u8::from_str_radix(digits, 16).ok()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986, section 5.2.4, of a path that begins with a slash.
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}

fn merge_slashes(path: &str) -> String {
    let mut merged = String::with_capacity(path.len());
    for part in path.split_inclusive('/') {
        if part != "/" || !merged.ends_with('/') {
            merged.push_str(part);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
