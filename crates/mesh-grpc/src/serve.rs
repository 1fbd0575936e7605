//! Accepting connections for a tonic server: handshakes run beside each other and each has a deadline, so that a
//! client that says nothing holds up nobody; a failing accept pauses the loop instead of spinning.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use crate::caller::ConnectionInfo;

/// An accepted connection whose handshake is done.
#[derive(Debug)]
pub struct Accepted {
    stream: TlsStream<TcpStream>,
    info: ConnectionInfo,
}

/// A tonic server with the keep-alive and limits that the control plane's port has.
#[must_use]
pub fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MAX_STREAMS))
        .initial_stream_window_size(Some(STREAM_WINDOW))
        .initial_connection_window_size(Some(CONNECTION_WINDOW))
}

/// Connections for [`tonic::transport::server::Router::serve_with_incoming`]; `config` is asked for at each handshake,
/// so that a renewed serving certificate counts at once. Failed handshakes are logged and not reported.
pub fn incoming(
    listener: TcpListener,
    config: impl Fn() -> Arc<ServerConfig> + Send + 'static,
) -> impl Stream<Item = io::Result<Accepted>> + Send {
    let state = Incoming {
        listener,
        config,
        handshakes: FuturesUnordered::new(),
    };
    futures_util::stream::unfold(state, |mut state| async move {
        let accepted = state.next().await;
        Some((Ok(accepted), state))
    })
}

type Handshake = Pin<Box<dyn Future<Output = Option<Accepted>> + Send>>;

struct Incoming<F> {
    listener: TcpListener,
    config: F,
    handshakes: FuturesUnordered<Handshake>,
}

impl<F: Fn() -> Arc<ServerConfig>> Incoming<F> {
    async fn next(&mut self) -> Accepted {
        loop {
            let room = self.handshakes.len() < MAX_HANDSHAKES;
            tokio::select! {
                Some(done) = self.handshakes.next() => {
                    if let Some(accepted) = done {
                        return accepted;
                    }
                }
                accepted = self.listener.accept(), if room => match accepted {
                    Ok((stream, peer)) => {
                        self.handshakes.push(Box::pin(handshake(stream, peer, (self.config)())));
                    }
                    Err(e) if is_of_one_connection(&e) => debug!("a connection was gone before it was accepted: {e}"),
                    Err(e) => {
                        warn!("no connection can be accepted, next attempt in {ACCEPT_PAUSE:?}: {e}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    peer: std::net::SocketAddr,
    config: Arc<ServerConfig>,
) -> Option<Accepted> {
    if let Err(e) = stream.set_nodelay(true) {
        debug!(%peer, "the connection was lost before the handshake: {e}");
        return None;
    }
    let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, TlsAcceptor::from(config).accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let info = ConnectionInfo {
                peer: Some(peer),
                certificates: certificates.into(),
            };
            Some(Accepted { stream, info })
        }
        Ok(Err(e)) => {
            debug!(%peer, "TLS handshake failed: {e}");
            None
        }
        Err(_) => {
            debug!(%peer, "TLS handshake took longer than {HANDSHAKE_DEADLINE:?}");
            None
        }
    }
}

/// Errors that concern the one connection, after which accepting simply goes on (accept(2)).
fn is_of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        e.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

impl Connected for Accepted {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.info.clone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// As istiod does: pings every 30 s, 10 s to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of one connection; our clients use three.
const MAX_STREAMS: u32 = 1024;
/// A reconnecting client names everything that it holds, about 1 MiB for 10,000 resources.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Handshakes under way at once; beyond it connections wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 1024;
/// Out of descriptors is the likely cause: there is no use in trying at once (reliability catalogue, G5).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
