//! Retries and sessions of a rule (Gateway API, "HTTPRouteRetry", "SessionPersistence").

use std::time::Duration;

use controlplane_k8s_api::gateway::{CookieLifetime, HttpRetry, SessionPersistence, SessionType};
use mesh_model::l7::resilience::{Retry, RetryCondition};
use mesh_model::l7::session::{Session, SessionCarrier};
use mesh_types::Strng;

use crate::l7::lowering::Lowering;
use crate::l7::virtual_service::retry::LONGEST_RETRY_AFTER;

/// When a request is tried again: where there was no answer, where a gRPC service says that it did nothing, and at these
/// statuses.
pub(super) fn retry(retry: &HttpRetry) -> Retry {
    let statuses = retry.codes.iter().map(|code| RetryCondition::Status(*code));
    // "Implementations SHOULD retry on connection errors (disconnect, reset, timeout, TCP failure)".
    let always = [
        RetryCondition::ConnectFailure,
        RetryCondition::RefusedStream,
        RetryCondition::Reset,
        RetryCondition::Grpc(UNAVAILABLE),
        RetryCondition::Grpc(CANCELLED),
    ];
    let default = Retry::default();
    Retry {
        attempts: retry.attempts.unwrap_or(default.attempts),
        conditions: always.into_iter().chain(statuses).collect(),
        backoff: retry.backoff.map_or(default.backoff, |b| b.0),
        retry_after: Some(LONGEST_RETRY_AFTER),
        ..default
    }
}

/// What keeps a client at one endpoint. Without a name the session has one of its rule's own.
pub(in crate::l7) fn session(
    lowering: &Lowering<'_, '_>,
    index: usize,
    rule: Option<&Strng>,
    session: &SessionPersistence,
) -> Session {
    let own_name = || {
        let rule = rule.map_or_else(|| index.to_string(), ToString::to_string);
        let name = lowering.name;
        Strng::from(format!("session-{}-{}-{rule}", name.namespace, name.name))
    };
    let name = session.session_name.clone().unwrap_or_else(own_name);
    let positive = |d: Duration| (!d.is_zero()).then_some(d);
    let (carrier, name) = match session.kind {
        SessionType::Cookie => {
            let permanent = session
                .cookie_config
                .is_some_and(|c| c.lifetime_type == CookieLifetime::Permanent);
            (SessionCarrier::Cookie { permanent }, name)
        }
        SessionType::Header => (SessionCarrier::Header, name.to_ascii_lowercase().into()),
    };
    Session {
        name,
        carrier,
        absolute_timeout: session.absolute_timeout.and_then(|t| positive(t.0)),
        idle_timeout: session.idle_timeout.and_then(|t| positive(t.0)),
    }
}

/// gRPC documentation, "Status codes and their use in gRPC".
const UNAVAILABLE: u8 = 14;
const CANCELLED: u8 = 1;
