use std::time::Duration;

use super::*;
use crate::headers::{ChangedName, HeaderAction};

pub(crate) fn check() -> Check {
    Check {
        source: Peer {
            address: "10.0.0.7:4711".parse().unwrap(),
            principal: Some("spiffe://cluster.local/ns/shop/sa/client".to_owned()),
            labels: [("app".to_owned(), "client".to_owned())].into(),
        },
        destination: Peer {
            address: "[fd00::1]:80".parse().unwrap(),
            principal: None,
            labels: BTreeMap::new(),
        },
        time: Some(SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5)),
        request: Some(CheckedRequest {
            id: "7".to_owned(),
            method: "POST".to_owned(),
            path: "/a?b".to_owned(),
            host: "shop".to_owned(),
            scheme: "http".to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            headers: [("x".to_owned(), "y".to_owned())].into(),
            size: Some(3),
            body: Some(CheckedBody::Bytes(Bytes::from_static(b"abc"))),
        }),
        server_name: Some("shop.example".to_owned()),
    }
}

fn said() -> Map<String, Value> {
    let said = serde_json::json!({"tier": "gold", "groups": ["a", null, {"n": 1.5, "whole": 7}], "is": true});
    said.as_object().unwrap().clone()
}

pub(crate) fn answers() -> Vec<Checked> {
    let change = |name, action| HeaderChange {
        name,
        value: "v".parse().unwrap(),
        action,
    };
    let header = || ChangedName::Header("x-user".parse().unwrap());
    vec![
        Checked::Allowed(Allowed::default()),
        Checked::Allowed(Allowed {
            headers: vec![
                change(header(), HeaderAction::Append),
                change(ChangedName::Path, HeaderAction::Overwrite),
            ],
            remove: vec!["authorization".parse().unwrap()],
            response_headers: vec![change(header(), HeaderAction::AddIfAbsent)],
            query: vec![("a".to_owned(), "b".to_owned())],
            remove_query: vec!["token".to_owned()],
            metadata: said(),
        }),
        Checked::Denied(Denied {
            code: 7,
            status: Some(418),
            headers: vec![change(header(), HeaderAction::OverwriteIfPresent)],
            body: "no".to_owned(),
            metadata: said(),
        }),
        Checked::Denied(Denied {
            code: 16,
            status: None,
            headers: Vec::new(),
            body: String::new(),
            metadata: Map::new(),
        }),
    ]
}

#[test]
fn questions_survive_the_wire() {
    let full = check();
    let connection = Check {
        request: None,
        server_name: None,
        time: None,
        ..check()
    };
    let text = Check {
        request: Some(CheckedRequest {
            size: None,
            body: Some(CheckedBody::Text("abc".to_owned())),
            ..CheckedRequest::default()
        }),
        ..check()
    };
    for check in [full, connection, text] {
        assert_eq!(Check::decode(&check.encode()), Ok(check));
    }
}

#[test]
fn answers_survive_the_wire() {
    for answer in answers() {
        assert_eq!(Checked::decode(&answer.encode()), Ok(answer));
    }
}

/// As a server of Envoy's own writes them.
#[test]
fn an_answer_of_a_status_alone_is_read() {
    assert_eq!(Checked::decode(b""), Ok(Checked::Allowed(Allowed::default())));
    // status { code: 7 }
    let denied = Checked::decode(&[0x0a, 0x02, 0x08, 0x07]).unwrap();
    assert_eq!(
        denied,
        Checked::Denied(Denied {
            code: 7,
            status: None,
            headers: Vec::new(),
            body: String::new(),
            metadata: Map::new(),
        })
    );
}

#[test]
fn an_answer_that_says_both_is_none() {
    // denied_response {}, and no status.
    assert!(Checked::decode(&[0x12, 0x00]).is_err());
    // denied_response { status { code: 42 } }, status { code: 7 }
    assert!(Checked::decode(&[0x0a, 0x02, 0x08, 0x07, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x2a]).is_err());
    assert!(Checked::decode(b"\xff").is_err());
}
