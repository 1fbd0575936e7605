//! When is a request tried again? Pure.

pub(crate) mod date;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};
use mesh_model::l7::resilience::{Retry, RetryCondition};

use super::tail::grpc_status;

/// How a try ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'a> {
    /// With an answer.
    Answered(StatusCode, &'a HeaderMap),
    /// There was no connection.
    ConnectFailure,
    /// The endpoint says that it did not begin.
    RefusedStream,
    /// There was no answer. `sent`: the whole request was.
    Reset {
        /// The request had been sent to its end.
        sent: bool,
    },
    /// Its time was over.
    TimedOut,
}

/// Whether one of the conditions holds.
pub(super) fn wanted(retry: &Retry, outcome: Outcome<'_>) -> bool {
    retry.conditions.iter().any(|condition| holds(condition, outcome))
}

fn holds(condition: &RetryCondition, outcome: Outcome<'_>) -> bool {
    use Outcome::{Answered, ConnectFailure, RefusedStream, Reset, TimedOut};
    match (condition, outcome) {
        (RetryCondition::ServerError, Answered(status, _)) => status.is_server_error(),
        (RetryCondition::ServerError | RetryCondition::Reset, _) if !matches!(outcome, Answered(..)) => true,
        (RetryCondition::GatewayError, Answered(status, _)) => matches!(status.as_u16(), 502..=504),
        // Envoy counts what never was an answer as 503 here.
        (RetryCondition::GatewayError, _) => true,
        (RetryCondition::ResetBeforeRequest, ConnectFailure | RefusedStream | Reset { sent: false }) => true,
        (RetryCondition::ConnectFailure, ConnectFailure) => true,
        (RetryCondition::RefusedStream, RefusedStream) => true,
        (RetryCondition::RetriableClientError, Answered(status, _)) => status == StatusCode::CONFLICT,
        (RetryCondition::RateLimited, Answered(status, headers)) => {
            status == StatusCode::TOO_MANY_REQUESTS && headers.contains_key("x-envoy-ratelimited")
        }
        (RetryCondition::Status(wanted), Answered(status, _)) => status.as_u16() == *wanted,
        (RetryCondition::Status(504), TimedOut) => true,
        (RetryCondition::Header(name, value), Answered(_, headers)) => {
            let mut values = headers.get_all(name.as_str()).iter();
            values.any(|found| found.to_str().is_ok_and(|found| value.matches(found)))
        }
        (RetryCondition::Grpc(wanted), Answered(_, headers)) => grpc_status(headers) == Some(*wanted),
        _ => false,
    }
}

/// Whether a request may be sent again although it may have been carried out: it makes no difference how often it is
/// (RFC 9110, section 9.2.2).
pub(super) fn idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// How long to wait before the `n`th further try (from 1): a random part of a time that doubles, up to ten times the
/// first (Envoy, "Automatic retries": full jitter). `random` is below 1.
pub(super) fn pause(retry: &Retry, n: u32, random: f64) -> Duration {
    let doubled = retry.backoff.saturating_mul(1 << (n - 1).min(10));
    doubled.min(retry.backoff.saturating_mul(10)).mul_f64(random)
}

/// How long an answer asks to be left alone, where that counts (RFC 9110, section 10.2.3).
pub(super) fn told(retry: &Retry, outcome: Outcome<'_>, now: SystemTime) -> Option<Duration> {
    let Outcome::Answered(_, headers) = outcome else {
        return None;
    };
    retry.retry_after?;
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // One that is over asks for nothing.
        Err(_) => Some(date::at(text)?.duration_since(now).unwrap_or_default()),
    }
}

/// The pause that was asked for, and up to half of it more, so that not all come back at once (Envoy,
/// `rate_limited_retry_back_off`); nothing where that is longer than the rule allows.
pub(super) fn heeded(retry: &Retry, told: Duration, random: f64) -> Option<Duration> {
    let most = retry.retry_after?;
    (told <= most).then(|| told + told.mul_f64(random / 2.0))
}

/// Whether an answer is a limit's.
pub(super) fn is_limited(outcome: Outcome<'_>) -> bool {
    matches!(outcome, Outcome::Answered(StatusCode::TOO_MANY_REQUESTS, _))
}

#[cfg(test)]
mod tests;
