//! What numbers, names and texts must be like, before anything is built on them.

use std::time::Duration;

use mesh_types::Strng;

use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::Pattern;
use crate::port::decode_port_number;

/// A text that says something.
pub(in crate::l7) fn text(value: &str) -> Result<Strng, Problem> {
    match value {
        "" => Err(Problem::Empty),
        value => Ok(value.into()),
    }
}

/// A part of a name whose parts a slash divides.
pub(in crate::l7) fn name(value: &str) -> Result<Strng, Problem> {
    match value.contains('/') {
        true => Err(Problem::Slash(value.to_owned())),
        false => text(value),
    }
}

/// As [`name`], or nothing.
pub(in crate::l7) fn name_or_empty(value: &str) -> Result<Strng, Problem> {
    match value {
        "" => Ok(Strng::default()),
        value => name(value),
    }
}

/// A text that is absent or passes a check.
pub(in crate::l7) fn maybe(
    field: &str,
    value: Option<&String>,
    check: impl Fn(&str) -> Result<Strng, Problem>,
) -> Result<Option<Strng>, FieldProblem> {
    value.map(|v| check(v)).transpose().field(field)
}

/// Texts that each pass a check.
pub(in crate::l7) fn each(
    field: &str,
    values: &[String],
    check: impl Fn(&str) -> Result<Strng, Problem>,
) -> Result<Vec<Strng>, FieldProblem> {
    items(field, values, |v| check(v))
}

/// At least one.
pub(in crate::l7) fn some<T>(field: &str, values: Vec<T>) -> Result<Vec<T>, FieldProblem> {
    match values.is_empty() {
        true => Err(Problem::Empty).field(field),
        false => Ok(values),
    }
}

/// A port that can be dialled.
pub(in crate::l7) fn port(number: u32) -> Result<u16, Problem> {
    match decode_port_number(number)? {
        0 => Err(Problem::Port(0)),
        port => Ok(port),
    }
}

/// A number up to a bound.
pub(in crate::l7) fn at_most(number: u32, most: u32) -> Result<u32, Problem> {
    match number <= most {
        true => Ok(number),
        false => Err(Problem::Above { number, most }),
    }
}

/// A number that is not 0.
pub(in crate::l7) fn not_zero(number: u32) -> Result<u32, Problem> {
    match number {
        0 => Err(Problem::Zero),
        number => Ok(number),
    }
}

/// A part, in per cent.
pub(in crate::l7) fn percent(number: u32) -> Result<u32, Problem> {
    at_most(number, 100)
}

/// A share, relative to others'.
pub(in crate::l7) fn weight(number: u32) -> Result<u32, Problem> {
    at_most(number, MAX_WEIGHT)
}

/// The status of an HTTP answer that is no interim one.
pub(in crate::l7) fn status(number: u32) -> Result<u16, Problem> {
    match u16::try_from(number) {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(Problem::Status(number)),
    }
}

/// A status of gRPC ("Status codes and their use in gRPC").
pub(in crate::l7) fn grpc_status(number: u32) -> Result<u8, Problem> {
    match u8::try_from(number) {
        Ok(status @ 0..=16) => Ok(status),
        _ => Err(Problem::GrpcStatus(number)),
    }
}

/// A time that is not 0.
pub(in crate::l7) fn some_time(time: Duration) -> Result<Duration, Problem> {
    match time.is_zero() {
        true => Err(Problem::Zero),
        false => Ok(time),
    }
}

/// A token (RFC 9110, section 5.6.2).
pub(in crate::l7) fn token(value: &str) -> Result<Strng, Problem> {
    let in_token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    match !value.is_empty() && value.bytes().all(in_token) {
        true => Ok(value.into()),
        false => Err(Problem::Token(value.to_owned())),
    }
}

/// The name of a header, in lower case (RFC 9113, section 8.2.1).
pub(in crate::l7) fn header(value: &str) -> Result<Strng, Problem> {
    match value.bytes().any(|c| c.is_ascii_uppercase()) {
        true => Err(Problem::Header(value.to_owned())),
        false => token(value).map_err(|_| Problem::Header(value.to_owned())),
    }
}

/// The value of a header: nothing that could end it (RFC 9110, section 5.5).
pub(in crate::l7) fn header_value(value: &str) -> Result<Strng, Problem> {
    match value.bytes().any(|c| c != b'\t' && c.is_ascii_control()) {
        true => Err(Problem::HeaderValue(value.to_owned())),
        false => Ok(value.into()),
    }
}

/// A host to ask for, which becomes `Host`, `:authority` or a part of a URI.
pub(in crate::l7) fn authority(value: &str) -> Result<Strng, Problem> {
    let in_authority = |c: u8| c.is_ascii_alphanumeric() || b"-._~:[]%".contains(&c);
    match !value.is_empty() && value.bytes().all(in_authority) {
        true => Ok(value.into()),
        false => Err(Problem::Host(value.to_owned())),
    }
}

/// A host name, in lower case.
pub(in crate::l7) fn host(value: &str) -> Result<Strng, Problem> {
    let in_host = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._".contains(&c);
    match !value.is_empty() && value.bytes().all(in_host) {
        true => Ok(value.into()),
        false => Err(Problem::Host(value.to_owned())),
    }
}

/// A host name, or `*.` in front of one.
pub(in crate::l7) fn host_pattern(value: &str) -> Result<Strng, Problem> {
    match host(value.strip_prefix("*.").unwrap_or(value)) {
        Ok(_) => Ok(value.into()),
        Err(_) => Err(Problem::Host(value.to_owned())),
    }
}

/// A path from the root.
pub(in crate::l7) fn path(value: &str) -> Result<Strng, Problem> {
    match value.starts_with('/') && !value.bytes().any(|c| c.is_ascii_control()) {
        true => Ok(value.into()),
        false => Err(Problem::Path(value.to_owned())),
    }
}

/// A path from the root without a slash at its end, but for the root.
pub(in crate::l7) fn segments(value: &str) -> Result<Strng, Problem> {
    match value.len() > 1 && value.ends_with('/') {
        true => Err(Problem::Path(value.to_owned())),
        false => path(value),
    }
}

/// What a path becomes, or a part of one.
pub(in crate::l7) fn path_part(value: &str) -> Result<Strng, Problem> {
    match value.bytes().any(|c| c.is_ascii_control()) {
        true => Err(Problem::Path(value.to_owned())),
        false => Ok(value.into()),
    }
}

/// `http` or `https`.
pub(in crate::l7) fn scheme(value: &str) -> Result<Strng, Problem> {
    match value {
        "http" | "https" => Ok(value.into()),
        _ => Err(Problem::Scheme(value.to_owned())),
    }
}

/// Where something can be fetched.
pub(in crate::l7) fn uri(value: &str) -> Result<Strng, Problem> {
    let (before, _) = value.split_once("://").unwrap_or((value, ""));
    let readable = !value.bytes().any(|c| c.is_ascii_control() || c == b' ');
    match scheme(before).is_ok() && readable && value.len() > before.len() + "://".len() {
        true => Ok(value.into()),
        false => Err(Problem::Uri(value.to_owned())),
    }
}

/// A regular expression that must match as a whole.
pub(in crate::l7) fn pattern(value: &str) -> Result<Pattern, Problem> {
    Pattern::new(value).map_err(Problem::Pattern)
}

/// Also as a sum no overflow.
const MAX_WEIGHT: u32 = 1_000_000;
