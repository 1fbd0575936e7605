use http::{HeaderMap, Method};
use mesh_model::l7::TextMatch;
use serde_json::json;

use super::*;

fn entry(source: DescriptorSource, value: Option<&str>) -> DescriptorEntry {
    DescriptorEntry {
        key: "key".into(),
        source,
        value: value.map(|text| TextMatch::Exact(text.into())),
    }
}

fn values(entries: &[DescriptorEntry], with_request: bool) -> Option<Vec<String>> {
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
    };
    let claims = json!({"sub": "eve", "groups": ["x", "y"]});
    let claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
    let counted = Counted {
        client: &client,
        request: with_request.then_some((&request, &claims)),
    };
    let values = counted.values(entries)?;
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
