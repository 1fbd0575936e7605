use super::*;

fn with(values: &[&str]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for value in values {
        metadata.append("authorization", value.parse().unwrap());
    }
    metadata
}

#[test]
fn exactly_one_bearer_token() {
    assert_eq!(bearer_token(&with(&["Bearer abc"])), Ok("abc"));
    assert_eq!(bearer_token(&with(&["bearer  abc "])), Ok("abc"));
    assert_eq!(bearer_token(&with(&[])), Err(NoToken::Missing));
    assert_eq!(
        bearer_token(&with(&["Bearer a", "Bearer b"])),
        Err(NoToken::Several)
    );
    for bad in ["Bearer", "Bearer ", "Basic abc", "abc"] {
        assert_eq!(bearer_token(&with(&[bad])), Err(NoToken::Form), "{bad}");
    }
}

#[test]
fn who_is_not_known_learns_what_is_wrong_with_its_credentials_and_everybody_else_only_the_kind() {
    let status = Denied::Unauthenticated("the token has expired".to_owned()).to_status();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert_eq!(status.message(), "not authenticated: the token has expired");
    for (denied, code) in [
        (
            Denied::Forbidden("shop/web does not run on n1".to_owned()),
            tonic::Code::PermissionDenied,
        ),
        (
            Denied::Unavailable("the list of n1 is not loaded".to_owned()),
            tonic::Code::Unavailable,
        ),
    ] {
        let status = denied.to_status();
        assert_eq!(status.code(), code);
        assert!(!status.message().contains("n1"), "{}", status.message());
    }
}
