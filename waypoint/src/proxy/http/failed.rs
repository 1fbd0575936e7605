//! Why a try gave no answer, and what the client is told if it is not tried again.

use http::StatusCode;

use super::retry::Outcome;
use crate::body::Replay;
use crate::flags::ResponseFlag;
use crate::reply::LocalReply;
use crate::standing::Denied;
use crate::upstream::http::{Lost, TryError};

/// Why a try gave no answer.
pub(super) enum Failed {
    Try(TryError),
    TimedOut,
    /// It is not allowed any more.
    Denied(Denied),
    /// Where the answer ends can be understood in two ways.
    Ambiguous,
}

impl Failed {
    /// The answer if it is not tried again, with the reason for people; and what conditions for retries see.
    pub(super) fn meaning(
        self,
        body: Option<&Replay>,
    ) -> ((LocalReply, Option<String>), Option<Outcome<'static>>) {
        let sent = body.is_none_or(Replay::is_complete);
        let unavailable = |details, reason: &str, flag| {
            let message =
                format!("upstream connect error or disconnect/reset before headers. reset reason: {reason}");
            LocalReply::new(StatusCode::SERVICE_UNAVAILABLE, details, message).flagged(flag)
        };
        // The client broke its own request off.
        if body.is_some_and(|body| body.error().is_some()) {
            let reply = LocalReply::new(StatusCode::BAD_REQUEST, "downstream_request_broken", "")
                .flagged(ResponseFlag::DownstreamConnectionTermination);
            return ((reply, None), None);
        }
        let broken = |error| {
            let reply = LocalReply::new(
                StatusCode::BAD_GATEWAY,
                "upstream_reset_before_response_started{protocol_error}",
                "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
            )
            .flagged(ResponseFlag::UpstreamProtocolError);
            ((reply, Some(error)), Some(Outcome::Reset { sent }))
        };
        match self {
            Self::Denied(denied) => {
                let details = denied.details;
                (
                    (
                        LocalReply {
                            details,
                            ..LocalReply::denied()
                        },
                        None,
                    ),
                    None,
                )
            }
            Self::Ambiguous => broken("ambiguous Content-Length or Transfer-Encoding".to_owned()),
            Self::TimedOut => {
                let reply = LocalReply::timed_out();
                let details = "upstream_per_try_timeout";
                ((LocalReply { details, ..reply }, None), Some(Outcome::TimedOut))
            }
            // Others would be in the same queue.
            Self::Try(TryError::Overflow) => ((LocalReply::overflow(), None), None),
            Self::Try(TryError::Connect(error)) => {
                let flag = ResponseFlag::UpstreamConnectionFailure;
                let reply = unavailable(
                    "upstream_reset_before_response_started{connection_failure}",
                    "connection failure",
                    flag,
                );
                ((reply, Some(error.to_string())), Some(Outcome::ConnectFailure))
            }
            Self::Try(TryError::RefusedStream(error) | TryError::NotBegun(error)) => {
                let flag = ResponseFlag::UpstreamRemoteReset;
                let reply = unavailable(
                    "upstream_reset_before_response_started{remote_refused_stream_reset}",
                    "remote refused stream reset",
                    flag,
                );
                ((reply, Some(error.to_string())), Some(Outcome::RefusedStream))
            }
            Self::Try(TryError::Lost(Lost::Reset, error)) => {
                let flag = ResponseFlag::UpstreamRemoteReset;
                let reply = unavailable(
                    "upstream_reset_before_response_started{remote_reset}",
                    "remote reset",
                    flag,
                );
                ((reply, Some(error.to_string())), Some(Outcome::Reset { sent }))
            }
            Self::Try(TryError::Lost(Lost::Protocol, error)) => broken(error.to_string()),
            Self::Try(TryError::Lost(_, error) | TryError::Stale(error) | TryError::NotSent(error)) => {
                let flag = ResponseFlag::UpstreamConnectionTermination;
                let reply = unavailable(
                    "upstream_reset_before_response_started{connection_termination}",
                    "connection termination",
                    flag,
                );
                ((reply, Some(error.to_string())), Some(Outcome::Reset { sent }))
            }
        }
    }
}
