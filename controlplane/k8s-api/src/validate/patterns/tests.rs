use super::*;

#[test]
fn regular_expressions_are_re2s() {
    for good in [
        "a.*b",
        r"\d+",
        "[]a]",
        "[^]a]",
        "[[:alpha:]_-]+",
        r"[\[\]]",
        "(?i)v[12]",
        "a{2,3}",
    ] {
        assert_eq!(regex(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("", "is an empty regular expression"),
        ("(", "is no regular expression: "),
        ("a(?=b)", "is no regular expression: look-around"),
        (r"(a)\1", "is no regular expression: backreferences"),
        ("[a&&b]", "has \"&&\" inside a character class"),
        ("[a--b]", "has \"--\" inside"),
        ("[a[b]", "has \"[\" inside"),
        ("(a{1000}){1000}", "is no regular expression: "),
    ] {
        let error = regex(bad).expect_err(bad);
        assert!(error.contains(why) && !error.contains('\n'), "{bad}: {error}");
    }
    assert!(regex(&"a".repeat(1025)).is_err());
}

#[test]
fn path_templates_have_whole_segments() {
    for good in [
        "/a",
        "/a*",
        "*/a",
        "*",
        "/a/{*}/b",
        "/{*}/{*}",
        "/a/{**}",
        "/{**}/b",
        "/{*}/x/{**}",
    ] {
        assert_eq!(authorization_path(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "/a{*}",
        "/{x}",
        "/{**}/{*}",
        "/{**}/{**}",
        "/{*}/a*",
        "/}",
        "/{***}",
    ] {
        assert!(authorization_path(bad).is_err(), "{bad}");
    }
}
