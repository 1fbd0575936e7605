//! A stream to an endpoint. A tunnel that cannot be had is a failed connection, never a plain one.

use std::future::Future;
use std::pin::Pin;

use mesh_hbone::{ConnectError, ConnectRequest, Hop, Pool, Tunnel};
use mesh_net::{DialError, DialOptions, dial};
use mesh_tls::CertSource;
use mesh_types::{Authority, NextHop};

use super::cluster::Way;
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
    /// HTTP did not begin on it.
    #[error("HTTP: {0}")]
    Http(hyper::Error),
}

/// Connects.
///
/// # Errors
/// Says why not.
pub(crate) async fn connect(shared: &Shared, endpoint: &Endpoint) -> Result<Stream, ConnectFailure> {
    match &endpoint.way {
        Way::Plain => {
            let options = DialOptions {
                connect_timeout: shared.settings.connect_timeout,
                ..DialOptions::default()
            };
            let stream = dial(None, NextHop::new(endpoint.address), &options).await?;
            Ok(stream.into())
        }
        Way::Tunnel(hop) => {
            let request = ConnectRequest::to(Authority::from(endpoint.address));
            let tunnel = shared.tunnels.tunnel(hop, &request).await?;
            Ok(tunnel.into())
        }
    }
}
