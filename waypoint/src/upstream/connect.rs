//! A stream to an endpoint. A tunnel that cannot be had is a failed connection, never a plain one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use mesh_hbone::{ConnectError, ConnectRequest, Hop, Pool, Tunnel};
use mesh_model::l7::traffic::ProxyProtocolVersion;
use mesh_net::proxy_protocol::Header;
use mesh_net::{DialError, DialOptions, dial};
use mesh_tls::CertSource;
use mesh_types::{NextHop, Strng};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Way;
use super::http::HttpVersion;
use super::{Endpoint, Shared};
use crate::stream::Stream;

/// Opens tunnels; [`Pool`] does, and nobody here needs to know where its certificates come from.
pub trait Tunnels {
    /// A tunnel.
    fn tunnel<'a>(&'a self, hop: &'a Hop, request: &'a ConnectRequest) -> Opening<'a>;
}

/// A tunnel on its way.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Tunnel, ConnectError>> + 'a>>;

impl<C: CertSource> Tunnels for Pool<C> {
    fn tunnel<'a>(&'a self, hop: &'a Hop, request: &'a ConnectRequest) -> Opening<'a> {
        Box::pin(Self::tunnel(self, hop, request))
    }
}

/// Why there is no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum ConnectFailure {
    /// No TCP connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No tunnel.
    #[error(transparent)]
    Tunnel(#[from] ConnectError),
    /// No TLS, or not with whom it should be.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// TLS that is asked for with what cannot be used.
    #[error("TLS cannot be spoken as configured: {0}")]
    Unusable(Strng),
    /// The PROXY protocol's header could not be sent.
    #[error("PROXY protocol: {0}")]
    Announce(io::Error),
    /// It took too long.
    #[error("no connection in time")]
    TimedOut,
    /// HTTP did not begin on it.
    #[error("HTTP: {0}")]
    Http(hyper::Error),
}

/// For whom a connection is made: what a PROXY protocol header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnBehalf {
    /// The client.
    pub(crate) source: SocketAddr,
    /// Where it was going.
    pub(crate) destination: SocketAddr,
}

/// A connection to an endpoint.
pub(crate) struct Connected {
    /// Its bytes.
    pub(crate) stream: Stream,
    /// Our address towards the endpoint; of a tunnel, its connection's.
    pub(crate) local: Option<SocketAddr>,
}

/// Connects, for bytes that nobody here reads.
///
/// # Errors
/// Says why not.
pub(crate) async fn connect(shared: &Shared, endpoint: &Endpoint) -> Result<Stream, ConnectFailure> {
    let connected = connect_for(shared, endpoint, None, None).await?;
    Ok(connected.stream)
}

/// Connects; `version` is what will be spoken.
///
/// # Errors
/// Says why not.
pub(crate) async fn connect_for(
    shared: &Shared,
    endpoint: &Endpoint,
    version: Option<HttpVersion>,
    client: Option<&OnBehalf>,
) -> Result<Connected, ConnectFailure> {
    let limit = endpoint.rules.limits().connect_timeout;
    let limit = limit.unwrap_or(shared.settings.connect_timeout);
    // Of a tunnel: with whatever it takes to have the connection that it is a stream of.
    let until = Instant::now() + limit;
    let (mut stream, local) = match &endpoint.way {
        Way::Plain => {
            let usual = DialOptions::default();
            let options = DialOptions {
                connect_timeout: limit,
                keepalive: endpoint.rules.keepalive().or(usual.keepalive),
                ..usual
            };
            let stream = dial(None, NextHop::new(endpoint.address), &options).await?;
            let local = stream.local_addr().ok();
            (Stream::from(stream), local)
        }
        Way::Tunnel(reach) => {
            let request = ConnectRequest::to(reach.target.clone());
            let tunnel = timeout_at(until, shared.tunnels.tunnel(&reach.hop, &request)).await;
            let tunnel = tunnel.map_err(|_| ConnectFailure::TimedOut)??;
            let local = tunnel.local_address();
            (Stream::from(tunnel), local)
        }
    };
    let rest = async {
        if let (Some(version), Some(client)) = (endpoint.rules.proxy_protocol(), client) {
            let header = announce(version, client);
            stream
                .write_all(&header)
                .await
                .map_err(ConnectFailure::Announce)?;
        }
        endpoint.rules.tls.begin(stream, version).await
    };
    let stream = timeout_at(until, rest)
        .await
        .unwrap_or(Err(ConnectFailure::TimedOut))?;
    Ok(Connected { stream, local })
}

/// A PROXY protocol header (haproxy's proxy-protocol.txt).
pub(crate) fn announce(version: ProxyProtocolVersion, client: &OnBehalf) -> Vec<u8> {
    let OnBehalf { source, destination } = *client;
    match version {
        ProxyProtocolVersion::V2 => {
            let header = Header {
                source,
                destination,
                peer_identity: None,
            };
            header.encode().unwrap_or_default()
        }
        ProxyProtocolVersion::V1 => {
            let (from, to) = (source.ip().to_canonical(), destination.ip().to_canonical());
            let family = match (from.is_ipv4(), to.is_ipv4()) {
                (true, true) => "TCP4",
                (false, false) => "TCP6",
                // The text form knows no mixture.
                _ => return b"PROXY UNKNOWN\r\n".to_vec(),
            };
            let (at, port) = (source.port(), destination.port());
            format!("PROXY {family} {from} {to} {at} {port}\r\n").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests;
