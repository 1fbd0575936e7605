//! When requests are tried again, as VirtualServices and the mesh's configuration say it (Istio reference, "Virtual
//! Service", `HTTPRetry`).

use std::time::Duration;

use controlplane_k8s_api::networking::VsRetry;
use mesh_model::l7::resilience::{Retry, RetryCondition};

/// When requests are tried again, and the conditions that are none.
pub(crate) fn retry(spec: &VsRetry) -> (Retry, Vec<String>) {
    let default = Retry::default();
    let mut unknown = Vec::new();
    let mut conditions: Vec<RetryCondition> = Vec::new();
    for name in spec
        .retry_on
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        match condition(name) {
            Ok(Some(condition)) if conditions.contains(&condition) => {}
            Ok(Some(condition)) => conditions.push(condition),
            Ok(None) => {}
            Err(()) => unknown.push(name.to_owned()),
        }
    }
    let time = |time: Option<controlplane_k8s_api::value::IstioDuration>| {
        time.map(|time| time.0).filter(|time| *time > Duration::ZERO)
    };
    let retry = Retry {
        attempts: spec.attempts,
        per_try_timeout: time(spec.per_try_timeout),
        conditions: match spec.retry_on.trim().is_empty() {
            true => default.conditions,
            false => conditions,
        },
        backoff: time(spec.backoff).unwrap_or(default.backoff),
        remote_localities: spec.retry_remote_localities.unwrap_or(default.remote_localities),
        avoid_previous: spec.retry_ignore_previous_hosts.unwrap_or(default.avoid_previous),
    };
    (retry, unknown)
}

/// Nothing for what says nothing by itself, or cannot happen here.
fn condition(name: &str) -> Result<Option<RetryCondition>, ()> {
    Ok(Some(match name {
        "5xx" => RetryCondition::ServerError,
        "gateway-error" => RetryCondition::GatewayError,
        "reset" => RetryCondition::Reset,
        "reset-before-request" => RetryCondition::ResetBeforeRequest,
        "connect-failure" => RetryCondition::ConnectFailure,
        "refused-stream" => RetryCondition::RefusedStream,
        "retriable-4xx" => RetryCondition::RetriableClientError,
        "envoy-ratelimited" => RetryCondition::RateLimited,
        "cancelled" => RetryCondition::Grpc(1),
        "deadline-exceeded" => RetryCondition::Grpc(4),
        "resource-exhausted" => RetryCondition::Grpc(8),
        "internal" => RetryCondition::Grpc(13),
        "unavailable" => RetryCondition::Grpc(14),
        // Statuses and headers stand beside these; HTTP/3 is not spoken.
        "retriable-status-codes" | "retriable-headers" | "http3-post-connect-failure" => return Ok(None),
        number => match number.parse() {
            Ok(status @ 200..=599) => RetryCondition::Status(status),
            _ => return Err(()),
        },
    }))
}

#[cfg(test)]
mod tests;
