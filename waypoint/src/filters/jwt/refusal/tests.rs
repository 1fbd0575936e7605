use super::*;

#[test]
fn details_are_messages_without_spaces() {
    for refusal in [
        Refusal::Expired,
        Refusal::Format,
        Refusal::NoKey,
        Refusal::Audience,
    ] {
        let expected = refusal.message().replace(' ', "_");
        assert_eq!(
            refusal.details(),
            format!("jwt_authn_access_denied{{{expected}}}")
        );
    }
}
