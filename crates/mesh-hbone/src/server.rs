//! The server's end of one HBONE connection.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use mesh_net::StreamError;
use mesh_tls::WorkloadCertificate;
use mesh_types::Identity;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::budget::{Grant, ReceiveBudget};
use crate::closed::{ConnectionEnd, ConnectionState};
use crate::error::{AcceptError, ConnectStep};
use crate::expiry;
use crate::options::HboneOptions;
use crate::pulse::Pulse;
use crate::request::{ConnectRequest, ConnectResponse, InvalidRequest, Refusal, header_list_size};
use crate::tls::{SharedIo, TlsIo};
use crate::tunnel::Tunnel;

/// A connection whose client is known, for as long as its certificate is valid: then it ends. It moves frames only while
/// [`next`](Self::next) is polled; dropping it ends it at once.
pub struct ServerConnection {
    connection: Connection<SharedIo, Bytes>,
    pulse: Pulse,
    peer: Identity,
    state: Rc<ConnectionState>,
    over: bool,
    /// Header bytes that a request may have.
    header_limit: usize,
    /// Held for its window's sake.
    _window: Grant,
}

/// A request to be answered. Dropped unanswered, its stream is reset.
pub struct IncomingTunnel {
    /// What the client asks for.
    pub request: ConnectRequest,
    respond: SendResponse<Bytes>,
    recv: RecvStream,
    state: Rc<ConnectionState>,
}

/// What [`ServerConnection::next`] reports besides tunnels.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ServeError {
    /// A request was malformed or too large, and was answered so. The connection goes on.
    #[error("refused with {}: {}", .0.refusal().status().as_str(), .0)]
    Rejected(InvalidRequest),
    /// The connection ended in an unusual way; nothing more comes.
    #[error("connection ended: {0}")]
    Ended(ConnectionEnd),
}

/// Shakes hands with a client that connected.
///
/// # Errors
/// Fails when a handshake fails or takes longer than `handshake_deadline`, or when the client's certificate names no
/// identity of the mesh.
pub async fn serve_tls(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    config: Arc<ServerConfig>,
    options: &HboneOptions,
    budget: &ReceiveBudget,
) -> Result<ServerConnection, AcceptError> {
    let late = |step| move |_| AcceptError::TimedOut { step };
    let tls = timeout(options.handshake_deadline, TlsIo::accept(Box::new(io), config))
        .await
        .map_err(late(ConnectStep::Tls))?
        .map_err(|failure| AcceptError::Tls(failure.into()))?;
    if !tls.speaks_http2() {
        let none = rustls::Error::NoApplicationProtocol;
        return Err(AcceptError::Tls(ConnectionEnd::Tls(none)));
    }
    let lifetime = expiry::remaining(tls.peer_certificates(), SystemTime::now());
    let peer = mesh_tls::peer_identity(tls.peer_certificates()).map_err(|e| AcceptError::Peer(Rc::new(e)))?;
    let io = SharedIo::new(tls);
    let window = budget.grant(options.connection_window);
    let mut connection = timeout(
        options.handshake_deadline,
        preface(io.clone(), options, window.window()),
    )
    .await
    .map_err(late(ConnectStep::Http2))?
    .map_err(AcceptError::Http2)?;
    let ping = connection
        .ping_pong()
        .expect("it is asked for once, right after the handshake");
    Ok(ServerConnection {
        connection,
        pulse: Pulse::new(io, ping, options.keepalive, lifetime),
        state: ConnectionState::new(Some(peer.clone()), None),
        peer,
        over: false,
        header_limit: options.request_header_list as usize,
        _window: window,
    })
}

async fn preface(
    io: SharedIo,
    options: &HboneOptions,
    window: u32,
) -> Result<Connection<SharedIo, Bytes>, ConnectionEnd> {
    let mut builder = h2::server::Builder::new();
    builder
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(window)
        .max_frame_size(options.frame_size)
        .max_header_list_size(options.request_header_list.max(HEADERS_SEEN))
        .max_concurrent_streams(options.max_streams_served)
        .max_send_buffer_size(options.send_buffer)
        .data_frame_budget(options.data_frame_budget);
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

// === impl ServerConnection ===

impl ServerConnection {
    /// The client, verified.
    #[must_use]
    pub fn peer(&self) -> &Identity {
        &self.peer
    }

    /// The next request; nothing once the connection is over. It can be dropped and asked again at any time, but the
    /// connection stands still meanwhile.
    pub async fn next(&mut self) -> Option<Result<IncomingTunnel, ServeError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Tells the client to open no more streams (GOAWAY). Those that are open go on, as long as
    /// [`next`](Self::next) is polled; it then gives nothing more.
    pub fn graceful_shutdown(&mut self) {
        self.connection.graceful_shutdown();
    }

    /// The connection also ends when the certificate that this end has shown expires.
    pub fn expire_with(&mut self, shown: &WorkloadCertificate) {
        let lifetime = expiry::until(shown.not_after(), SystemTime::now());
        self.pulse.expire_after(lifetime);
    }

    /// Ends the connection and all its streams. The client is told, as long as [`next`](Self::next) is polled until it
    /// gives nothing.
    pub fn close(&mut self) {
        self.state.ended(ConnectionEnd::Shutdown);
        self.connection.abrupt_shutdown(Reason::NO_ERROR);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<IncomingTunnel, ServeError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let end = match self.connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                // Others may have been answered since the last turn, and whoever asked may take a while to ask again.
                if let Poll::Ready(end) = self.pulse.poll(cx) {
                    return Poll::Ready(self.end(end));
                }
                return Poll::Ready(Some(self.incoming(request, respond)));
            }
            Poll::Ready(Some(Err(error))) => ConnectionEnd::of(self.pulse.io(), Err(error)),
            Poll::Ready(None) => ConnectionEnd::of(self.pulse.io(), Ok(())),
            Poll::Pending => match self.pulse.poll(cx) {
                Poll::Ready(end) => end,
                Poll::Pending => return Poll::Pending,
            },
        };
        if matches!(end, ConnectionEnd::Expired(_)) {
            self.go_away(cx, &end);
        }
        Poll::Ready(self.end(end))
    }

    /// The client is told as far as that can be done at once; nobody waits for it.
    fn go_away(&mut self, cx: &mut Context<'_>, end: &ConnectionEnd) {
        self.state.ended(end.clone());
        self.connection.abrupt_shutdown(Reason::NO_ERROR);
        let _ = self.connection.poll_accept(cx);
        let _ = self.pulse.io().with(|tls| tls.poll_drain(cx));
    }

    fn incoming(
        &self,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<IncomingTunnel, ServeError> {
        let (head, recv) = request.into_parts();
        match self.read(&head) {
            Ok(request) => Ok(IncomingTunnel {
                request,
                respond,
                recv,
                state: self.state.clone(),
            }),
            Err(invalid) => {
                // If the stream is gone already there is nobody to be answered.
                let _ = respond.send_response(invalid.refusal().to_http(), true);
                Err(ServeError::Rejected(invalid))
            }
        }
    }

    fn read(&self, head: &http::request::Parts) -> Result<ConnectRequest, InvalidRequest> {
        let (bytes, limit) = (header_list_size(&head.headers), self.header_limit);
        if bytes > limit {
            return Err(InvalidRequest::HeadersTooLarge { bytes, limit });
        }
        ConnectRequest::from_http(&head.method, &head.uri, &head.headers)
    }

    fn end(&mut self, end: ConnectionEnd) -> Option<Result<IncomingTunnel, ServeError>> {
        self.over = true;
        self.state.ended(end);
        match self.state.end() {
            None | Some(ConnectionEnd::Finished | ConnectionEnd::Shutdown) => None,
            // Without a stream left that is how clients usually go; each stream holds a reference.
            Some(ConnectionEnd::PeerGone) if Rc::strong_count(&self.state) == 1 => None,
            Some(end) => Some(Err(ServeError::Ended(end.clone()))),
        }
    }
}

impl Drop for ServerConnection {
    fn drop(&mut self) {
        self.state.ended(ConnectionEnd::Shutdown);
    }
}

// === impl IncomingTunnel ===

impl IncomingTunnel {
    /// Who asks, verified.
    #[must_use]
    pub fn peer(&self) -> &Identity {
        self.state
            .peer()
            .expect("a server hands out no stream of an unknown client")
    }

    /// Answers 200: the target is connected.
    ///
    /// # Errors
    /// Fails when the client has given up meanwhile.
    pub fn accept(mut self, response: &ConnectResponse) -> Result<Tunnel, StreamError> {
        match self.respond.send_response(response.to_http(), false) {
            Ok(send) => Ok(Tunnel::new(self.recv, send, self.state)),
            Err(error) => Err(match self.state.stream_error(&error) {
                // The multiplexer calls a response on a stream that was reset a mistake of ours.
                StreamError::Protocol => StreamError::Reset,
                other => other,
            }),
        }
    }

    /// Answers with a refusal.
    pub fn refuse(mut self, refusal: Refusal) {
        // If the client has given up meanwhile there is nobody to be answered.
        let _ = self.respond.send_response(refusal.to_http(), true);
    }

    /// Waits until the client gives up: to be raced with connecting to the target.
    pub async fn abandoned(&mut self) {
        // Reset, or the connection ended: both mean that nobody waits.
        let _ = poll_fn(|cx| self.respond.poll_reset(cx)).await;
    }
}

/// The multiplexer refuses longer header lists by itself and tells nobody. So it is given this limit, which bounds the
/// memory of one request, and the real one is looked after here, where it can be said who sent what.
const HEADERS_SEEN: u32 = 1024 * 1024;
