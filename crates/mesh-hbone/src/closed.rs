//! Why a connection ended, shared with the tunnels that it carried.

use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;

use mesh_net::StreamError;
use mesh_types::Identity;

use crate::expiry::Whose;
use crate::tls::{Failure, SharedIo};

/// Why an HBONE connection ended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// All streams were over and one end closed it.
    #[error("closed after its last stream")]
    Finished,
    /// This end closed it under its streams.
    #[error("closed by this end")]
    Shutdown,
    /// The peer closed it or went away without a word.
    #[error("closed by the peer")]
    PeerGone,
    /// Nothing was heard from the peer, not even an answer to a PING.
    #[error("peer does not answer")]
    PingTimeout,
    /// A certificate that the connection was authenticated with has expired.
    #[error("{0} certificate has expired")]
    Expired(Whose),
    /// TLS failed: a bad record, or an alert, as when the peer does not accept our certificate.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The peer broke HTTP/2, or says that we did.
    #[error("HTTP/2: {0}")]
    Http2(String),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(std::io::ErrorKind),
}

/// What the streams of one connection know about it.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    peer: Option<Identity>,
    local: Option<SocketAddr>,
    end: OnceCell<ConnectionEnd>,
}

// === impl ConnectionEnd ===

impl ConnectionEnd {
    /// What a stream that the connection carried ended with.
    #[must_use]
    pub fn stream_error(&self) -> StreamError {
        match self {
            Self::Finished | Self::Shutdown | Self::PeerGone => StreamError::Closed,
            Self::PingTimeout => StreamError::TimedOut,
            Self::Expired(_) => StreamError::Expired,
            Self::Tls(_) | Self::Http2(_) => StreamError::Protocol,
            Self::Io(kind) => StreamError::from(&std::io::Error::from(*kind)),
        }
    }

    /// How a connection ended whose multiplexer gave `result`.
    pub(crate) fn of(io: &SharedIo, result: Result<(), h2::Error>) -> Self {
        if let Some(failure) = io.with(|tls| tls.failure().cloned()) {
            return Self::from(failure);
        }
        match result {
            Ok(()) => Self::Finished,
            Err(e) if e.is_io() => Self::PeerGone,
            Err(e) if e.reason() == Some(h2::Reason::NO_ERROR) => Self::PeerGone,
            Err(e) => Self::Http2(e.to_string()),
        }
    }
}

impl From<Failure> for ConnectionEnd {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Tls(error) => Self::Tls(error),
            Failure::Eof => Self::PeerGone,
            Failure::Io(
                std::io::ErrorKind::ConnectionReset
                | std::io::ErrorKind::BrokenPipe
                | std::io::ErrorKind::ConnectionAborted
                | std::io::ErrorKind::NotConnected
                | std::io::ErrorKind::UnexpectedEof,
            ) => Self::PeerGone,
            Failure::Io(kind) => Self::Io(kind),
        }
    }
}

// === impl ConnectionState ===

impl ConnectionState {
    pub(crate) fn new(peer: Option<Identity>, local: Option<SocketAddr>) -> Rc<Self> {
        Rc::new(Self {
            peer,
            local,
            end: OnceCell::new(),
        })
    }

    /// Who is at the other end, verified; nothing when its certificate carries a foreign form of identity.
    pub(crate) fn peer(&self) -> Option<&Identity> {
        self.peer.as_ref()
    }

    /// Our address, where the connection was dialled here.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Notes the end; the first one noted counts.
    pub(crate) fn ended(&self, end: ConnectionEnd) {
        // A second end follows from the first.
        let _ = self.end.set(end);
    }

    pub(crate) fn end(&self) -> Option<&ConnectionEnd> {
        self.end.get()
    }

    /// What a stream's error means.
    pub(crate) fn stream_error(&self, error: &h2::Error) -> StreamError {
        if error.is_reset() && error.is_remote() {
            return StreamError::Reset;
        }
        if let Some(end) = self.end() {
            return end.stream_error();
        }
        if error.is_io() || error.is_go_away() && error.is_remote() {
            return StreamError::Closed;
        }
        StreamError::Protocol
    }
}
