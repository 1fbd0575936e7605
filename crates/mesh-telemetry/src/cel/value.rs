//! What an evaluation gives.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::attributes::{HeaderSet, Type};

/// A value, as far as possible borrowed from what it was taken of.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A number with a fraction.
    Double(f64),
    /// Text.
    String(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A point in time: nanoseconds since 1970.
    Timestamp(i128),
    /// A span of time, in nanoseconds.
    Duration(i64),
    /// A list.
    List(Arc<[Self]>),
    /// A map, as its author wrote it down.
    Map(Arc<[(Self, Self)]>),
    /// Headers, which are looked up only when asked for.
    Headers(HeaderSet),
}

impl<'a> Value<'a> {
    /// Text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::String(text.into())
    }

    /// A point in time.
    #[must_use]
    pub fn time(time: SystemTime) -> Self {
        Self::Timestamp(OffsetDateTime::from(time).unix_timestamp_nanos())
    }

    /// A span of time.
    #[must_use]
    pub fn span(span: std::time::Duration) -> Self {
        Self::Duration(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A count.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::List,
            Self::Map(_) | Self::Headers(_) => Type::Map,
        }
    }

    /// Whether they are the same (CEL, "Equality": numbers of all types are compared as numbers, other types are never
    /// equal to each other).
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
            }
            (Self::Map(a), Self::Map(b)) => {
                let inside = |(key, value): &(Value<'a>, Value<'a>)| {
                    let mut found = b.iter().filter(|(k, _)| k.equals(key));
                    found.any(|(_, v)| v.equals(value))
                };
                a.len() == b.len() && a.iter().all(inside)
            }
            (Self::Headers(a), Self::Headers(b)) => a == b,
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }

    /// How they are ordered; absent where they are not.
    #[must_use]
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers are compared as CEL does: by value"
        )]
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Self::Uint(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Self::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Int(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Int(b)) => a.partial_cmp(&(*b as f64)),
            (Self::Uint(a), Self::Double(b)) => (*a as f64).partial_cmp(b),
            (Self::Double(a), Self::Uint(b)) => a.partial_cmp(&(*b as f64)),
            (Self::String(a), Self::String(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// As labels and tags have it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Uint(n) => write!(f, "{n}"),
            Self::Double(n) => write!(f, "{n}"),
            Self::String(text) => f.write_str(text),
            Self::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Self::Timestamp(nanos) => {
                let time = OffsetDateTime::from_unix_timestamp_nanos(*nanos).map_err(|_| fmt::Error)?;
                f.write_str(&time.format(&Rfc3339).map_err(|_| fmt::Error)?)
            }
            Self::Duration(nanos) => {
                let (seconds, rest) = (nanos / NANOS, (nanos % NANOS).unsigned_abs());
                let sign = if *nanos < 0 && seconds == 0 { "-" } else { "" };
                if rest == 0 {
                    return write!(f, "{sign}{seconds}s");
                }
                let fraction = format!("{rest:09}");
                write!(f, "{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
            }
            Self::List(items) => {
                f.write_str("[")?;
                for (n, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if n == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Map(_) | Self::Headers(_) => f.write_str("{}"),
        }
    }
}

const NANOS: i64 = 1_000_000_000;
