//! Regular expressions and path templates: what a proxy compiles, compiled once before it is sent there.

use regex::RegexBuilder;

/// A regular expression in RE2's syntax that must match the whole text.
///
/// # Errors
/// Says why it is none, or that it asks for what RE2 reads otherwise.
pub fn regex(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("is an empty regular expression".to_owned());
    }
    if pattern.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} characters"));
    }
    if let Some(odd) = foreign_class_syntax(pattern) {
        return Err(format!(
            "{pattern:?} has {odd:?} inside a character class, which RE2 takes as these characters; escape them"
        ));
    }
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(PROGRAM_LIMIT)
        .build()
        .map(drop)
        .map_err(|e| {
            let last = e.to_string().lines().last().unwrap_or_default().to_owned();
            let why = last.trim_start_matches("error: ");
            format!("{pattern:?} is no regular expression: {why}")
        })
}

/// A path of an AuthorizationPolicy: a text with a `*` at one end at most, or a template in which the segment `{*}` is
/// any one segment and the last one may be `{**}`, any number of them (Istio reference, "Authorization Policy").
///
/// # Errors
/// Says what is wrong with it.
pub fn authorization_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("is empty: it would match nothing".to_owned());
    }
    if !path.contains(['{', '}']) {
        return Ok(());
    }
    let mut many = false;
    for segment in path.split('/') {
        let operator = matches!(segment, "{*}" | "{**}");
        if !operator && segment.contains(['{', '}']) {
            return Err(format!(
                "{path:?} has a segment with braces that is neither {{*}} nor {{**}}"
            ));
        }
        if many && operator {
            return Err(format!(
                "{path:?} has an operator behind {{**}}, which must be the last"
            ));
        }
        if !operator && segment.contains('*') {
            return Err(format!("{path:?} has a `*` beside the operators of a template"));
        }
        many |= segment == "{**}";
    }
    Ok(())
}

/// Set operations and nested classes, which this engine has and RE2 has not.
fn foreign_class_syntax(pattern: &str) -> Option<&'static str> {
    let bytes = pattern.as_bytes();
    let mut i = 0;
    let mut class_begin = None;
    while i < bytes.len() {
        let rest = &pattern.as_bytes()[i..];
        match (bytes[i], class_begin) {
            (b'\\', _) => i += 1,
            (b'[', None) => class_begin = Some(i),
            // `[]a]` and `[^]a]` hold a bracket.
            (b']', Some(begin)) if i > begin + 1 && !(i == begin + 2 && bytes[begin + 1] == b'^') => {
                class_begin = None;
            }
            (b'[', Some(_)) if rest.starts_with(b"[:") => {
                // A named class, up to its own end.
                i += rest.windows(2).position(|w| w == b":]").map_or(0, |p| p + 1);
            }
            (b'[', Some(_)) => return Some("["),
            (b'&', Some(_)) if rest.starts_with(b"&&") => return Some("&&"),
            (b'~', Some(_)) if rest.starts_with(b"~~") => return Some("~~"),
            (b'-', Some(_)) if rest.starts_with(b"--") => return Some("--"),
            _ => {}
        }
        i += 1;
    }
    None
}

/// Gateway API's limit; Istio's is no lower.
const MAX_LENGTH: usize = 1024;
/// The limit of the proxy, in bytes of the compiled program.
const PROGRAM_LIMIT: usize = 1 << 20;

#[cfg(test)]
mod tests;
