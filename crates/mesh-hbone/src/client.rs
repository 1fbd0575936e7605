//! The client's end of one HBONE connection.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::StatusCode;
use mesh_tls::{RejectedPeer, WorkloadCertificate};
use mesh_types::Identity;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::budget::{Grant, ReceiveBudget};
use crate::closed::{ConnectionEnd, ConnectionState};
use crate::error::{ConnectError, ConnectStep};
use crate::expiry;
use crate::options::HboneOptions;
use crate::pulse::Pulse;
use crate::request::{ConnectRequest, ConnectResponse};
use crate::tls::{Failure, SharedIo, TlsIo, Transport};
use crate::tunnel::Tunnel;

/// A connection on which tunnels can be opened. When all clones are dropped, it closes once its streams are over.
#[derive(Clone)]
pub struct ClientConnection {
    sender: SendRequest<Bytes>,
    state: Rc<ConnectionState>,
    options: Rc<HboneOptions>,
}

/// Moves the frames of one connection; to be spawned on the worker that uses it. It ends when the connection does, at the
/// latest when the peer's certificate expires; dropping it ends the connection at once.
pub struct ClientDriver {
    connection: Connection<SharedIo, Bytes>,
    pulse: Pulse,
    state: Rc<ConnectionState>,
    /// Held for its window's sake.
    _window: Grant,
}

/// Why a stream could not be opened.
pub(crate) enum OpenError {
    /// The peer has not looked at it, or its connection was dead before the peer could answer: another connection may
    /// do better.
    NotProcessed(ConnectError),
    /// It is final.
    Final(ConnectError),
}

/// Makes an HBONE connection over a byte stream: a TCP connection, or a [`TunnelIo`](crate::TunnelIo) for a tunnel
/// inside a tunnel.
///
/// # Errors
/// Fails when the handshakes fail or take longer than `handshake_deadline`, or when the peer is none of those that
/// `config` expects.
pub async fn establish(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    config: Arc<ClientConfig>,
    options: &Rc<HboneOptions>,
    budget: &ReceiveBudget,
) -> Result<(ClientConnection, ClientDriver), ConnectError> {
    establish_over(Box::new(io), None, config, options, budget).await
}

pub(crate) async fn establish_over(
    io: Box<dyn Transport>,
    local: Option<SocketAddr>,
    config: Arc<ClientConfig>,
    options: &Rc<HboneOptions>,
    budget: &ReceiveBudget,
) -> Result<(ClientConnection, ClientDriver), ConnectError> {
    let late = |step| move |_| ConnectError::TimedOut { step };
    let tls = timeout(options.handshake_deadline, TlsIo::connect(io, config))
        .await
        .map_err(late(ConnectStep::Tls))?
        .map_err(tls_error)?;
    if !tls.speaks_http2() {
        let none = rustls::Error::NoApplicationProtocol;
        return Err(ConnectError::Tls(ConnectionEnd::Tls(none)));
    }
    let lifetime = expiry::remaining(tls.peer_certificates(), SystemTime::now());
    let peer = mesh_tls::peer_identity(tls.peer_certificates()).ok();
    let state = ConnectionState::new(peer, local);
    let io = SharedIo::new(tls);
    let window = budget.grant(options.connection_window);
    let (sender, mut connection) = timeout(
        options.handshake_deadline,
        preface(io.clone(), options, window.window()),
    )
    .await
    .map_err(late(ConnectStep::Http2))?
    .map_err(ConnectError::Http2)?;
    let ping = connection
        .ping_pong()
        .expect("it is asked for once, right after the handshake");
    let client = ClientConnection {
        sender,
        state: state.clone(),
        options: options.clone(),
    };
    let driver = ClientDriver {
        connection,
        pulse: Pulse::new(io, ping, options.keepalive, lifetime),
        state,
        _window: window,
    };
    Ok((client, driver))
}

async fn preface(
    io: SharedIo,
    options: &HboneOptions,
    window: u32,
) -> Result<(SendRequest<Bytes>, Connection<SharedIo, Bytes>), ConnectionEnd> {
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(window)
        .max_frame_size(options.frame_size)
        .max_header_list_size(options.response_header_list)
        .max_send_buffer_size(options.send_buffer)
        .data_frame_budget(options.data_frame_budget)
        .enable_push(false);
    let mut handshake = pin!(builder.handshake(io.clone()));
    let done = poll_fn(|cx| {
        let done = handshake.as_mut().poll(cx);
        if let Poll::Ready(Err(failure)) = io.with(|tls| tls.poll_drain(cx)) {
            return Poll::Ready(Err(ConnectionEnd::from(failure)));
        }
        done.map_err(|e| ConnectionEnd::of(&io, Err(e)))
    });
    done.await
}

fn tls_error(failure: Failure) -> ConnectError {
    match failure {
        Failure::Tls(error) if RejectedPeer::among(&error).is_some() => ConnectError::WrongPeer(error),
        other => ConnectError::Tls(other.into()),
    }
}

// === impl ClientConnection ===

impl ClientConnection {
    /// Who is at the other end, verified; nothing when its certificate carries a foreign form of identity.
    #[must_use]
    pub fn peer(&self) -> Option<&Identity> {
        self.state.peer()
    }

    /// Opens a tunnel, and waits for the peer's answer.
    ///
    /// Dropping the future resets the stream.
    ///
    /// # Errors
    /// Fails when the connection is over, the peer refuses, or `answer_deadline` passes.
    pub async fn tunnel(&self, request: &ConnectRequest) -> Result<Tunnel, ConnectError> {
        let request = request.to_http()?;
        self.open(request).await.map_err(OpenError::into_error)
    }

    /// How many streams the connection may carry: ours to decide within what the peer allows.
    pub(crate) fn stream_limit(&self) -> usize {
        let allowed = self.sender.current_max_send_streams();
        self.options.max_streams_per_connection.min(allowed)
    }

    pub(crate) async fn open(&self, request: http::Request<()>) -> Result<Tunnel, OpenError> {
        let opened = timeout(self.options.answer_deadline, self.ask(request)).await;
        opened.unwrap_or(Err(OpenError::Final(ConnectError::TimedOut {
            step: ConnectStep::Answer,
        })))
    }

    async fn ask(&self, request: http::Request<()>) -> Result<Tunnel, OpenError> {
        let sender = self.sender.clone();
        let mut sender = sender.ready().await.map_err(|e| self.unopened(&e))?;
        let (answer, send) = sender
            .send_request(request, false)
            .map_err(|e| self.unopened(&e))?;
        let answer = answer.await.map_err(|e| self.unanswered(&e))?;
        if answer.status() != StatusCode::OK {
            return Err(OpenError::Final(ConnectError::Refused(answer.status())));
        }
        let (head, recv) = answer.into_parts();
        let baggage = ConnectResponse::from_http(&head.headers).baggage;
        Ok(Tunnel::new(recv, send, self.state.clone()).with_baggage(baggage))
    }

    /// The request did not leave.
    fn unopened(&self, error: &h2::Error) -> OpenError {
        OpenError::NotProcessed(ConnectError::Lost(self.end_of(error)))
    }

    /// The request left and was not answered. No byte of the application went with it, so that it can be repeated: at
    /// worst the far end opens a connection to the target that nobody uses.
    fn unanswered(&self, error: &h2::Error) -> OpenError {
        if error.is_reset() {
            return match error.reason() {
                // RFC 9113, section 8.7: refused before any processing.
                Some(h2::Reason::REFUSED_STREAM) => OpenError::NotProcessed(ConnectError::Reset),
                _ => OpenError::Final(ConnectError::Reset),
            };
        }
        match self.end_of(error) {
            // TLS 1.3: a client learns only after its handshake that its certificate is not accepted.
            end @ ConnectionEnd::Tls(_) => OpenError::Final(ConnectError::Tls(end)),
            end => OpenError::NotProcessed(ConnectError::Lost(end)),
        }
    }

    fn end_of(&self, error: &h2::Error) -> ConnectionEnd {
        match self.state.end() {
            Some(end) => end.clone(),
            None if error.is_io() || error.reason() == Some(h2::Reason::NO_ERROR) => ConnectionEnd::PeerGone,
            None => ConnectionEnd::Http2(error.to_string()),
        }
    }
}

// === impl OpenError ===

impl OpenError {
    pub(crate) fn into_error(self) -> ConnectError {
        match self {
            Self::NotProcessed(error) | Self::Final(error) => error,
        }
    }
}

// === impl ClientDriver ===

impl ClientDriver {
    /// The connection also ends when the certificate that this end has shown expires.
    pub fn expire_with(&mut self, shown: &WorkloadCertificate) {
        let lifetime = expiry::until(shown.not_after(), SystemTime::now());
        self.pulse.expire_after(lifetime);
    }
}

impl Future for ClientDriver {
    type Output = ConnectionEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        let this = &mut *self;
        let end = match Pin::new(&mut this.connection).poll(cx) {
            Poll::Ready(result) => ConnectionEnd::of(this.pulse.io(), result),
            Poll::Pending => match this.pulse.poll(cx) {
                Poll::Ready(end) => end,
                Poll::Pending => return Poll::Pending,
            },
        };
        this.state.ended(end.clone());
        Poll::Ready(end)
    }
}

impl Drop for ClientDriver {
    fn drop(&mut self) {
        self.state.ended(ConnectionEnd::Shutdown);
    }
}
