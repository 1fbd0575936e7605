//! Query strings (WHATWG URL, section 5.1, "application/x-www-form-urlencoded parsing").

use std::borrow::Cow;

/// Names and values in order, decoded; what is behind a `%` that is no byte stays as it is.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match byte {
            b'+' => (b' ', tail),
            b'%' => encoded_byte(tail).unwrap_or((byte, tail)),
            _ => (byte, tail),
        };
        decoded.push(byte);
        rest = tail;
    }
    match String::from_utf8(decoded) {
        Ok(decoded) => decoded.into(),
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned().into(),
    }
}

/// The byte that two hexadecimal digits mean, and what follows.
fn encoded_byte(digits: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, tail) = digits.split_at_checked(2)?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = value(digits[0])? * 16 + value(digits[1])?;
    Some((u8::try_from(byte).ok()?, tail))
}
