use super::*;
use crate::headers::{ChangedName, HeaderAction};

pub(crate) fn sent() -> Vec<Sent> {
    let mut sent = Vec::new();
    for of_request in [true, false] {
        sent.push(Sent::Headers {
            of_request,
            headers: vec![
                (":path".to_owned(), "/a?b".parse().unwrap()),
                ("x".to_owned(), HeaderValue::from_bytes(b"\xff").unwrap()),
            ],
            end: of_request,
        });
        sent.push(Sent::Body {
            of_request,
            body: Bytes::from_static(b"body"),
            end: !of_request,
        });
        sent.push(Sent::Trailers {
            of_request,
            headers: vec![("x-sum".to_owned(), "1".parse().unwrap())],
        });
    }
    sent
}

pub(crate) fn processed() -> Vec<Processed> {
    let change = HeaderChange {
        name: ChangedName::Header("x-a".parse().unwrap()),
        value: "1".parse().unwrap(),
        action: HeaderAction::Append,
    };
    let parts = [
        Part::RequestHeaders,
        Part::RequestBody,
        Part::ResponseHeaders,
        Part::ResponseBody,
        Part::RequestTrailers,
        Part::ResponseTrailers,
    ];
    let mut processed: Vec<_> = parts.map(|part| Processed::Go(part, Changes::default())).into();
    processed.push(Processed::Go(
        Part::RequestBody,
        Changes {
            headers: vec![change.clone()],
            remove: vec!["x-b".parse().unwrap()],
            body: Some(Bytes::from_static(b"new")),
            finish: true,
            choose_again: true,
            mode: None,
        },
    ));
    processed.push(Processed::Go(
        Part::RequestHeaders,
        Changes {
            mode: Some(ModeOverride {
                response_headers: false,
                request_body: BodyMode::Streamed,
                response_body: BodyMode::Buffered,
                request_trailers: true,
                response_trailers: false,
            }),
            ..Changes::default()
        },
    ));
    processed.push(Processed::Go(
        Part::ResponseBody,
        Changes {
            body: Some(Bytes::new()),
            ..Changes::default()
        },
    ));
    processed.push(Processed::Answer(Immediate {
        status: 418,
        headers: vec![change],
        body: Bytes::from_static(b"no"),
        grpc_status: Some(7),
        details: "because".to_owned(),
    }));
    processed
}

#[test]
fn what_is_sent_and_answered_survives_the_wire() {
    for sent in sent() {
        assert_eq!(Sent::decode(&sent.encode()), Ok(sent));
    }
    for processed in processed() {
        assert_eq!(Processed::decode(&processed.encode()), Ok(processed));
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    assert!(Processed::decode(b"").is_err());
    assert!(Sent::decode(b"").is_err());
    // request_headers {}, mode_override { request_body_mode: FULL_DUPLEX_STREAMED }
    assert!(Processed::decode(&[0x0a, 0x00, 0x4a, 0x02, 0x18, 0x04]).is_err());
    // immediate_response {} without a status
    assert!(Processed::decode(&[0x3a, 0x00]).is_err());
}
