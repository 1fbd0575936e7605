use serde::Deserialize;

use super::{Line, Lines, Said, read};
use crate::error::KubeError;
use crate::resource::ObjectName;

#[derive(Debug, Deserialize, PartialEq)]
struct Pod {
    spec: Spec,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Spec {
    node: String,
}

fn line(text: &str) -> Line<Pod> {
    read(text.as_bytes()).expect("an envelope")
}

#[test]
fn lines_come_in_any_pieces() {
    let text = b"one\n\r\ntwo\n   \nthree";
    for size in 1..=text.len() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for piece in text.chunks(size) {
            lines.push(piece);
            while let Some(line) = lines.next_line().expect("short lines") {
                found.push(line);
            }
        }
        assert_eq!(found, [&b"one\n"[..], b"two\n"], "in pieces of {size}");
    }
}

#[test]
fn a_line_without_an_end_is_given_up() {
    let mut lines = Lines::default();
    let megabyte = vec![b'x'; 1 << 20];
    let ended = (0..64).any(|_| {
        lines.push(&megabyte);
        lines.next_line().is_err()
    });
    assert!(ended);
}

#[test]
fn an_object_comes_with_the_version_to_go_on_from() {
    let text =
        r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"7"},"spec":{"node":"n"}}}"#;
    let said = Said::Applied(Pod {
        spec: Spec { node: "n".into() },
    });
    assert_eq!(
        line(text),
        Line::Said {
            version: Some("7".into()),
            said
        }
    );
    let bookmark = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#;
    assert_eq!(
        line(bookmark),
        Line::Said {
            version: Some("9".into()),
            said: Said::Nothing
        }
    );
}

#[test]
fn a_malformed_object_is_named_and_the_watch_goes_on_behind_it() {
    let text = r#"{"type":"ADDED","object":{"metadata":{"namespace":"s","name":"a","resourceVersion":"7"},"spec":3}}"#;
    let Line::Said {
        version,
        said: Said::Malformed(name, reason),
    } = line(text)
    else {
        panic!("it was understood");
    };
    assert_eq!((version.as_deref(), name), (Some("7"), ObjectName::new("s", "a")));
    assert!(!reason.is_empty());
}

#[test]
fn a_history_that_is_gone_is_told_apart() {
    let text =
        r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}}"#;
    assert_eq!(line(text), Line::Error(KubeError::Expired("too old".into())));
    let text = r#"{"type":"ERROR","object":{"code":500,"message":"etcd"}}"#;
    assert_eq!(line(text), Line::Error(KubeError::Busy("etcd".into())));
}

#[test]
fn what_is_no_envelope_is_an_error() {
    for text in ["{", "[]", r#"{"type":"ADDED"}"#, "null", "\u{feff}{}"] {
        assert!(read::<Pod>(text.as_bytes()).is_err(), "{text}");
    }
}
