//! What can be called.

use std::borrow::Cow;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::evaluate::Run;
use super::{EvaluationError, InvalidExpression, Value};
use crate::attributes::Type;

/// A function, as it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    LowerAscii,
    UpperAscii,
    Trim,
    ToString,
    ToInt,
    ToUint,
    ToDouble,
    ToBool,
    ToDuration,
    ToTimestamp,
    GetFullYear,
    GetMonth,
    GetDayOfWeek,
    GetHours,
    GetMinutes,
    GetSeconds,
    GetMilliseconds,
}

/// What can be called, for people.
pub const FUNCTIONS: &[(&str, &str)] = &[
    (
        "size(x)",
        "How many: characters of a text, elements of a list or map.",
    ),
    ("x.startsWith(y)", "Whether a text begins so."),
    ("x.endsWith(y)", "Whether a text ends so."),
    ("x.contains(y)", "Whether a text has this in it."),
    (
        "x.matches(y)",
        "Whether a part of a text matches a regular expression.",
    ),
    ("x.lowerAscii()", "A text with small letters."),
    ("x.upperAscii()", "A text with capital letters."),
    ("x.trim()", "A text without the white space at its ends."),
    ("string(x)", "A value as text."),
    (
        "int(x)",
        "A number or text as a signed integer; a timestamp as seconds.",
    ),
    ("uint(x)", "A number or text as an unsigned integer."),
    ("double(x)", "A number or text as a number with a fraction."),
    ("bool(x)", "`'true'` or `'false'` as such."),
    ("duration(x)", "A text such as `'1h30m'` as a span of time."),
    (
        "timestamp(x)",
        "A text (RFC 3339) or seconds since 1970 as a point in time.",
    ),
    ("x.getFullYear()", "The year of a timestamp, in UTC."),
    ("x.getMonth()", "The month of a timestamp, from 0."),
    ("x.getDayOfWeek()", "The day of the week, from 0 for Sunday."),
    ("x.getHours()", "The hour of a timestamp; all hours of a span."),
    (
        "x.getMinutes()",
        "The minute of a timestamp; all minutes of a span.",
    ),
    (
        "x.getSeconds()",
        "The second of a timestamp; all seconds of a span.",
    ),
    (
        "x.getMilliseconds()",
        "The milliseconds of a timestamp; all milliseconds of a span.",
    ),
];

/// The function of this name with so many arguments, the receiver among them; and what it gives.
pub(super) fn find(name: &str, arguments: usize, receiver: bool) -> Option<(Function, Type)> {
    let found = match (name, arguments, receiver) {
        ("size", 1, _) => (Function::Size, Type::Int),
        ("startsWith", 2, true) => (Function::StartsWith, Type::Bool),
        ("endsWith", 2, true) => (Function::EndsWith, Type::Bool),
        ("contains", 2, true) => (Function::Contains, Type::Bool),
        ("lowerAscii", 1, true) => (Function::LowerAscii, Type::String),
        ("upperAscii", 1, true) => (Function::UpperAscii, Type::String),
        ("trim", 1, true) => (Function::Trim, Type::String),
        ("string", 1, false) => (Function::ToString, Type::String),
        ("int", 1, false) => (Function::ToInt, Type::Int),
        ("uint", 1, false) => (Function::ToUint, Type::Uint),
        ("double", 1, false) => (Function::ToDouble, Type::Double),
        ("bool", 1, false) => (Function::ToBool, Type::Bool),
        ("duration", 1, false) => (Function::ToDuration, Type::Duration),
        ("timestamp", 1, false) => (Function::ToTimestamp, Type::Timestamp),
        ("getFullYear", 1, true) => (Function::GetFullYear, Type::Int),
        ("getMonth", 1, true) => (Function::GetMonth, Type::Int),
        ("getDayOfWeek", 1, true) => (Function::GetDayOfWeek, Type::Int),
        ("getHours", 1, true) => (Function::GetHours, Type::Int),
        ("getMinutes", 1, true) => (Function::GetMinutes, Type::Int),
        ("getSeconds", 1, true) => (Function::GetSeconds, Type::Int),
        ("getMilliseconds", 1, true) => (Function::GetMilliseconds, Type::Int),
        _ => return None,
    };
    Some(found)
}

/// A pattern of `matches`.
pub(super) fn pattern(text: &str) -> Result<Regex, InvalidExpression> {
    RegexBuilder::new(text)
        .size_limit(MAX_PATTERN)
        .build()
        .map_err(|e| InvalidExpression::Pattern(e.to_string()))
}

pub(super) fn call<'a>(
    run: &mut Run<'a>,
    function: Function,
    arguments: &[Value<'a>],
) -> Result<Value<'a>, EvaluationError> {
    use Function as F;
    let first = &arguments[0];
    match function {
        F::Size => size(run, first),
        F::StartsWith | F::EndsWith | F::Contains => {
            let (Value::String(text), Value::String(part)) = (first, &arguments[1]) else {
                return Err(EvaluationError::NoSuchOverload);
            };
            run.charge_bytes(text.len())?;
            Ok(Value::Bool(match function {
                F::StartsWith => text.starts_with(part.as_ref()),
                F::EndsWith => text.ends_with(part.as_ref()),
                _ => text.contains(part.as_ref()),
            }))
        }
        F::LowerAscii | F::UpperAscii | F::Trim => {
            let Value::String(text) = first else {
                return Err(EvaluationError::NoSuchOverload);
            };
            run.charge_bytes(text.len())?;
            Ok(Value::text(match function {
                F::LowerAscii => text.to_ascii_lowercase(),
                F::UpperAscii => text.to_ascii_uppercase(),
                _ => text.trim().to_owned(),
            }))
        }
        F::ToString => to_string(run, first),
        F::ToInt => to_int(first).map(Value::Int),
        F::ToUint => to_uint(first).map(Value::Uint),
        F::ToDouble => to_double(first).map(Value::Double),
        F::ToBool => match first {
            Value::Bool(b) => Ok(Value::Bool(*b)),
            Value::String(text) => match text.as_ref() {
                "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
                "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
                _ => Err(EvaluationError::Conversion),
            },
            _ => Err(EvaluationError::NoSuchOverload),
        },
        F::ToDuration => match first {
            Value::Duration(_) => Ok(first.clone()),
            Value::String(text) => parse_duration(text)
                .map(Value::Duration)
                .ok_or(EvaluationError::Conversion),
            _ => Err(EvaluationError::NoSuchOverload),
        },
        F::ToTimestamp => match first {
            Value::Timestamp(_) => Ok(first.clone()),
            Value::Int(seconds) => timestamp(i128::from(*seconds) * NANOS),
            Value::String(text) => {
                let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| EvaluationError::Conversion)?;
                Ok(Value::Timestamp(time.unix_timestamp_nanos()))
            }
            _ => Err(EvaluationError::NoSuchOverload),
        },
        F::GetFullYear
        | F::GetMonth
        | F::GetDayOfWeek
        | F::GetHours
        | F::GetMinutes
        | F::GetSeconds
        | F::GetMilliseconds => part_of_time(function, first),
    }
}

fn size<'a>(run: &mut Run<'a>, value: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
    let size = match value {
        Value::String(text) => {
            run.charge_bytes(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(items) => items.len(),
        Value::Headers(set) => run.attributes().header_names(*set).len(),
        _ => return Err(EvaluationError::NoSuchOverload),
    };
    Ok(Value::count(size as u64))
}

fn to_string<'a>(run: &mut Run<'a>, value: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
    let text: Cow<'a, str> = match value {
        Value::String(text) => text.clone(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text.to_owned()),
            Err(_) => return Err(EvaluationError::Conversion),
        },
        Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::Timestamp(_)
        | Value::Duration(_) => Cow::Owned(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) | Value::Headers(_) => {
            return Err(EvaluationError::NoSuchOverload);
        }
    };
    run.charge_bytes(text.len())?;
    Ok(Value::String(text))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the range is checked before; fractions are cut off as CEL does"
)]
fn to_int(value: &Value<'_>) -> Result<i64, EvaluationError> {
    match value {
        Value::Int(n) => Ok(*n),
        Value::Uint(n) => i64::try_from(*n).map_err(|_| EvaluationError::Arithmetic),
        Value::Double(n) if *n > i64::MIN as f64 && *n < i64::MAX as f64 => Ok(*n as i64),
        Value::Double(_) => Err(EvaluationError::Arithmetic),
        Value::Timestamp(nanos) => Ok((nanos.div_euclid(NANOS)) as i64),
        Value::String(text) => text.parse().map_err(|_| EvaluationError::Conversion),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the range is checked before; fractions are cut off as CEL does"
)]
fn to_uint(value: &Value<'_>) -> Result<u64, EvaluationError> {
    match value {
        Value::Uint(n) => Ok(*n),
        Value::Int(n) => u64::try_from(*n).map_err(|_| EvaluationError::Arithmetic),
        Value::Double(n) if *n >= 0.0 && *n < u64::MAX as f64 => Ok(*n as u64),
        Value::Double(_) => Err(EvaluationError::Arithmetic),
        Value::String(text) => text.parse().map_err(|_| EvaluationError::Conversion),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

#[expect(clippy::cast_precision_loss, reason = "as CEL does")]
fn to_double(value: &Value<'_>) -> Result<f64, EvaluationError> {
    match value {
        Value::Double(n) => Ok(*n),
        Value::Int(n) => Ok(*n as f64),
        Value::Uint(n) => Ok(*n as f64),
        Value::String(text) => text.parse().map_err(|_| EvaluationError::Conversion),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

/// Within the years that RFC 3339 can write.
pub(super) fn timestamp<'a>(nanos: i128) -> Result<Value<'a>, EvaluationError> {
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .map(|_| Value::Timestamp(nanos))
        .map_err(|_| EvaluationError::Arithmetic)
}

fn part_of_time<'a>(function: Function, value: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
    use Function as F;
    let number = match value {
        Value::Timestamp(nanos) => {
            let time =
                OffsetDateTime::from_unix_timestamp_nanos(*nanos).map_err(|_| EvaluationError::Arithmetic)?;
            match function {
                F::GetFullYear => i64::from(time.year()),
                F::GetMonth => i64::from(u8::from(time.month())) - 1,
                F::GetDayOfWeek => i64::from(time.weekday().number_days_from_sunday()),
                F::GetHours => i64::from(time.hour()),
                F::GetMinutes => i64::from(time.minute()),
                F::GetSeconds => i64::from(time.second()),
                _ => i64::from(time.millisecond()),
            }
        }
        Value::Duration(nanos) => match function {
            F::GetHours => nanos / 3_600_000_000_000,
            F::GetMinutes => nanos / 60_000_000_000,
            F::GetSeconds => nanos / 1_000_000_000,
            F::GetMilliseconds => nanos / 1_000_000,
            _ => return Err(EvaluationError::NoSuchOverload),
        },
        _ => return Err(EvaluationError::NoSuchOverload),
    };
    Ok(Value::Int(number))
}

/// A span as CEL and Go write it: `-1h30m`, `1.5s`, `250ms`.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_length = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_length] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[unit_length..];
        total += number * unit;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (total.abs() < 9.2e18).then_some(if negative { -total } else { total } as i64)
}

/// A list of these.
pub(super) fn list(items: Vec<Value<'_>>) -> Value<'_> {
    Value::List(Arc::from(items))
}

pub(super) const NANOS: i128 = 1_000_000_000;
/// The compiled size of one pattern, in bytes.
const MAX_PATTERN: usize = 64 << 10;
