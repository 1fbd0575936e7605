use super::*;

#[test]
fn a_pattern_matches_the_whole_text() {
    let pattern = Pattern::new("/v[0-9]+|/beta").expect("it compiles");
    for (text, matches) in [
        ("/v1", true),
        ("/v12", true),
        ("/v1/x", false),
        ("/beta", true),
        ("/beta2", false),
    ] {
        assert_eq!(pattern.is_match(text), matches, "{text}");
    }
}

#[test]
fn a_malformed_pattern_is_refused_in_one_line() {
    let error = Pattern::new("a(").expect_err("it does not compile");
    assert_eq!(error.text, "a(");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn a_pattern_cannot_break_out_of_its_anchors() {
    for text in ["a)|(b", "a)|(?:b", "(?x)a # b", ")("] {
        match Pattern::new(text) {
            Ok(pattern) => assert!(!pattern.is_match("xa") && !pattern.is_match("bx"), "{text}"),
            Err(error) => assert!(!error.reason.is_empty()),
        }
    }
    assert!(Pattern::new("a)|(b").is_err());
}

#[test]
fn case_is_ignored_where_asked() {
    for (with, text) in [
        (TextMatch::Exact("Shop.Example".into()), "shop.example"),
        (TextMatch::Prefix("SHOP".into()), "shop.example"),
        (TextMatch::Suffix(".EXAMPLE".into()), "shop.example"),
    ] {
        assert!(with.matches_ignoring_case(text), "{with:?}");
        assert!(!with.matches(text), "{with:?}");
    }
    assert!(!TextMatch::Suffix("longer.than.this".into()).matches_ignoring_case("this"));
}

#[test]
fn what_an_expression_begins_with_is_found_where_it_is_plain() {
    for (text, prefix) in [
        ("/api/v[0-9]+/users", "/api/v"),
        ("^/api/.*$", "/api/"),
        ("/a/b?c", "/a/"),
        ("/ab*", "/a"),
        ("/ab{0,2}", "/a"),
        ("/ab+c", "/ab"),
        ("/a\\.b\\d", "/a.b"),
        ("/a\\.?b", "/a"),
        ("/a|/b", ""),
        ("/(a|b)", ""),
        (".*/b", ""),
        ("(/a)?b", ""),
        ("", ""),
        ("/plain", "/plain"),
    ] {
        assert_eq!(Pattern::new(text).unwrap().literal_prefix(), prefix, "{text}");
    }
}
