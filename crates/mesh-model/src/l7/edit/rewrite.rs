//! Other paths.

use std::borrow::Cow;

use crate::l7::filter::PathRewrite;
use crate::l7::route::{HttpMatch, PathMatch};

/// The path that a request gets, by what matched it. It always begins with a slash.
#[must_use]
pub fn rewrite_path<'a>(
    rewrite: &'a PathRewrite,
    path: &'a str,
    matched: Option<&HttpMatch>,
) -> Cow<'a, str> {
    let matched = matched.and_then(|m| m.path.as_ref());
    let rewritten = match rewrite {
        PathRewrite::Full(path) => Cow::Borrowed(path.as_str()),
        PathRewrite::Prefix(prefix) => {
            let rest = rest(path, matched.map_or(0, |m| m.matched_length(path)));
            let prefix = prefix.trim_end_matches('/');
            // Between the two stands one slash, but for a result that ends with the prefix.
            match rest.strip_prefix('/') {
                Some(rest) => format!("{prefix}/{rest}").into(),
                None if rest.is_empty() => prefix.into(),
                None => format!("{prefix}/{rest}").into(),
            }
        }
        PathRewrite::RawPrefix(prefix) => {
            // What takes every path matches the slash that every path begins with (Envoy, `prefix_rewrite`).
            let rest = rest(path, matched.map_or(1, |m| m.matched_length(path)));
            format!("{prefix}{rest}").into()
        }
        PathRewrite::Regex(pattern, by) => {
            let replaced = pattern
                .search()
                .replace_all(path, |groups: &regex::Captures<'_>| expand(by, groups));
            Cow::Owned(replaced.into_owned())
        }
    };
    match rewritten.starts_with('/') {
        true => rewritten,
        false => format!("/{rewritten}").into(),
    }
}

/// How many bytes of a path some match of it took, without what it could not take.
fn rest(path: &str, length: usize) -> &str {
    path.get(length..).unwrap_or_default()
}

/// `\0` to `\9` stand for groups, `\\` for a backslash (RE2, "Rewrite").
fn expand(by: &str, groups: &regex::Captures<'_>) -> String {
    let mut expanded = String::new();
    let mut rest = by;
    while let Some((literal, escape)) = rest.split_once('\\') {
        expanded.push_str(literal);
        let mut after = escape.chars();
        match after.next() {
            Some(digit @ '0'..='9') => {
                let number = digit as usize - '0' as usize;
                expanded.push_str(groups.get(number).map_or("", |group| group.as_str()));
            }
            Some(other) => expanded.push(other),
            None => {}
        }
        rest = after.as_str();
    }
    expanded.push_str(rest);
    expanded
}

impl PathMatch {
    /// Whether it is a prefix, so that [`PathRewrite::Prefix`] has something to replace.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        matches!(
            self,
            Self::Segments(_) | Self::Prefix(_) | Self::PrefixIgnoringCase(_)
        )
    }
}

#[cfg(test)]
mod tests;
