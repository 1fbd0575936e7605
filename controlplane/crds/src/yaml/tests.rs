use serde_json::json;

use super::text;

#[test]
fn mappings_and_lists_nest() {
    let value = json!({"b": [{"z": 1, "a": {"x": "y"}}, "text", []], "a": {}, "c": [[1]]});
    assert_eq!(
        text(&value),
        "a: {}\nb:\n- a:\n    x: \"y\"\n  z: 1\n- text\n- []\nc:\n- [1]\n"
    );
}

#[test]
fn what_could_be_taken_for_something_else_is_quoted() {
    for (given, expected) in [
        ("plain text", "plain text"),
        ("1", "\"1\""),
        ("no", "\"no\""),
        ("a: b", "\"a: b\""),
        ("a #b", "\"a #b\""),
        ("*", "\"*\""),
        ("", "\"\""),
        ("x-kubernetes-y", "x-kubernetes-y"),
        ("two\nlines", "\"two\\nlines\""),
        ("ends ", "\"ends \""),
    ] {
        assert_eq!(text(&json!(given)), format!("{expected}\n"));
    }
}
