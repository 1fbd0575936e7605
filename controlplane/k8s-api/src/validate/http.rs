//! The grammars of HTTP (RFC 9110, RFC 3986).

/// A header's name: a token.
///
/// # Errors
/// Says what is wrong with the name.
pub fn header_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no header's name"));
    }
    Ok(())
}

/// A header's name that a rule may change: not the host, not what frames the message.
///
/// # Errors
/// Says what is wrong with the name.
pub fn changeable_header(name: &str) -> Result<(), String> {
    if name.eq_ignore_ascii_case("host") || name.starts_with(':') {
        return Err(format!(
            "{name:?} names the host or the request line: rewrite those instead"
        ));
    }
    header_name(name)
}

/// A header's value: no control characters, no space around it.
///
/// # Errors
/// Says what is wrong with the value.
pub fn header_value(value: &str) -> Result<(), String> {
    let fit = value.bytes().all(|b| b == b'\t' || (b >= b' ' && b != 0x7f));
    if !fit || value.len() > 4096 {
        return Err(format!("{value:?} is no header's value"));
    }
    Ok(())
}

/// A method: a token.
///
/// # Errors
/// Says what is wrong with the method.
pub fn method(name: &str) -> Result<(), String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is no HTTP method"));
    }
    Ok(())
}

/// A path as a rule may name it: absolute, and in the form that paths have after normalisation.
///
/// # Errors
/// Says what is wrong with the path.
pub fn path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("{path:?} does not begin with a slash"));
    }
    if path.len() > 1024 {
        return Err("is longer than 1024 characters".to_owned());
    }
    let lower = path.to_ascii_lowercase();
    let odd = ["//", "/./", "/../", "%2f", "#"]
        .into_iter()
        .find(|s| lower.contains(s));
    let odd = odd.or_else(|| ["/..", "/."].into_iter().find(|s| lower.ends_with(s)));
    if let Some(odd) = odd {
        return Err(format!(
            "{path:?} has {odd:?}, which no path has after normalisation"
        ));
    }
    if !path
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}?".contains(&b))
        || !escapes_are_whole(path)
    {
        return Err(format!("{path:?} has characters that no path has"));
    }
    Ok(())
}

/// An HTTP status that is an answer: 200 to 599.
///
/// # Errors
/// Says that it is none.
pub fn status(status: u32) -> Result<(), String> {
    if !(200..=599).contains(&status) {
        return Err(format!("{status} is no status from 200 to 599"));
    }
    Ok(())
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
