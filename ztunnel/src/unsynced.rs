//! Connections that come before the first configuration is complete, as after a restart while the control plane is away.
//!
//! Nothing may be forwarded then. For a while a connection waits in its listener's queue, since a start takes a moment; after
//! that it is reset and the reason said: a client that hangs finds out nothing, and does not try elsewhere.

use std::io;
use std::net::SocketAddr;

use mesh_dataplane::record::{Reporter, refused_early};
use mesh_net::TcpChunks;
use mesh_net::orig_dst::local_addr;
use mesh_types::Peer;
use tokio::net::TcpStream;

use crate::worker::PodProxy;

/// Through which of a pod's listeners a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Port 15001.
    Outbound,
    /// Port 15008.
    Hbone,
    /// Port 15006.
    Plaintext,
    /// Port 15053.
    Dns,
}

impl Door {
    /// What logs call the listener.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Hbone => "inbound",
            Self::Plaintext => "inbound plaintext",
            Self::Dns => "dns streams",
        }
    }

    fn reporter(self) -> Reporter {
        match self {
            Self::Outbound | Self::Dns => Reporter::Source,
            Self::Hbone | Self::Plaintext => Reporter::Destination,
        }
    }

    /// Where the connection wanted to go.
    fn asked<C>(self, proxy: &PodProxy<C>, stream: &TcpStream) -> io::Result<SocketAddr> {
        match self {
            Self::Outbound | Self::Plaintext => {
                let original = proxy.worker.seed.settings.original_destination;
                original(stream).map(|to| to.addr())
            }
            Self::Hbone | Self::Dns => local_addr(stream).map(|local| local.addr()),
        }
    }
}

/// Resets the connection, and says why.
pub(crate) fn refuse<C>(proxy: &PodProxy<C>, door: Door, stream: TcpStream, peer: Peer) {
    match door.asked(proxy, &stream) {
        Ok(to) => {
            let traffic = &proxy.worker.seed.traffic;
            refused_early(traffic, door.reporter(), peer, to, "not_synced", &REASON);
        }
        Err(error) => tracing::debug!(%peer, %error, "connection is gone before it was refused"),
    }
    // Dropped without a relay, it is reset.
    drop(TcpChunks::new(stream));
}

const REASON: &str = "no configuration yet: the control plane has not been reached since this proxy started";
