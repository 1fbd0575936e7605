//! Timeouts, retries and their budgets.

mod wire;

use std::time::Duration;

use mesh_types::Strng;

use super::TextMatch;

/// How long a request may take; absent means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From its last byte here to the last byte of its answer, all tries together.
    pub request: Option<Duration>,
    /// One try.
    pub per_try: Option<Duration>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often, beside the first try; 0 for never.
    pub attempts: u32,
    /// For one try; overrides [`Timeouts::per_try`].
    pub per_try_timeout: Option<Duration>,
    /// Any of them is enough.
    pub conditions: Vec<RetryCondition>,
    /// The shortest wait, which doubles with every try, to ten times as much; the actual one is random below it.
    pub backoff: Duration,
    /// Whether endpoints in other regions and zones may be tried.
    pub remote_localities: bool,
    /// Whether endpoints that were tried are avoided.
    pub avoid_previous: bool,
    /// An answer's `Retry-After` is the next pause, up to so long; who asks for longer is not asked again. Absent where it
    /// does not count.
    pub retry_after: Option<Duration>,
}

/// What makes a try count as failed (Envoy, `x-envoy-retry-on` and `x-envoy-retry-grpc-on`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryCondition {
    /// Any 5xx, or no answer at all.
    ServerError,
    /// 502, 503 or 504.
    GatewayError,
    /// No answer: disconnect, reset, timeout of the try.
    Reset,
    /// No answer, and the request was not sent to its end.
    ResetBeforeRequest,
    /// No connection.
    ConnectFailure,
    /// The peer says that it did not begin (REFUSED_STREAM).
    RefusedStream,
    /// 409.
    RetriableClientError,
    /// 429 with `x-envoy-ratelimited`.
    RateLimited,
    /// This status.
    Status(u16),
    /// A header of the answer.
    Header(Strng, TextMatch),
    /// This gRPC status, in headers.
    Grpc(u8),
}

/// How many retries there may be at once (Gateway API, XBackendTrafficPolicy; DestinationRule, `retryBudget`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// As a part of active requests, in per cent.
    pub percent: u32,
    /// At least these many.
    pub minimum: u32,
    /// Requests of this last time count as active; 0 for those that are.
    pub interval: Duration,
}

impl Default for RetryBudget {
    /// 20 %, at least 3.
    fn default() -> Self {
        Self {
            percent: 20,
            minimum: 3,
            interval: Duration::ZERO,
        }
    }
}

impl Default for Retry {
    /// What a request gets without any route: two more tries where no application began with it, or one of gRPC says that
    /// it did nothing (Istio, `connect-failure,refused-stream,unavailable,cancelled`). A 503 is none of these, since
    /// whoever answers it may have done something before (Istio since 1.24, `EXCLUDE_UNSAFE_503_FROM_DEFAULT_RETRY`).
    fn default() -> Self {
        Self {
            attempts: 2,
            per_try_timeout: None,
            conditions: vec![
                RetryCondition::ConnectFailure,
                RetryCondition::RefusedStream,
                RetryCondition::Grpc(14),
                RetryCondition::Grpc(1),
            ],
            backoff: Duration::from_millis(25),
            remote_localities: true,
            avoid_previous: true,
            retry_after: None,
        }
    }
}
