//! Connections that come before the first configuration is complete, as after a restart while the control plane is away, or before
//! it has their pod, which may be faster than the news of it.
//!
//! Nothing may be forwarded then. For a while a connection waits in its listener's queue, since a start takes a moment; after
//! that it is reset and the reason said: a client that hangs finds out nothing, and does not try elsewhere.
//!
//! Plaintext waits outside ([`mesh_net::HeldListener`]). Whether the pod is STRICT is not known yet, and a connection in a queue has had its
//! handshake: what the client sent right after it would have crossed the wire. A client in the mesh whose proxy does not know the pod
//! either connects anew once it does, by a tunnel then (`Plan::still_holds`). When it is let in is up to the pod's [`gate`](crate::gate).

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use mesh_dataplane::record::{Reporter, refused_early};
use mesh_net::TcpChunks;
use mesh_net::orig_dst::local_addr;
use mesh_types::Peer;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::gate::Gate;
use crate::worker::{PlaintextListener, PodProxy};

/// Through which of a pod's listeners a connection came that waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Port 15001.
    Outbound,
    /// Port 15008.
    Hbone,
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
            Self::Dns => "dns streams",
        }
    }

    fn reporter(self) -> Reporter {
        match self {
            Self::Outbound | Self::Dns => Reporter::Source,
            Self::Hbone => Reporter::Destination,
        }
    }

    /// Where the connection wanted to go.
    fn asked<C>(self, proxy: &PodProxy<C>, stream: &TcpStream) -> io::Result<SocketAddr> {
        match self {
            Self::Outbound => {
                let original = proxy.worker.seed.settings.original_destination;
                original(stream).map(|to| to.addr())
            }
            Self::Hbone | Self::Dns => local_addr(stream).map(|local| local.addr()),
        }
    }
}

/// Waits until the first configuration is complete, or has been waited for long enough. Nothing when there will be none.
pub(crate) async fn wait<C>(
    proxy: &PodProxy<C>,
    listener: &'static str,
    patience: Option<Duration>,
) -> Option<()> {
    let mut synced = proxy.worker.seed.synced.clone();
    tokio::select! {
        biased;
        complete = synced.wait_for(|synced| *synced) => complete.map(drop).ok(),
        () = over(patience) => {
            warn(proxy, listener, "no configuration yet; connections are refused");
            Some(())
        }
    }
}

/// The listener, open, once the gate is. Who comes to a pod that is not known after a while is refused. Nothing when there will be none.
pub(crate) async fn open<C>(
    proxy: &PodProxy<C>,
    listener: PlaintextListener,
    mut gate: watch::Receiver<Gate>,
) -> Option<io::Result<StdListener>> {
    let held = match listener {
        PlaintextListener::Open(listener) => return Some(Ok(listener)),
        PlaintextListener::Held(held) => held,
    };
    let patience = sleep(proxy.worker.seed.settings.sync_patience);
    tokio::pin!(patience);
    loop {
        let now = *gate.borrow_and_update();
        let refused = match now {
            Gate::Open => return Some(held.into_listener()),
            Gate::Shut => held.refuse(),
            Gate::Held => Ok(()),
            Gate::Unknown if patience.is_elapsed() => {
                let why =
                    "the control plane has not told of the pod yet; connections in the clear are refused";
                warn(proxy, PLAINTEXT, why);
                held.refuse()
            }
            Gate::Unknown => Ok(()),
        };
        if let Err(error) = refused {
            return Some(Err(error));
        }
        tokio::select! {
            changed = gate.changed() => changed.ok()?,
            () = &mut patience, if now == Gate::Unknown && !patience.is_elapsed() => {}
        }
    }
}

async fn over(patience: Option<Duration>) {
    match patience {
        Some(patience) => sleep(patience).await,
        None => pending().await,
    }
}

fn warn<C>(proxy: &PodProxy<C>, listener: &'static str, what: &'static str) {
    let info = proxy.pod.info();
    tracing::warn!(listener, pod = %info.name, namespace = %info.namespace, "{what}");
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

/// What logs call the listener of port 15006.
pub(crate) const PLAINTEXT: &str = "inbound plaintext";
const REASON: &str = "no configuration yet: the control plane has not been reached since this proxy started";
