//! When requests are tried again (Istio reference, "HTTPRetry"; Envoy documentation, "Router", `x-envoy-retry-on`).

use std::time::Duration;

use controlplane_k8s_api::networking::VsRetry;
use mesh_model::l7::resilience::{Retry, RetryCondition};

/// A policy; what it does not say is as for requests without any.
pub(crate) fn retry(wanted: &VsRetry) -> Retry {
    let default = Retry::default();
    let words = wanted
        .retry_on
        .split(',')
        .map(str::trim)
        .filter(|w| !w.is_empty());
    // `retriable-status-codes` alone names no status (Istio).
    let conditions: Vec<RetryCondition> = words.clone().filter_map(condition).collect();
    Retry {
        attempts: wanted.attempts,
        per_try_timeout: wanted.per_try_timeout.map(|t| t.0).filter(|t| !t.is_zero()),
        conditions: match words.count() {
            0 => default.conditions,
            _ => conditions,
        },
        backoff: wanted.backoff.map_or(default.backoff, |b| b.0),
        remote_localities: wanted
            .retry_remote_localities
            .unwrap_or(default.remote_localities),
        avoid_previous: wanted
            .retry_ignore_previous_hosts
            .unwrap_or(default.avoid_previous),
        retry_after: Some(LONGEST_RETRY_AFTER),
    }
}

/// A condition by its name or a status; what has no meaning here (HTTP/3, lists that this API cannot give) is none.
fn condition(word: &str) -> Option<RetryCondition> {
    Some(match word {
        "5xx" => RetryCondition::ServerError,
        "gateway-error" => RetryCondition::GatewayError,
        "reset" => RetryCondition::Reset,
        "reset-before-request" => RetryCondition::ResetBeforeRequest,
        "connect-failure" => RetryCondition::ConnectFailure,
        "envoy-ratelimited" => RetryCondition::RateLimited,
        "retriable-4xx" => RetryCondition::RetriableClientError,
        "refused-stream" => RetryCondition::RefusedStream,
        "cancelled" => RetryCondition::Grpc(1),
        "deadline-exceeded" => RetryCondition::Grpc(4),
        "resource-exhausted" => RetryCondition::Grpc(8),
        "internal" => RetryCondition::Grpc(13),
        "unavailable" => RetryCondition::Grpc(14),
        status => RetryCondition::Status(status.parse().ok().filter(|s| (200..=599).contains(s))?),
    })
}

/// What an endpoint may ask for where somebody asked for retries (`Retry-After`): a client waits so long without a byte.
pub(in crate::l7) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);
