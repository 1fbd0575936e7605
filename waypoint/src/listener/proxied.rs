//! Connections behind a PROXY protocol header: the node's proxy has ended the tunnel, and says who is there and what was
//! asked for (Istio, `ambient.istio.io/waypoint-inbound-binding`).
//!
//! Whose header is believed, and what of it, is the bind's to say: by nature it names anybody. Who is not believed is not
//! served.

use std::rc::Rc;

use bytes::{Buf, BytesMut};
use mesh_model::l7::bind::{Believed, ProxyTrust, Serves};
use mesh_net::proxy_protocol::{Decoded, Proxied, decode};
use mesh_types::{Authority, Identity, Peer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Listener;
use crate::connection::{Accepted, Client};
use crate::frontend::frontend;
use crate::proxy;
use crate::stream::Stream;

/// What the bind says is believed of whoever connected, if anything is.
pub(super) fn believed(
    listener: &Listener,
    stream: &TcpStream,
    peer: Peer,
    trust: &ProxyTrust,
) -> Option<Believed> {
    let local = stream.local_addr().ok()?;
    match trust.believes(peer.ip(), local.ip()) {
        Believed::Nothing => {
            listener.worker.telemetry.refused(peer, "untrusted_proxy");
            tracing::debug!(%peer, bind = %listener.bind.key(), "nobody believes this peer's PROXY protocol");
            None
        }
        believed => Some(believed),
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(listener: Rc<Listener>, mut stream: TcpStream, serves: Serves, believed: Believed) {
    let Ok(local) = stream.peer_addr() else { return };
    let worker = &listener.worker;
    let refused = |reason: &'static str, why: &dyn std::fmt::Display| {
        worker.telemetry.refused(Peer::new(local), reason);
        tracing::debug!(peer = %local, error = %why, "connection refused");
    };
    let (rest, proxied) = match timeout(HEADER_DEADLINE, header(&mut stream)).await {
        Ok(Ok(Some(read))) => read,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return refused("malformed", &error),
        Err(late) => return refused("malformed", &late),
    };
    let named = proxied.peer_identity.as_deref();
    if named.is_some() && believed != Believed::Identity && !listener.told.replace(true) {
        tracing::warn!(peer = %local, bind = %listener.bind.key(), "it names its clients' identities, which only the node's proxy may: they count as none");
    }
    let named = named.filter(|_| believed == Believed::Identity);
    let identity = match named.map(str::parse::<Identity>) {
        None => None,
        Some(Ok(identity)) => Some(identity),
        Some(Err(error)) => return refused("malformed", &error),
    };
    let meant = worker.state.query(|view| {
        let target = Authority::Ip(proxied.destination);
        frontend(view, &target, &worker.gateway, serves)
    });
    let frontend = match meant {
        Ok(frontend) => frontend,
        Err(error) => return refused(error.reason(), &error),
    };
    let peer = Peer::new(proxied.source);
    let accepted = Accepted {
        client: Client::proxied(identity, peer, proxied.destination),
        frontend,
    };
    let mut stream = Stream::from(stream);
    stream.unread(rest.freeze());
    proxy::serve(worker.clone(), stream, accepted, listener.drain.listener()).await;
}

/// The header, and what came behind it; absent for a health check.
async fn header(stream: &mut TcpStream) -> Result<Option<(BytesMut, Proxied)>, std::io::Error> {
    let mut seen = BytesMut::new();
    loop {
        if stream.read_buf(&mut seen).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        match decode(&seen).map_err(invalid)? {
            Decoded::More => {}
            Decoded::Local(_) => return Ok(None),
            Decoded::Proxied(length, proxied) => {
                seen.advance(length);
                return Ok(Some((seen, proxied)));
            }
        }
    }
}

const HEADER_DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
