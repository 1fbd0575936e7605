//! One connection to the control plane: resolve, dial, TLS. Trust is read anew each time, so that a replaced root file
//! counts from the next connection on.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use crate::address::{Address, Scheme};

/// How the server is trusted.
#[derive(Clone, Debug)]
pub enum Security {
    /// TLS, with the trust that this source gives at each connection.
    Tls(TlsTrust),
    /// No TLS; accepted only with an `http://` address, which means this machine.
    Plaintext,
}

/// Gives the TLS configuration for one connection: whom to trust, with which algorithms. The ALPN list is set here.
#[derive(Clone)]
pub struct TlsTrust(Arc<LoadTrust>);

type LoadTrust = dyn Fn() -> Result<Arc<ClientConfig>, BoxError> + Send + Sync;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a connection was not made. All of them may be otherwise at the next attempt.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The trust roots cannot be read.
    #[error("trust for {address} cannot be loaded: {source}")]
    Trust {
        /// The server.
        address: Address,
        /// Why.
        source: BoxError,
    },
    /// The address says TLS and the configuration says plaintext, or the reverse.
    #[error("address {0} and its security setting disagree about TLS")]
    Mismatch(Address),
    /// The name that the certificate must carry is no DNS name or IP address.
    #[error("server name {0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// The host name has no address, or none that answers.
    #[error("{address} cannot be reached: {source}")]
    Dial {
        /// The server.
        address: Address,
        /// The last error.
        source: io::Error,
    },
    /// The server's certificate was refused, or it speaks no TLS.
    #[error("TLS with {address} failed: {source}")]
    Tls {
        /// The server.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

/// Dials the control plane for tonic.
#[derive(Clone, Debug)]
pub struct Connector {
    address: Address,
    server_name: Option<String>,
    security: Security,
}

/// A connection, encrypted or (to this machine) not.
#[derive(Debug)]
pub enum Connection {
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Plain.
    Plain(TcpStream),
}

// === impl TlsTrust ===

impl TlsTrust {
    /// Trust from a function that is called at each connection.
    pub fn new<E>(load: impl Fn() -> Result<Arc<ClientConfig>, E> + Send + Sync + 'static) -> Self
    where
        E: Into<BoxError>,
    {
        Self(Arc::new(move || load().map_err(Into::into)))
    }

    fn load(&self) -> Result<Arc<ClientConfig>, BoxError> {
        let mut config = (self.0)()?;
        if config.alpn_protocols != [b"h2"] {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(config)
    }
}

impl fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTrust")
    }
}

// === impl Connector ===

impl Connector {
    /// A connector to one server; the URI that tonic gives it is not looked at.
    #[must_use]
    pub fn new(address: Address, server_name: Option<String>, security: Security) -> Self {
        Self {
            address,
            server_name,
            security,
        }
    }

    async fn connect(self) -> Result<Connection, ConnectError> {
        let trust = match (&self.security, self.address.scheme()) {
            (Security::Tls(trust), Scheme::Https) => trust,
            (Security::Plaintext, Scheme::Http) => return Ok(Connection::Plain(self.dial().await?)),
            _ => return Err(ConnectError::Mismatch(self.address)),
        };
        let config = trust.load().map_err(|source| ConnectError::Trust {
            address: self.address.clone(),
            source,
        })?;
        let name = self.server_name.as_deref().unwrap_or_else(|| self.address.host());
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| ConnectError::ServerName(name.to_owned()))?;
        let tcp = self.dial().await?;
        let stream = TlsConnector::from(config).connect(name, tcp).await;
        let stream = stream.map_err(|source| ConnectError::Tls {
            address: self.address.clone(),
            source,
        })?;
        Ok(Connection::Tls(Box::new(stream)))
    }

    async fn dial(&self) -> Result<TcpStream, ConnectError> {
        let fail = |source| ConnectError::Dial {
            address: self.address.clone(),
            source,
        };
        let found = lookup_host((self.address.host(), self.address.port()))
            .await
            .map_err(fail)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for addr in found {
            match dial_one(addr).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = e,
            }
        }
        Err(fail(last))
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = self.clone().connect();
        Box::pin(async move { Ok(TokioIo::new(connecting.await?)) })
    }
}

async fn dial_one(addr: SocketAddr) -> io::Result<TcpStream> {
    let connecting = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(addr));
    let stream = connecting
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(TCP_KEEPALIVE_TIME)
        .with_interval(TCP_KEEPALIVE_INTERVAL)
        .with_retries(TCP_KEEPALIVE_RETRIES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

// === impl Connection ===

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// For each address of a name that has several; the channel bounds the whole.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// As upstream's ztunnel sets them for its streams: 300 s, 75 s, 9.
const TCP_KEEPALIVE_TIME: Duration = Duration::from_secs(300);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(75);
const TCP_KEEPALIVE_RETRIES: u32 = 9;
