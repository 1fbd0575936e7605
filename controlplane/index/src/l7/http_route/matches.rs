//! What a request must be for a rule (Gateway API, "HTTPRouteMatch").

use std::collections::HashSet;

use controlplane_k8s_api::gateway::{HeaderMatch, HttpMethod, HttpRouteMatch, PathMatch, ValueMatch};
use mesh_model::l7::route::{self, HttpMatch, NamedMatch};
use mesh_model::l7::{Pattern, TextMatch};
use mesh_types::Strng;

/// One match.
pub(super) fn http_match(wanted: &HttpRouteMatch) -> HttpMatch {
    HttpMatch {
        path: path(&wanted.path),
        method: wanted.method.map(|m| TextMatch::Exact(method(m).into())),
        headers: headers(&wanted.headers),
        query: first_of_each(&wanted.query_params, Strng::clone),
        ..HttpMatch::default()
    }
}

/// Headers that must be there and match.
pub(in crate::l7) fn headers(wanted: &[HeaderMatch]) -> Vec<NamedMatch> {
    first_of_each(wanted, |name| name.to_ascii_lowercase().into())
}

/// Every path is no condition at all.
fn path(wanted: &PathMatch) -> Option<route::PathMatch> {
    match wanted {
        PathMatch::Exact(path) => Some(route::PathMatch::Exact(path.clone())),
        PathMatch::Prefix(path) => {
            let segments = path.trim_end_matches('/');
            (!segments.is_empty()).then(|| route::PathMatch::Segments(segments.into()))
        }
        PathMatch::Regex(text) => Some(regex_path(text)),
    }
}

/// A path that matches an expression.
pub(in crate::l7) fn regex_path(text: &str) -> route::PathMatch {
    match Pattern::new(text) {
        Ok(pattern) => route::PathMatch::Regex(pattern),
        // Validation takes only what compiles; what does not all the same takes nothing: paths begin with a slash.
        Err(_) => route::PathMatch::Exact(NOWHERE.into()),
    }
}

/// Of equal names the first counts (Gateway API, "HTTPHeaderMatch").
fn first_of_each(wanted: &[HeaderMatch], name_of: impl Fn(&Strng) -> Strng) -> Vec<NamedMatch> {
    let mut seen = HashSet::new();
    let named = wanted.iter().map(|w| (name_of(&w.name), &w.value));
    let firsts = named.filter(|(name, _)| seen.insert(name.clone()));
    firsts
        .map(|(name, wanted)| NamedMatch {
            name,
            value: value(wanted),
        })
        .collect()
}

/// A value to compare with.
pub(in crate::l7) fn value(wanted: &ValueMatch) -> TextMatch {
    match wanted {
        ValueMatch::Exact(text) => TextMatch::Exact(text.clone()),
        ValueMatch::Regex(text) => match Pattern::new(text) {
            Ok(pattern) => TextMatch::Regex(pattern),
            // As above: no header and no parameter holds a line feed.
            Err(_) => TextMatch::Exact("\n".into()),
        },
    }
}

fn method(method: HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Head => "HEAD",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Connect => "CONNECT",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Trace => "TRACE",
        HttpMethod::Patch => "PATCH",
    }
}

/// A path that no request has: a fragment is never sent.
const NOWHERE: &str = "/#";
