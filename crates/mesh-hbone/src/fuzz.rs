//! Entry points for fuzzing: what each takes, and what must hold whatever the bytes.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};

use crate::request::ConnectRequest;

/// A request as text: a line `<method> <uri>`, then lines `<name>: <value>`. What is read can be written, and then
/// reads the same.
///
/// # Panics
/// Panics when that does not hold.
pub fn request(data: &[u8]) {
    let Some((method, uri, headers)) = parts(data) else {
        return;
    };
    let Ok(request) = ConnectRequest::from_http(&method, &uri, &headers) else {
        return;
    };
    let written = request.to_http().expect("what was read can be written");
    let again = ConnectRequest::from_http(written.method(), written.uri(), written.headers());
    assert_eq!(again.as_ref(), Ok(&request), "read, written and read again");
}

/// What comes from a socket after a handshake, before anything of it is authenticated, and what a peer with the right
/// keys may say in handshake messages: lengths stay within the bytes that are there.
///
/// # Panics
/// Panics when that does not hold.
pub fn records(data: &[u8]) {
    crate::tls::split_records(data);
}

fn parts(data: &[u8]) -> Option<(Method, Uri, HeaderMap)> {
    let mut lines = data.split(|b| *b == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|b| *b == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let uri = Uri::try_from(&first[space + 1..]).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    Some((method, uri, headers))
}
