//! Fuzz targets: tokens, keys, and the places that tokens stand in. Corpus in `fuzz/corpus/<target>/`.

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use mesh_model::l7::authentication::TokenLocation;
use mesh_model::l7::request::Request;

use super::keys::Keys;
use super::places::Place;
use super::token::Token;

/// A token, and what is in one: whatever it is, it is parsed or refused, and verifying it says no.
pub fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(token) = Token::parse(text) {
        let keys = Keys::parse(br#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#).expect("a set of one key");
        // Nobody knows this secret.
        assert!(keys.verify(&token).is_err());
        let _ = token.counts_at(1_700_000_000);
    }
}

/// A set of keys.
pub fn keys(data: &[u8]) {
    let _ = Keys::parse(data);
}

/// Headers and a query that tokens stand in: what was found there is not there after it was taken away.
pub fn places(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, value.clone());
    headers.insert(header::COOKIE, value);
    let query: String = data
        .iter()
        .filter(|b| b.is_ascii_graphic() && **b != b'#')
        .map(|b| char::from(*b))
        .collect();
    let mut uri: Uri = format!("/?{query}").parse().unwrap_or_default();
    let mut places = Place::of(&[]);
    places.extend(Place::of(&[
        TokenLocation::Cookie("t".into()),
        TokenLocation::Header {
            name: "authorization".into(),
            prefix: "x ".into(),
        },
    ]));
    for place in places {
        place.find(&view(&headers, &uri));
        place.clear(&mut headers, &mut uri);
        assert!(place.find(&view(&headers, &uri)).is_empty(), "{place:?}");
    }
}

fn view<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Request<'a> {
    Request {
        method: &Method::GET,
        scheme: "http",
        authority: "shop",
        path: uri.path(),
        query: uri.query(),
        headers,
        metadata: None,
    }
}

#[cfg(test)]
mod tests;
