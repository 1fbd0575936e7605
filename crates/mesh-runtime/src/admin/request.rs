//! A request as handlers see it: read completely, query decoded.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// A request, its body in memory.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl Request {
    /// A GET without a body; `target` is a path with an optional query.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new(Method::GET, target, HeaderMap::new(), Bytes::new())
    }

    /// A POST without a body.
    #[must_use]
    pub fn post(target: &str) -> Self {
        Self::new(Method::POST, target, HeaderMap::new(), Bytes::new())
    }

    pub(super) fn new(method: Method, target: &str, headers: HeaderMap, body: Bytes) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect();
        Self {
            method,
            path: path.to_owned(),
            query,
            headers,
            body,
        }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.append(name, HeaderValue::from_static(value));
        self
    }

    /// The same request with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path, not decoded: routes are plain ASCII.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The first value of a query parameter, decoded; empty when it has none.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether the client takes a gzipped answer (RFC 9110, section 12.5.3).
    #[must_use]
    pub fn accepts_gzip(&self) -> bool {
        let values = self.headers.get_all(header::ACCEPT_ENCODING);
        let mut codings = values
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','));
        codings.any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let refused = matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            name.trim().eq_ignore_ascii_case("gzip") && !refused
        })
    }
}

/// Percent-decoding, with `+` for a space (WHATWG URL, application/x-www-form-urlencoded). A broken escape stays as it
/// is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = || {
            let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match byte {
            b'+' => out.push(b' '),
            b'%' if let Some(decoded) = escape() => {
                out.push(decoded);
                at += 2;
            }
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
