//! Where tokens stand in requests: finding them, and taking them away.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use mesh_model::l7::authentication::TokenLocation;
use mesh_model::l7::request::Request;

/// A place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `Authorization: Bearer`; the scheme's letters may be of either case (RFC 9110, section 11.1).
    Bearer,
    /// A header, behind a prefix.
    Header(HeaderName, String),
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
}

impl Place {
    /// The places of a rule.
    pub(crate) fn of(locations: &[TokenLocation]) -> Vec<Self> {
        if locations.is_empty() {
            return vec![Self::Bearer, Self::Query("access_token".to_owned())];
        }
        let place = |location: &TokenLocation| match location {
            TokenLocation::Header { name, prefix } => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                match name == header::AUTHORIZATION && prefix.trim_end() == "Bearer" {
                    true => Some(Self::Bearer),
                    false => Some(Self::Header(name, prefix.to_string())),
                }
            }
            TokenLocation::Query(name) => Some(Self::Query(name.to_string())),
            TokenLocation::Cookie(name) => Some(Self::Cookie(name.to_string())),
        };
        locations.iter().filter_map(place).collect()
    }

    /// All tokens that stand there. What is there and cannot be read counts as one that is wrong.
    pub(crate) fn find<'r>(&self, request: &Request<'r>) -> Vec<Cow<'r, str>> {
        match self {
            Self::Bearer => values(request.headers, &header::AUTHORIZATION)
                .filter_map(|value| bearer(value).map(Cow::Borrowed))
                .collect(),
            Self::Header(name, prefix) => values(request.headers, name)
                .filter_map(|value| behind(value, prefix).map(Cow::Borrowed))
                .collect(),
            Self::Query(name) => {
                let parameters = request.query_parameters();
                let named = parameters.filter(|(key, _)| key == name);
                named.map(|(_, value)| value).collect()
            }
            Self::Cookie(name) => values(request.headers, &header::COOKIE)
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| cookie(pair, name).map(Cow::Borrowed))
                .collect(),
        }
    }

    /// Takes away what stands there.
    pub(crate) fn clear(&self, headers: &mut HeaderMap, uri: &mut Uri) {
        match self {
            Self::Bearer => drop(headers.remove(header::AUTHORIZATION)),
            Self::Header(name, _) => drop(headers.remove(name)),
            Self::Query(name) => clear_query(name, uri),
            Self::Cookie(name) => clear_cookie(name, headers),
        }
    }
}

fn values<'r>(headers: &'r HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'r str> + use<'r> {
    // Bytes that are no text are no token, and no token is hidden by them: what cannot be read is wrong.
    let text = |value: &'r HeaderValue| std::str::from_utf8(value.as_bytes()).unwrap_or("\u{fffd}");
    headers.get_all(name).iter().map(text)
}

fn bearer(value: &str) -> Option<&str> {
    let scheme = value.get(..7)?;
    scheme
        .eq_ignore_ascii_case("bearer ")
        .then(|| value[7..].trim_matches([' ', '\t']))
}

fn behind<'v>(value: &'v str, prefix: &str) -> Option<&'v str> {
    // As Envoy: the prefix may stand anywhere.
    let at = value.find(prefix)?;
    Some(value[at + prefix.len()..].trim_matches([' ', '\t']))
}

fn cookie<'v>(pair: &'v str, name: &str) -> Option<&'v str> {
    let (key, value) = pair.split_once('=')?;
    (key.trim() == name).then(|| value.trim().trim_matches('"'))
}

fn clear_query(name: &str, uri: &mut Uri) {
    let Some(query) = uri.query() else { return };
    let (method, headers) = (Method::GET, HeaderMap::new());
    let is_named = |pair: &&str| {
        // Read as the tokens were: a name that is written in another way is the same.
        let only = Request {
            method: &method,
            scheme: "",
            authority: "",
            path: "",
            query: Some(pair),
            headers: &headers,
            metadata: None,
        };
        only.query_parameters().any(|(key, _)| key == name)
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_named(pair)).collect();
    let path = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    if let Ok(path) = PathAndQuery::try_from(path) {
        *uri = Uri::from(path);
    }
}

fn clear_cookie(name: &str, headers: &mut HeaderMap) {
    let kept: Vec<&str> = values(headers, &header::COOKIE)
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| !pair.is_empty() && cookie(pair, name).is_none())
        .collect();
    let joined = HeaderValue::from_str(&kept.join("; "));
    match joined {
        Ok(joined) if !joined.is_empty() => drop(headers.insert(header::COOKIE, joined)),
        _ => drop(headers.remove(header::COOKIE)),
    }
}

#[cfg(test)]
mod tests;
