//! A connection as it was accepted: who is there, and what is meant.

use std::net::SocketAddr;

use mesh_hbone::{Baggage, TunnelHeaders};
use mesh_types::{Identity, Peer, Strng};

use crate::frontend::Frontend;
use crate::upstream::connect::OnBehalf;

/// A connection, or a stream of a tunnel, that is to be served.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Who is there.
    pub client: Client,
    /// What is meant.
    pub frontend: Frontend,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Client {
    /// Who the client's workload proved to be; absent for plaintext.
    pub identity: Option<Identity>,
    /// Where it comes from.
    pub peer: Peer,
    /// Where it was going: the address of the service or workload.
    pub destination: SocketAddr,
    /// What its node's proxy says of it. It counts only as far as it agrees with the certificate.
    pub baggage: Option<Baggage>,
    /// The name in its TLS handshake, in lower case, where it is one.
    pub server_name: Option<Strng>,
    /// Whether its TLS ended here.
    pub secure: bool,
}

impl Accepted {
    /// What requests on it are for: `https` where TLS ended here.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self.client.secure {
            true => "https",
            false => "http",
        }
    }
}

impl Client {
    /// Of a tunnel's request.
    #[must_use]
    pub fn tunnelled(
        identity: Identity,
        peer: Peer,
        destination: SocketAddr,
        headers: &TunnelHeaders,
    ) -> Self {
        let agrees = |baggage: &Baggage| {
            let namespace = baggage.namespace.as_ref();
            namespace.is_none_or(|namespace| namespace == identity.namespace())
        };
        Self {
            baggage: headers.baggage.clone().filter(agrees),
            identity: Some(identity),
            peer,
            destination,
            server_name: None,
            secure: false,
        }
    }

    /// Who it is for those who only see connections.
    pub(crate) fn on_behalf(&self) -> OnBehalf {
        OnBehalf {
            source: self.peer.addr(),
            destination: self.destination,
        }
    }

    /// Of a connection that somebody else accepted who knows who is there (PROXY protocol).
    #[must_use]
    pub fn proxied(identity: Option<Identity>, peer: Peer, destination: SocketAddr) -> Self {
        Self {
            identity,
            ..Self::plain(peer, destination)
        }
    }

    /// Of a connection without identity.
    #[must_use]
    pub fn plain(peer: Peer, destination: SocketAddr) -> Self {
        Self {
            identity: None,
            peer,
            destination,
            baggage: None,
            server_name: None,
            secure: false,
        }
    }
}
