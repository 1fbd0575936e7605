use http::{HeaderMap, Method};
use mesh_model::l7::TextMatch;
use serde_json::json;

use super::*;

fn entry(source: DescriptorSource, value: Option<&str>) -> rate_limit::DescriptorEntry {
    rate_limit::DescriptorEntry {
        key: "key".into(),
        source,
        value: value.map(|text| TextMatch::Exact(text.into())),
    }
}

fn values(entries: &[rate_limit::DescriptorEntry], with_request: bool) -> Option<Vec<String>> {
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    let address = "10.0.0.7".parse().unwrap();
    let client = Client {
        identity: Some(&identity),
        address,
        remote_address: address,
        server_name: None,
        labels: &[],
    };
    let mut headers = HeaderMap::new();
    headers.insert("x-user", "bob".parse().unwrap());
    let request = Request {
        method: &Method::GET,
        scheme: "http",
        authority: "Shop:80",
        path: "/a",
        query: Some("b"),
        headers: &headers,
        metadata: None,
    };
    let claims = json!({"sub": "eve", "groups": ["x", "y"]});
    let claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
    let counted = Counted {
        client: &client,
        request: with_request.then_some((&request, &claims)),
        attributes: &Known,
    };
    let descriptor = Descriptor::compile(&"limit".into(), entries, None);
    let values = descriptor.values(&counted)?;
    Some(values.into_iter().map(Cow::into_owned).collect())
}

#[test]
fn every_source_has_its_value() {
    use DescriptorSource::*;
    let of = |source: DescriptorSource| values(&[entry(source, None)], true).map(|mut v| v.remove(0));
    let expected = [
        (Header("x-user".into()), Some("bob")),
        (Header("x-none".into()), None),
        (Path, Some("/a")),
        (Method, Some("GET")),
        (Authority, Some("shop:80")),
        (SourcePrincipal, Some("cluster.local/ns/shop/sa/web")),
        (SourceNamespace, Some("shop")),
        (Claim(vec!["sub".into()]), Some("eve")),
        (Claim(vec!["groups".into()]), Some("x,y")),
        (Claim(vec!["none".into()]), None),
        (RemoteAddress, Some("10.0.0.7")),
        (Constant("all".into()), Some("all")),
    ];
    for (source, value) in expected {
        assert_eq!(of(source.clone()).as_deref(), value, "{source:?}");
    }
}

#[test]
fn all_entries_must_be_there_and_match() {
    let user = |value| entry(DescriptorSource::Header("x-user".into()), value);
    let path = |value| entry(DescriptorSource::Path, value);
    assert_eq!(values(&[], true), Some(Vec::new()));
    assert_eq!(
        values(&[user(None), path(None)], true),
        Some(vec!["bob".to_owned(), "/a".to_owned()])
    );
    assert_eq!(values(&[user(Some("bob")), path(Some("/b"))], true), None);
    // Of a connection nothing of a request is known.
    assert_eq!(values(&[path(None)], false), None);
    assert_eq!(
        values(&[entry(DescriptorSource::SourceNamespace, None)], false),
        Some(vec!["shop".to_owned()])
    );
}

/// What expressions are told here.
struct Known;

impl Attributes for Known {
    fn attribute(&self, attribute: mesh_telemetry::attributes::Attribute) -> Option<Value<'_>> {
        use mesh_telemetry::attributes::Attribute as A;
        match attribute {
            A::RequestMethod => Some(Value::text("GET")),
            A::RequestPath => Some(Value::text("/a?b")),
            A::RequestHeaders => Some(Value::Headers(mesh_telemetry::attributes::HeaderSet::Request)),
            _ => None,
        }
    }

    fn header(&self, _: mesh_telemetry::attributes::HeaderSet, name: &str) -> Option<Cow<'_, str>> {
        (name == "x-number").then_some(Cow::Borrowed("many"))
    }

    fn header_names(&self, _: mesh_telemetry::attributes::HeaderSet) -> Vec<Cow<'_, str>> {
        vec!["x-number".into()]
    }
}

#[test]
fn expressions_are_keys_and_conditions() {
    let key = |text: &str| {
        let expression = entry(DescriptorSource::Expression(text.into()), None);
        values(&[expression], true).map(|mut values| values.remove(0))
    };
    for (text, expected) in [
        ("request.method + ' ' + request.path", Some("GET /a?b")),
        ("request.headers['x-number']", Some("many")),
        // Of what is absent there is no key.
        ("request.headers['x-user']", None),
        ("source.workload", None),
        // What fails for another reason counts, all together.
        ("string(int(request.headers['x-number']))", Some(FAILED)),
        ("this is none", Some(FAILED)),
    ] {
        assert_eq!(key(text).as_deref(), expected, "{text}");
    }
    let counts = |when: &str| Compiled::new(&"limit".into(), Expression::condition(when)).holds(&Known);
    for (when, expected) in [
        ("request.method == 'GET'", true),
        ("request.method == 'POST'", false),
        ("request.headers['x-user'] == 'a'", false),
        ("'x-user' in request.headers", false),
        ("int(request.headers['x-number']) > 7", true),
        ("source.workload == 'a'", false),
        ("this is none", true),
    ] {
        assert_eq!(counts(when), expected, "{when}");
    }
}
