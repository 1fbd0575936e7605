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
fn a_refused_caller_learns_only_the_kind() {
    let status = Denied::Unauthenticated("pod uid 7 is not on node n1".to_owned()).to_status();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    assert!(!status.message().contains("n1"));
    assert_eq!(
        Denied::Forbidden(String::new()).to_status().code(),
        tonic::Code::PermissionDenied
    );
    assert_eq!(
        Denied::Unavailable(String::new()).to_status().code(),
        tonic::Code::Unavailable
    );
}
