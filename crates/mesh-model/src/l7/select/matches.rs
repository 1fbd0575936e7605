//! Whether a rule matches, read off its fields.

use crate::l7::request::{Claims, Client, Request};
use crate::l7::route::{ClaimMatch, HttpMatch, NamedMatch, PathMatch};

impl HttpMatch {
    /// Whether everything that it asks for is so.
    #[must_use]
    pub fn matches(&self, request: &Request<'_>, client: &Client<'_>, claims: &Claims) -> bool {
        self.path.as_ref().is_none_or(|p| p.matches(request.path))
            && self
                .method
                .as_ref()
                .is_none_or(|m| m.matches(request.method.as_str()))
            && self.scheme.as_ref().is_none_or(|m| m.matches(request.scheme))
            && self
                .authority
                .as_ref()
                .is_none_or(|m| m.matches_ignoring_case(request.host()))
            && self.headers.iter().all(|m| header(m, request))
            && !self.without_headers.iter().any(|m| header(m, request))
            && self.query.iter().all(|m| query(m, request))
            && self.claims.iter().all(|m| claim(m, claims))
            && self.client_matches(client)
    }

    fn client_matches(&self, client: &Client<'_>) -> bool {
        let namespace = self.source_namespace.as_ref();
        namespace.is_none_or(|wanted| client.namespace() == Some(wanted))
            && self
                .source_labels
                .iter()
                .all(|label| client.labels.contains(label))
    }
}

impl PathMatch {
    /// Whether a path without its query matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact.as_str(),
            Self::Segments(prefix) => {
                let rest = path.strip_prefix(segments(prefix));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Regex(pattern) => pattern.is_match(path),
            Self::ExactIgnoringCase(exact) => path.eq_ignore_ascii_case(exact),
            Self::PrefixIgnoringCase(prefix) => {
                let head = path.as_bytes().get(..prefix.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
            }
        }
    }

    /// How many bytes at the beginning of a path that matches are what matched: all of it, but for prefixes.
    #[must_use]
    pub fn matched_length(&self, path: &str) -> usize {
        match self {
            Self::Exact(_) | Self::Regex(_) | Self::ExactIgnoringCase(_) => path.len(),
            Self::Segments(prefix) => segments(prefix).len(),
            Self::Prefix(prefix) | Self::PrefixIgnoringCase(prefix) => prefix.len(),
        }
    }
}

/// A prefix of whole segments without the slash at its end, so that the root becomes nothing.
pub(super) fn segments(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

fn header(wanted: &NamedMatch, request: &Request<'_>) -> bool {
    let value = request.header(&wanted.name);
    value.is_some_and(|value| wanted.value.matches(&value))
}

fn query(wanted: &NamedMatch, request: &Request<'_>) -> bool {
    let value = request.query_parameter(&wanted.name);
    value.is_some_and(|value| wanted.value.matches(&value))
}

fn claim(wanted: &ClaimMatch, claims: &Claims) -> bool {
    claims
        .values(&wanted.path)
        .any(|value| wanted.value.matches(&value))
}
