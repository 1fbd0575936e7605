//! What browsers are told about who else may ask (the Fetch standard, "CORS protocol").

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mesh_types::Strng;

use crate::l7::TextMatch;
use crate::l7::filter::Cors;
use crate::l7::request::Request;

/// What becomes of a request under CORS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsDecision {
    /// It goes on, and its answer comes back as it is.
    Pass,
    /// It goes on. These headers replace those of the answer, but for Vary, which is added to.
    Annotate(HeaderMap),
    /// It is a browser's question, answered with 200 and these headers.
    Answer(HeaderMap),
}

/// Decides about a request.
#[must_use]
pub fn cors(cors: &Cors, request: &Request<'_>) -> CorsDecision {
    let Some(origin) = request.headers.get(ORIGIN) else {
        return CorsDecision::Pass;
    };
    let is_preflight =
        request.method == Method::OPTIONS && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let Some(allowed) = allowed_origin(cors, origin) else {
        return match is_preflight && !cors.forward_unmatched_preflights {
            true => CorsDecision::Answer(HeaderMap::new()),
            false => CorsDecision::Pass,
        };
    };
    match is_preflight {
        true => CorsDecision::Answer(preflight(cors, request, allowed)),
        false => CorsDecision::Annotate(annotations(cors, allowed)),
    }
}

/// What the origin is answered with: itself, or `*` where anybody may ask and nobody with cookies.
fn allowed_origin(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    if cors.allow_origins.contains(&TextMatch::Present) && !cors.allow_credentials {
        return Some(HeaderValue::from_static("*"));
    }
    let text = origin.to_str().ok()?;
    let allowed = cors.allow_origins.iter().any(|allowed| allowed.matches(text));
    allowed.then(|| origin.clone())
}

fn preflight(cors: &Cors, request: &Request<'_>, origin: HeaderValue) -> HeaderMap {
    let mut headers = common(cors, origin);
    let asked = |name: HeaderName| request.headers.get(name).cloned();
    let methods = list(&cors.allow_methods, cors, || asked(ACCESS_CONTROL_REQUEST_METHOD));
    let names = list(&cors.allow_headers, cors, || {
        asked(ACCESS_CONTROL_REQUEST_HEADERS)
    });
    let max_age = cors.max_age.map(|age| HeaderValue::from(age.as_secs()));
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, names),
        (ACCESS_CONTROL_MAX_AGE, max_age),
    ] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    headers
}

fn annotations(cors: &Cors, origin: HeaderValue) -> HeaderMap {
    let mut headers = common(cors, origin);
    if let Some(names) = list(&cors.expose_headers, cors, || None) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
    headers
}

fn common(cors: &Cors, origin: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if origin != "*" {
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if cors.allow_credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    headers
}

/// A list of names. Where it says `*` and cookies may be sent, browsers take that for a name, so that what they ask for
/// is answered instead; where there is no question to answer, nothing.
fn list(names: &[Strng], cors: &Cors, asked: impl Fn() -> Option<HeaderValue>) -> Option<HeaderValue> {
    if names.iter().any(|name| *name == "*") {
        return match cors.allow_credentials {
            true => asked(),
            false => Some(HeaderValue::from_static("*")),
        };
    }
    let names: Vec<&str> = names.iter().map(Strng::as_str).collect();
    (!names.is_empty()).then(|| HeaderValue::from_str(&names.join(", ")).ok())?
}

#[cfg(test)]
mod tests;
