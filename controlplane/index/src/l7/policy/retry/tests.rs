use std::time::Duration;

use controlplane_k8s_api::networking::VsRetry;
use controlplane_k8s_api::value::IstioDuration;
use mesh_model::l7::resilience::{Retry, RetryCondition};

use super::retry;

fn on(retry_on: &str) -> (Retry, Vec<String>) {
    retry(&VsRetry {
        attempts: 3,
        retry_on: retry_on.into(),
        ..VsRetry::default()
    })
}

#[test]
fn every_condition_by_its_name() {
    use RetryCondition::{
        ConnectFailure, GatewayError, Grpc, RateLimited, RefusedStream, Reset, ResetBeforeRequest,
        RetriableClientError, ServerError, Status,
    };
    for (name, expected) in [
        ("5xx", ServerError),
        ("gateway-error", GatewayError),
        ("reset", Reset),
        ("reset-before-request", ResetBeforeRequest),
        ("connect-failure", ConnectFailure),
        ("refused-stream", RefusedStream),
        ("retriable-4xx", RetriableClientError),
        ("envoy-ratelimited", RateLimited),
        ("cancelled", Grpc(1)),
        ("deadline-exceeded", Grpc(4)),
        ("resource-exhausted", Grpc(8)),
        ("internal", Grpc(13)),
        ("unavailable", Grpc(14)),
        ("503", Status(503)),
    ] {
        assert_eq!(on(name).0.conditions, [expected], "{name}");
    }
}

#[test]
fn lists_have_spaces_doubles_and_mistakes() {
    let (retry, unknown) = on(" 5xx , 5xx,,retriable-status-codes,99,nonsense, 429");
    assert_eq!(
        retry.conditions,
        [RetryCondition::ServerError, RetryCondition::Status(429)]
    );
    assert_eq!(unknown, ["99", "nonsense"]);
    assert_eq!(on("").0.conditions, Retry::default().conditions);
}

#[test]
fn the_rest_has_defaults() {
    let (retry, _) = on("");
    assert_eq!(
        retry,
        Retry {
            attempts: 3,
            ..Retry::default()
        }
    );
    let spec = VsRetry {
        attempts: 0,
        per_try_timeout: Some(IstioDuration(Duration::from_secs(2))),
        retry_on: "5xx".into(),
        retry_remote_localities: Some(false),
        retry_ignore_previous_hosts: Some(false),
        backoff: Some(IstioDuration(Duration::from_millis(7))),
    };
    let (retry, _) = super::retry(&spec);
    assert_eq!(
        retry,
        Retry {
            attempts: 0,
            per_try_timeout: Some(Duration::from_secs(2)),
            conditions: vec![RetryCondition::ServerError],
            backoff: Duration::from_millis(7),
            remote_localities: false,
            avoid_previous: false,
        }
    );
}
