//! Changes that services make to requests and answers. What belongs to one hop, and what says where a message ends, is
//! nobody's to change.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Uri};
use mesh_extensions::headers::{ChangedName, HeaderChange};

use crate::exchange::Exchange;
use crate::proxy::http::head;

/// Changes a request. What cannot be carried out is left out.
pub(crate) fn change_request(exchange: &mut Exchange, change: &HeaderChange) {
    match &change.name {
        ChangedName::Header(name) if may_change(name) => {
            change.apply(&mut exchange.head.headers);
        }
        ChangedName::Authority => {
            if change
                .value
                .to_str()
                .is_ok_and(|value| value.parse::<http::uri::Authority>().is_ok())
            {
                exchange.authority = change.value.clone();
            }
        }
        ChangedName::Path => change_path(exchange, &change.value),
        ChangedName::Method => {
            if let Ok(method) = Method::from_bytes(change.value.as_bytes())
                && method != Method::CONNECT
            {
                exchange.head.method = method;
            }
        }
        ChangedName::Header(_) | ChangedName::Status | ChangedName::Scheme => {}
    }
}

/// Takes headers away.
pub(crate) fn remove_from_request(exchange: &mut Exchange, names: &[HeaderName]) {
    for name in names.iter().filter(|name| may_change(name)) {
        exchange.head.headers.remove(name);
    }
}

/// Changes the headers of an answer.
pub(crate) fn change_answer(headers: &mut HeaderMap, change: &HeaderChange) {
    if let ChangedName::Header(name) = &change.name
        && may_change(name)
    {
        change.apply(headers);
    }
}

/// Whether a header is more than the way of one hop, or the frame of a message.
pub(crate) fn may_change(name: &HeaderName) -> bool {
    !OF_THE_HOP.contains(name)
}

/// What others decide about must be what policies saw: a new path is made comparable like any other.
fn change_path(exchange: &mut Exchange, value: &HeaderValue) {
    let path = value.to_str().ok().filter(|path| path.starts_with('/'));
    let path = path.and_then(|path| PathAndQuery::try_from(path).ok());
    if let Some(path) = path {
        exchange.head.uri = Uri::from(path);
        head::normalize(&mut exchange.head, exchange.compiled.normalization);
    }
}

/// Sets and removes parameters of the query.
pub(crate) fn change_query(uri: &mut Uri, set: &[(String, String)], remove: &[String]) {
    if set.is_empty() && remove.is_empty() {
        return;
    }
    let gone = |pair: &&str| {
        let key = pair.split('=').next().unwrap_or_default();
        let named = |name: &String| name == key;
        !remove.iter().any(named) && !set.iter().any(|(name, _)| named(name))
    };
    let mut pairs: Vec<String> = uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(gone)
        .map(str::to_owned)
        .collect();
    pairs.extend(
        set.iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value))),
    );
    let path = match pairs.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), pairs.join("&")),
    };
    if let Ok(path) = PathAndQuery::try_from(path) {
        *uri = Uri::from(path);
    }
}

/// What is not unreserved (RFC 3986, section 2.3) is written in hexadecimal.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

const OF_THE_HOP: [HeaderName; 13] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

#[cfg(test)]
mod tests;
