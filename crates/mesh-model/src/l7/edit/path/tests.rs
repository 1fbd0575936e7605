use super::*;

#[test]
fn the_four_modes() {
    use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    // As sent, and in each mode.
    for (sent, base, merged, decoded) in [
        ("/", "/", "/", "/"),
        ("/a/b", "/a/b", "/a/b", "/a/b"),
        ("/a/./b", "/a/b", "/a/b", "/a/b"),
        ("/a/../b", "/b", "/b", "/b"),
        ("/a/b/..", "/a/", "/a/", "/a/"),
        ("/a/.", "/a/", "/a/", "/a/"),
        ("/..", "/", "/", "/"),
        ("/../../a", "/a", "/a", "/a"),
        ("/.a/..b/...", "/.a/..b/...", "/.a/..b/...", "/.a/..b/..."),
        ("/a\\b", "/a/b", "/a/b", "/a/b"),
        ("\\a\\..\\b", "/b", "/b", "/b"),
        ("/a//b", "/a//b", "/a/b", "/a/b"),
        ("//", "//", "/", "/"),
        ("/a//../b", "/a/b", "/a/b", "/a/b"),
        ("/%61%2D%2e%5F%7e", "/a-._~", "/a-._~", "/a-._~"),
        ("/a/%2e%2E/b", "/b", "/b", "/b"),
        ("/%2e%2e%2fb", "/..%2Fb", "/..%2Fb", "/b"),
        ("/a%2fb%5cc", "/a%2Fb%5Cc", "/a%2Fb%5Cc", "/a/b/c"),
        ("/a%2f%2fb", "/a%2F%2Fb", "/a%2F%2Fb", "/a/b"),
        ("/a%20b%c3%a9", "/a%20b%C3%A9", "/a%20b%C3%A9", "/a%20b%C3%A9"),
        ("/100%", "/100%25", "/100%25", "/100%25"),
        ("/%zz%4", "/%25zz%254", "/%25zz%254", "/%25zz%254"),
        ("/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"),
        ("/%%32e%%32e/a", "/%252e%252e/a", "/%252e%252e/a", "/%252e%252e/a"),
        ("/%00", "/%00", "/%00", "/%00"),
        (
            "/\u{e9}%\u{e9}",
            "/\u{e9}%25\u{e9}",
            "/\u{e9}%25\u{e9}",
            "/\u{e9}%25\u{e9}",
        ),
        ("*", "*", "*", "*"),
        ("", "", "", ""),
    ] {
        assert_eq!(normalize(sent, None), sent);
        for (mode, expected) in [
            (Base, base),
            (MergeSlashes, merged),
            (DecodeAndMergeSlashes, decoded),
        ] {
            let once = normalize(sent, mode);
            assert_eq!(once, expected, "{sent} {mode:?}");
            assert_eq!(normalize(&once, mode), once, "{sent} {mode:?}");
        }
    }
}

#[test]
fn plain_paths_are_not_copied() {
    assert!(matches!(
        normalize("/a/b-c.d/e", PathNormalization::Base),
        Cow::Borrowed(_)
    ));
}
