use super::*;

#[test]
fn a_file_is_read_again_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let source = TokenSource::parse(path.to_str().unwrap());
    assert!(matches!(source.read(), Err(TokenError::Read { .. })));
    fs::write(&path, "first\n").unwrap();
    assert_eq!(source.read().unwrap().unwrap().as_str(), "first");
    fs::write(&path, "second").unwrap();
    assert_eq!(source.read().unwrap().unwrap().as_str(), "second");
    for bad in ["", "\n", "two\nlines", "caf\u{e9}"] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(source.read(), Err(TokenError::Malformed(_))), "{bad:?}");
    }
}

#[test]
fn a_literal_token_is_never_printed() {
    let source = TokenSource::parse("eyJhbGciOi.secret.sig");
    assert_eq!(source.read().unwrap().unwrap().as_str(), "eyJhbGciOi.secret.sig");
    assert!(!format!("{source:?}").contains("secret."));
    assert!(matches!(
        TokenSource::literal("a b").read(),
        Err(TokenError::Literal)
    ));
    assert!(TokenSource::Anonymous.read().unwrap().is_none());
}
