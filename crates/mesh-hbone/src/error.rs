//! Why there is no tunnel: who is to blame, whether to try again, and how metrics and logs call it.

use std::rc::Rc;

use http::StatusCode;
use mesh_net::DialError;
use mesh_tls::CertUnavailable;

use crate::closed::ConnectionEnd;
use crate::request::UnencodableRequest;

/// Why a client got no tunnel. Cheap to clone: all callers that waited for one dial get the same.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no certificate for the caller's identity.
    #[error("no certificate for the source: {0}")]
    Certificate(Rc<CertUnavailable>),
    /// No TCP connection.
    #[error("{0}{hint}", hint = hint(.0))]
    Dial(Rc<DialError>),
    /// A step took too long.
    #[error("{step} did not finish in time{hint}", hint = step.hint())]
    TimedOut {
        /// Which one.
        step: ConnectStep,
    },
    /// The peer is not who it should be.
    #[error("the peer's identity is not the expected one: {0}")]
    WrongPeer(rustls::Error),
    /// The TLS handshake failed otherwise, or the peer does not accept our certificate.
    #[error("TLS handshake: {0}")]
    Tls(ConnectionEnd),
    /// The peer agreed to TLS but not to HTTP/2.
    #[error("HTTP/2: {0}")]
    Http2(ConnectionEnd),
    /// The peer refused the request.
    #[error("the peer answered {0}")]
    Refused(StatusCode),
    /// The stream or its connection ended before the peer answered.
    #[error("ended before the answer: {0}")]
    Lost(ConnectionEnd),
    /// The peer reset the stream before it answered.
    #[error("reset before the answer")]
    Reset,
    /// The request cannot be written.
    #[error(transparent)]
    Request(#[from] UnencodableRequest),
    /// The pool is closing down.
    #[error("the pool is closing down")]
    Draining,
}

/// Why a server has no connection with a client that came.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The handshake took too long.
    #[error("{step} did not finish in time")]
    TimedOut {
        /// Which step of it.
        step: ConnectStep,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake: {0}")]
    Tls(ConnectionEnd),
    /// The client's certificate names nobody.
    #[error("peer certificate: {0}")]
    Peer(Rc<mesh_tls::PeerIdentityError>),
    /// HTTP/2 was not agreed on or its preface is missing.
    #[error("HTTP/2: {0}")]
    Http2(ConnectionEnd),
}

/// The steps to a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ConnectStep {
    /// Getting the certificate.
    Certificate,
    /// TCP.
    Dial,
    /// TLS.
    Tls,
    /// The HTTP/2 preface.
    Http2,
    /// The answer to CONNECT.
    Answer,
}

/// Whose fault a failure is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blame {
    /// This end.
    Us,
    /// The network between the two, as far as one can tell.
    Network,
    /// The far end.
    Peer,
}

/// `response_flags` in metrics and logs: Istio's words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResponseFlag {
    /// `DENY`
    Denied,
    /// `CONNECT`
    ConnectFailure,
    /// `TLS_FAILURE`
    TlsFailure,
    /// `H2_HANDSHAKE_FAILURE`
    Http2HandshakeFailure,
    /// `NETWORK_POLICY`: nobody answered on the port, as when a NetworkPolicy does not allow 15008.
    NetworkPolicy,
    /// `IDENTITY_ERROR`
    IdentityError,
}

// === impl ConnectError ===

impl ConnectError {
    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Certificate(_) | Self::Request(_) | Self::Draining => Blame::Us,
            Self::Dial(error) if error.is_local() => Blame::Us,
            Self::TimedOut {
                step: ConnectStep::Certificate,
            } => Blame::Us,
            Self::Dial(_) | Self::TimedOut { .. } | Self::Lost(_) => Blame::Network,
            Self::WrongPeer(_) | Self::Tls(_) | Self::Http2(_) | Self::Refused(_) | Self::Reset => {
                Blame::Peer
            }
        }
    }

    /// Whether the same may work a moment later without anybody changing anything here.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Certificate(error) => error.is_retryable(),
            Self::Dial(error) => error.is_retryable(),
            Self::TimedOut { .. } | Self::Lost(_) | Self::Reset => true,
            Self::Refused(status) => *status == StatusCode::SERVICE_UNAVAILABLE,
            Self::WrongPeer(_) | Self::Tls(_) | Self::Http2(_) | Self::Request(_) | Self::Draining => false,
        }
    }

    /// What metrics and logs call it.
    #[must_use]
    pub fn flag(&self) -> ResponseFlag {
        match self {
            Self::Certificate(_)
            | Self::WrongPeer(_)
            | Self::TimedOut {
                step: ConnectStep::Certificate,
            } => ResponseFlag::IdentityError,
            Self::TimedOut {
                step: ConnectStep::Dial,
            } => ResponseFlag::NetworkPolicy,
            Self::Dial(error) if matches!(**error, DialError::Timeout { .. }) => ResponseFlag::NetworkPolicy,
            Self::Tls(_)
            | Self::TimedOut {
                step: ConnectStep::Tls,
            } => ResponseFlag::TlsFailure,
            Self::Http2(_)
            | Self::TimedOut {
                step: ConnectStep::Http2,
            } => ResponseFlag::Http2HandshakeFailure,
            Self::Refused(status) if *status == StatusCode::UNAUTHORIZED => ResponseFlag::Denied,
            Self::Dial(_)
            | Self::TimedOut {
                step: ConnectStep::Answer,
            }
            | Self::Refused(_)
            | Self::Lost(_)
            | Self::Reset
            | Self::Request(_)
            | Self::Draining => ResponseFlag::ConnectFailure,
        }
    }
}

impl From<CertUnavailable> for ConnectError {
    fn from(error: CertUnavailable) -> Self {
        Self::Certificate(Rc::new(error))
    }
}

impl From<DialError> for ConnectError {
    fn from(error: DialError) -> Self {
        Self::Dial(Rc::new(error))
    }
}

// === impl AcceptError ===

impl AcceptError {
    /// What metrics and logs call it.
    #[must_use]
    pub fn flag(&self) -> ResponseFlag {
        match self {
            Self::Tls(_) => ResponseFlag::TlsFailure,
            Self::Peer(_) => ResponseFlag::IdentityError,
            Self::Http2(_) => ResponseFlag::Http2HandshakeFailure,
            Self::TimedOut { step } => match step {
                ConnectStep::Http2 => ResponseFlag::Http2HandshakeFailure,
                _ => ResponseFlag::TlsFailure,
            },
        }
    }
}

/// Most networks drop what a NetworkPolicy does not allow. A refusal is mostly that of a node whose proxy is not there.
fn hint(error: &DialError) -> &'static str {
    match error {
        DialError::Timeout { .. } => ConnectStep::Dial.hint(),
        _ => "",
    }
}

// === impl ConnectStep ===

impl ConnectStep {
    fn hint(self) -> &'static str {
        match self {
            Self::Dial => "; does a NetworkPolicy allow port 15008?",
            Self::Certificate | Self::Tls | Self::Http2 | Self::Answer => "",
        }
    }
}

impl std::fmt::Display for ConnectStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate => "getting the certificate",
            Self::Dial => "connecting",
            Self::Tls => "the TLS handshake",
            Self::Http2 => "the HTTP/2 handshake",
            Self::Answer => "the answer to CONNECT",
        })
    }
}

// === impl ResponseFlag ===

impl ResponseFlag {
    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "DENY",
            Self::ConnectFailure => "CONNECT",
            Self::TlsFailure => "TLS_FAILURE",
            Self::Http2HandshakeFailure => "H2_HANDSHAKE_FAILURE",
            Self::NetworkPolicy => "NETWORK_POLICY",
            Self::IdentityError => "IDENTITY_ERROR",
        }
    }
}

#[cfg(test)]
mod tests;
