//! From text to parts.

use super::operator::{Argument, Operator, headers};
use super::{InvalidFormat, Part};

pub(super) fn parse(text: &str) -> Result<Vec<Part>, InvalidFormat> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            plain.push('%');
            rest = after;
            continue;
        }
        let end = end_of(rest).ok_or_else(|| InvalidFormat::Unfinished(start_of(rest)))?;
        let operator = operator(&rest[..end])?;
        rest = &rest[end + 1..];
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain).into()));
        }
        parts.push(Part::Operator(operator));
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain.into()));
    }
    Ok(parts)
}

/// Where an operator ends: at the next per cent sign that is not in parentheses.
fn end_of(rest: &str) -> Option<usize> {
    let mut inside = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => inside = true,
            b')' => inside = false,
            b'%' if !inside => return Some(at),
            _ => {}
        }
    }
    None
}

fn start_of(rest: &str) -> String {
    rest.chars().take(40).collect()
}

/// `NAME`, `NAME(argument)`, and either with `:length`.
fn operator(text: &str) -> Result<Operator, InvalidFormat> {
    let name_end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    let (name, mut rest) = text.split_at(name_end);
    let wrong = |why| InvalidFormat::Argument {
        operator: text.to_owned(),
        why,
    };
    if name.is_empty() {
        return Err(InvalidFormat::UnknownOperator(text.to_owned()));
    }
    let mut argument = None;
    if let Some(inside) = rest.strip_prefix('(') {
        let end = inside
            .rfind(')')
            .ok_or_else(|| wrong("the parenthesis is not closed"))?;
        argument = Some(&inside[..end]);
        rest = &inside[end + 1..];
    }
    let mut length = None;
    if let Some(digits) = rest.strip_prefix(':') {
        let number = digits.parse().map_err(|_| wrong("the length is no number"))?;
        (length, rest) = (Some(number), "");
    }
    if !rest.is_empty() {
        return Err(wrong("there is something after it"));
    }
    let found = Operator::find(name, argument).map_err(|why| match why {
        Some(why) => wrong(why),
        None => InvalidFormat::UnknownOperator(text.to_owned()),
    })?;
    match (found, length) {
        (operator, None) => Ok(operator),
        (Operator::Text(argument, _), Some(length)) => Ok(Operator::Text(argument, Some(length))),
        _ => Err(wrong("it has no length")),
    }
}

/// `NAME?OTHER`: headers, of which the first that is there counts.
pub(super) fn header_argument(argument: Option<&str>) -> Result<headers::Names, Option<&'static str>> {
    let argument = argument.ok_or(Some("it takes the name of a header"))?;
    let mut names = argument.split('?');
    let name = |name: Option<&str>| match name {
        None => Ok(None),
        Some(name) => {
            let allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'(' | b')' | b'%' | b'?' | b'"');
            match !name.is_empty() && name.bytes().all(allowed) {
                true => Ok(Some(name.to_ascii_lowercase().into())),
                false => Err(Some("this is no name of a header")),
            }
        }
    };
    let first = name(names.next())?.ok_or(Some("it takes the name of a header"))?;
    let second = name(names.next())?;
    match names.next() {
        None => Ok(headers::Names { first, second }),
        Some(_) => Err(Some("two headers at most")),
    }
}

/// An argument that is not allowed.
pub(super) fn nothing(argument: Option<&str>, of: Argument) -> Result<Operator, Option<&'static str>> {
    match argument {
        None => Ok(Operator::Text(of, None)),
        Some(_) => Err(Some("it takes nothing in parentheses")),
    }
}
