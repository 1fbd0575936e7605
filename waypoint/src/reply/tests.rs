use super::*;

#[test]
fn a_grpc_client_is_answered_with_a_status_in_headers() {
    let response = LocalReply::denied().into_response(true);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "7");
    assert_eq!(response.headers()["grpc-message"], "RBAC: access denied");
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

#[test]
fn other_clients_get_the_status_itself() {
    let response = LocalReply::no_healthy_upstream().into_response(false);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().get("grpc-status").is_none());
}

#[test]
fn grpc_is_told_by_its_content_type() {
    let with = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
        is_grpc(&headers)
    };
    assert!(with("application/grpc"));
    assert!(with("application/grpc+proto"));
    assert!(with("application/grpc;charset=utf-8"));
    assert!(!with("application/grpc-web"));
    assert!(!with("application/json"));
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn messages_survive_as_headers() {
    assert_eq!(percent_encoded("50 % ü\n".as_bytes()), b"50 %25 %C3%BC%0A");
}
