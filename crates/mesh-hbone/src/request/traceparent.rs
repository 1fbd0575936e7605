//! The `traceparent` header: the id under which both ends log one connection (W3C Trace Context, section 3.2).

use std::fmt;

use http::header::HeaderValue;

/// A trace id and a parent id, version 00.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Traceparent {
    trace: u128,
    parent: u64,
    flags: u8,
}

impl Traceparent {
    /// A fresh one, not sampled. It identifies; it need not be unpredictable.
    #[must_use]
    pub fn random() -> Self {
        Self {
            trace: fastrand::u128(1..),
            parent: fastrand::u64(1..),
            flags: 0,
        }
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> u128 {
        self.trace
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let mut parts = text.split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let shape = [version.len(), trace.len(), parent.len(), flags.len()];
        let lower_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f' | b'-');
        if version != "00" || shape != [2, 32, 16, 2] || !text.bytes().all(lower_hex) {
            return None;
        }
        let trace = u128::from_str_radix(trace, 16).ok().filter(|t| *t != 0)?;
        let parent = u64::from_str_radix(parent, 16).ok().filter(|p| *p != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Self { trace, parent, flags })
    }

    pub(super) fn to_header(self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string()).expect("hexadecimal digits and dashes are a header value")
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.parent, self.flags
        )
    }
}

const LENGTH: usize = 55;
