use http::StatusCode;

use super::{Fault, KubeError};

#[test]
fn an_answer_says_what_it_means() {
    let exists =
        br#"{"kind":"Status","reason":"AlreadyExists","message":"secrets \"a\"\nalready exists","code":409}"#;
    let error = KubeError::of_answer(StatusCode::CONFLICT, exists);
    assert_eq!(
        error,
        KubeError::AlreadyExists("secrets \"a\" already exists".into())
    );
    assert_eq!(error.fault(), Fault::Race);

    let conflict = br#"{"reason":"Conflict","message":"the object has been modified"}"#;
    let error = KubeError::of_answer(StatusCode::CONFLICT, conflict);
    assert_eq!(error, KubeError::Conflict("the object has been modified".into()));
    assert!(!error.is_worth_retrying());
}

#[test]
fn an_answer_of_somebody_in_between_is_one_bounded_line() {
    let page = "<html>\n".repeat(1000);
    let error = KubeError::of_answer(StatusCode::BAD_GATEWAY, page.as_bytes());
    assert!(error.is_worth_retrying());
    assert_eq!(error.fault(), Fault::Server);
    let line = error.to_string();
    assert!(line.len() < 700 && !line.contains('\n'), "{line}");
}

#[test]
fn rights_are_asked_for_again() {
    let error = KubeError::of_answer(StatusCode::FORBIDDEN, br#"{"message":"pods is forbidden"}"#);
    assert_eq!(error.fault(), Fault::Rights);
    assert!(error.is_worth_retrying());
}

#[test]
fn fields_of_others_are_named() {
    let body = br#"{"kind":"Status","code":409,"reason":"Conflict","message":"Apply failed with 1 conflict","details":
        {"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"kubectl\"","field":".spec.replicas"}]}}"#;
    let error = KubeError::of_answer(StatusCode::CONFLICT, body);
    let owned = KubeError::Owned {
        message: "Apply failed with 1 conflict".into(),
        fields: vec![".spec.replicas".into()],
    };
    assert_eq!(error, owned);
    assert!(!error.is_worth_retrying());
    assert_eq!(error.fault(), Fault::Race);
}
