use super::*;
use crate::l7::Pattern;

/// Gateway API, HTTPPathModifier, "replacePrefixMatch".
#[test]
fn prefixes_are_replaced_with_one_slash_between() {
    for (path, prefix, replacement, result) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/bar", "/", "/xyz", "/xyz/bar"),
        ("/", "/", "/xyz", "/xyz/"),
    ] {
        let rewrite = PathRewrite::Prefix(replacement.into());
        let matched = matching(PathMatch::Segments(prefix.into()));
        assert_eq!(
            rewrite_path(&rewrite, path, Some(&matched)),
            result,
            "{path} {prefix} {replacement}"
        );
    }
}

#[test]
fn raw_prefixes_are_replaced_as_they_are() {
    for (path, matched, replacement, result) in [
        ("/v1/a", Some(PathMatch::Prefix("/v1".into())), "/", "//a"),
        ("/v1/a", Some(PathMatch::Prefix("/v1/".into())), "/", "/a"),
        ("/v1/a", Some(PathMatch::Prefix("/v1/".into())), "", "/a"),
        (
            "/V1/a",
            Some(PathMatch::PrefixIgnoringCase("/v1".into())),
            "/b",
            "/b/a",
        ),
        ("/v1", Some(PathMatch::Exact("/v1".into())), "/b", "/b"),
        (
            "/v12",
            Some(PathMatch::Regex(Pattern::new("/v[0-9]+").unwrap())),
            "/b",
            "/b",
        ),
        ("/a", None, "/b/", "/b/a"),
    ] {
        let rewrite = PathRewrite::RawPrefix(replacement.into());
        let matched = matched.map(matching);
        assert_eq!(
            rewrite_path(&rewrite, path, matched.as_ref()),
            result,
            "{path} {matched:?}"
        );
    }
}

#[test]
fn whole_paths_and_expressions() {
    let regex = |pattern: &str, by: &str| PathRewrite::Regex(Pattern::new(pattern).unwrap(), by.into());
    for (rewrite, path, result) in [
        (PathRewrite::Full("/one".into()), "/any", "/one"),
        (PathRewrite::Full("one".into()), "/any", "/one"),
        (
            regex("^/service/([^/]+)(/.*)$", "\\2/instance/\\1"),
            "/service/foo/v1/api",
            "/v1/api/instance/foo",
        ),
        (
            regex("one", "two"),
            "/xxx/one/yyy/one/zzz",
            "/xxx/two/yyy/two/zzz",
        ),
        (
            regex("^(.*?)one(.*)$", "\\1two\\2"),
            "/xxx/one/yyy/one/zzz",
            "/xxx/two/yyy/one/zzz",
        ),
        (regex("/[xX]+/", "/yyy/"), "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        (regex("/a", "\\\\$1\\9\\"), "/a", "/\\$1"),
        (regex("/none", "/x"), "/a", "/a"),
    ] {
        assert_eq!(rewrite_path(&rewrite, path, None), result, "{rewrite:?}");
    }
}

fn matching(path: PathMatch) -> HttpMatch {
    HttpMatch {
        path: Some(path),
        ..HttpMatch::default()
    }
}
