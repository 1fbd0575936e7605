use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

#[test]
fn the_host_is_the_authority_without_its_port() {
    for (authority, host, port) in [
        ("shop", "shop", None),
        ("shop:80", "shop", Some(80)),
        ("shop:", "shop", None),
        ("shop:http", "shop:http", None),
        ("shop:99999", "shop:99999", None),
        ("10.0.0.1:8080", "10.0.0.1", Some(8080)),
        ("[fd00::1]", "[fd00::1]", None),
        ("[fd00::1]:80", "[fd00::1]", Some(80)),
        ("", "", None),
    ] {
        let headers = HeaderMap::new();
        let request = Request {
            authority,
            ..request(&headers)
        };
        assert_eq!((request.host(), request.port()), (host, port), "{authority}");
    }
}

#[test]
fn several_values_of_a_header_are_joined() {
    let mut headers = HeaderMap::new();
    headers.append("x-a", HeaderValue::from_static("1"));
    headers.append("x-a", HeaderValue::from_static("2, 3"));
    headers.append("x-b", HeaderValue::from_static(""));
    headers.append("x-c", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    let request = request(&headers);
    assert_eq!(request.header("x-a").as_deref(), Some("1,2, 3"));
    assert_eq!(request.header("x-b").as_deref(), Some(""));
    assert_eq!(request.header("x-c").as_deref(), Some("caf\u{fffd}"));
    assert_eq!(request.header("x-d"), None);
}

#[test]
fn pseudo_headers_have_their_names() {
    let mut headers = HeaderMap::new();
    headers.append(HeaderName::from_static("host"), HeaderValue::from_static("other"));
    let request = request(&headers);
    assert_eq!(request.header("host").as_deref(), Some("shop:80"));
    assert_eq!(request.header(":authority").as_deref(), Some("shop:80"));
    assert_eq!(request.header(":method").as_deref(), Some("GET"));
    assert_eq!(request.header(":scheme").as_deref(), Some("http"));
    assert_eq!(request.header(":path").as_deref(), Some("/a?b=c"));
}

#[test]
fn the_first_query_parameter_of_a_name_counts_decoded() {
    let headers = HeaderMap::new();
    for (query, name, value) in [
        ("a=1&a=2", "a", Some("1")),
        ("&&b=&a", "a", Some("")),
        ("a=x+y%20z", "a", Some("x y z")),
        ("%61=%C3%A9", "a", Some("\u{e9}")),
        ("a=%zz%4", "a", Some("%zz%4")),
        ("a=%ff", "a", Some("\u{fffd}")),
        ("a=b=c", "a", Some("b=c")),
        ("A=1", "a", None),
        ("", "a", None),
    ] {
        let request = Request {
            query: Some(query),
            ..request(&headers)
        };
        assert_eq!(request.query_parameter(name).as_deref(), value, "{query}");
    }
}

#[test]
fn claims_are_looked_up_by_their_names() {
    let claims = claims(json!({
        "iss": "https://idp", "sub": "ann", "aud": ["a", "b"], "azp": "app", "scope": "read write",
        "realm": {"roles": ["admin", 7, true, null, ["deep"], {"x": 1}], "level": 3}, "words": "x y", "dep.t": "it",
    }));
    let values = |path: &[&str]| claims.values(path).map(Cow::into_owned).collect::<Vec<_>>();
    assert_eq!(claims.principal().unwrap(), &"https://idp/ann");
    assert_eq!(claims.presenter(), Some("app"));
    assert_eq!(claims.audiences().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(values(&["scope"]), ["read", "write"]);
    assert_eq!(values(&["words"]), ["x", "y"]);
    assert_eq!(values(&["realm", "roles"]), ["admin", "7", "true"]);
    assert_eq!(values(&["realm", "level"]), ["3"]);
    assert_eq!(values(&["dep.t"]), ["it"]);
    assert!(values(&["realm"]).is_empty());
    assert!(values(&["realm", "level", "x"]).is_empty());
    assert!(values(&[]).is_empty());
}

#[test]
fn a_token_without_issuer_or_subject_has_no_principal() {
    assert_eq!(claims(json!({"iss": "x"})).principal(), None);
    assert_eq!(claims(json!({"iss": "x", "sub": 1})).principal(), None);
    assert!(Claims::none().is_empty());
}

fn claims(payload: Value) -> Claims {
    let Value::Object(payload) = payload else {
        panic!("claims are an object")
    };
    Claims::new(payload, &["words".into()])
}

fn request(headers: &HeaderMap) -> Request<'_> {
    Request {
        method: &Method::GET,
        scheme: "http",
        authority: "shop:80",
        path: "/a",
        query: Some("b=c"),
        headers,
        metadata: None,
    }
}
