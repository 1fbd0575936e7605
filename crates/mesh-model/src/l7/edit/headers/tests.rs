use super::*;

/// MeshHTTPRouteRequestHeaderModifier, MeshGRPCRouteRequestHeaderModifier.
#[test]
fn set_add_remove_and_combinations() {
    let edits = edits(
        &[("x-set", "new"), ("x-fresh", "1")],
        &[("x-add", "b"), ("x-only", "1")],
        &["X-Remove"],
    );
    let mut headers = headers(&[
        ("x-set", "old"),
        ("x-set", "older"),
        ("x-add", "a"),
        ("x-remove", "x"),
        ("x", "y"),
    ]);
    HeaderEditor::compile(&edits).unwrap().apply(&mut headers);
    assert_eq!(
        lines(&headers),
        ["x-add: a,b", "x-fresh: 1", "x-only: 1", "x-set: new", "x: y"]
    );
}

#[test]
fn first_it_removes_then_sets_then_adds() {
    let edits = edits(&[("x", "set")], &[("x", "added")], &["x"]);
    let mut headers = headers(&[("x", "old")]);
    HeaderEditor::compile(&edits).unwrap().apply(&mut headers);
    assert_eq!(lines(&headers), ["x: set,added"]);
}

#[test]
fn all_lines_become_one_but_for_cookies() {
    let edits = edits(&[], &[("x", "3"), ("set-cookie", "b=2")], &[]);
    let mut headers = headers(&[("x", "1"), ("x", "2"), ("set-cookie", "a=1, b")]);
    HeaderEditor::compile(&edits).unwrap().apply(&mut headers);
    assert_eq!(
        lines(&headers),
        ["set-cookie: a=1, b", "set-cookie: b=2", "x: 1,2,3"]
    );
}

#[test]
fn the_authority_is_set_apart() {
    for name in [":authority", "host", "Host"] {
        let editor = HeaderEditor::compile(&edits(&[(name, "other")], &[], &[])).unwrap();
        assert_eq!(editor.authority().unwrap(), &"other");
        assert!(!editor.is_empty());
    }
    assert!(HeaderEditor::compile(&HeaderEdits::default()).unwrap().is_empty());
}

#[test]
fn what_is_no_header_or_frames_a_message_is_refused() {
    let invalid = |name: &str| Err(InvalidEdit::Name(name.into()));
    for name in [
        "",
        "a b",
        ":path",
        "Content-Length",
        "transfer-encoding",
        "connection",
    ] {
        assert_eq!(
            HeaderEditor::compile(&edits(&[(name, "1")], &[], &[])),
            invalid(name)
        );
        assert_eq!(
            HeaderEditor::compile(&edits(&[], &[(name, "1")], &[])),
            invalid(name)
        );
        assert_eq!(HeaderEditor::compile(&edits(&[], &[], &[name])), invalid(name));
    }
    assert_eq!(
        HeaderEditor::compile(&edits(&[], &[("host", "1")], &[])),
        invalid("host")
    );
    let value = HeaderEditor::compile(&edits(&[("x", "a\r\nb: c")], &[], &[]));
    assert_eq!(value, Err(InvalidEdit::Value("x".into())));
}

fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEdits {
    let pairs = |of: &[(&str, &str)]| of.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
    HeaderEdits {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|name| (*name).into()).collect(),
    }
}

fn headers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in of {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let lines = headers
        .iter()
        .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()));
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}
