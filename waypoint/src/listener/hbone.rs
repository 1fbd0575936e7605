//! Tunnels: mutual TLS, CONNECT, what is meant by it, and who serves it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mesh_dataplane::drain_signal::DrainListener;
use mesh_hbone::{ConnectResponse, IncomingTunnel, Refusal, ServeError, ServerConnection, Tunnel, serve_tls};
use mesh_model::l7::bind::Serves;
use mesh_net::RelayCounters;
use mesh_types::{Authority, Identity, Peer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Listener;
use crate::connection::{Accepted, Client};
use crate::frontend::{Frontend, frontend};
use crate::proxy;
use crate::stream::counted::relay;
use crate::stream::{Stream, pipe};

/// Serves one HBONE connection to its end.
pub(super) async fn serve(listener: Rc<Listener>, stream: TcpStream, peer: Peer, serves: Serves) {
    // Boxed: the handshake is over soon, and what it needs is not to be held while the connection is open.
    match Box::pin(shake_hands(&listener, stream)).await {
        Ok(connection) => hand_out(&listener, connection, peer, serves).await,
        Err(error) => {
            listener.worker.telemetry.refused(peer, "handshake");
            tracing::debug!(%peer, error, "no tunnel");
        }
    }
}

async fn shake_hands(listener: &Listener, stream: TcpStream) -> Result<Box<ServerConnection>, String> {
    let worker = &listener.worker;
    let certificate = timeout(CERTIFICATE_DEADLINE, worker.certificates.get(&worker.identity)).await;
    let certificate = match certificate {
        Ok(certificate) => certificate.map_err(|e| e.to_string())?,
        Err(_) => return Err(format!("no certificate within {CERTIFICATE_DEADLINE:?}")),
    };
    let config = certificate.server_config();
    let connection = serve_tls(stream, config, &worker.hbone, &worker.budget).await;
    connection.map(Box::new).map_err(|e| e.to_string())
}

/// Gives each request a task of its own, until the connection ends. A drain, or its age, tells the client to open no
/// more: it then comes again, and meets another replica.
async fn hand_out(
    listener: &Rc<Listener>,
    mut connection: Box<ServerConnection>,
    peer: Peer,
    serves: Serves,
) {
    let mut drain: DrainListener = listener.drain.listener();
    let mut leaving = false;
    let old = sleep(age(listener.worker.settings.tunnel_age));
    tokio::pin!(old);
    loop {
        let next = tokio::select! {
            biased;
            () = drain.draining(), if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            () = &mut old, if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                continue;
            }
            next = connection.next() => next,
        };
        match next {
            Some(Ok(tunnel)) => accept(listener, tunnel, peer, serves),
            Some(Err(rejected @ ServeError::Rejected(_))) => {
                listener.worker.telemetry.refused(peer, "malformed");
                tracing::debug!(%peer, %rejected, "tunnel refused");
            }
            Some(Err(ServeError::Ended(end))) => {
                tracing::debug!(%peer, %end, "HBONE connection ended");
                return;
            }
            None => return,
        }
    }
}

/// Decides what is meant, and who serves it. Nothing here waits: the answer is 200 as soon as the target is known to be
/// served, since what becomes of the bytes in it is told at layer 7.
fn accept(listener: &Rc<Listener>, tunnel: IncomingTunnel, peer: Peer, serves: Serves) {
    let worker = &listener.worker;
    let source = tunnel.peer().clone();
    let authority = &tunnel.request.authority;
    let meant = worker
        .state
        .query(|view| frontend(view, authority, &worker.gateway, serves));
    let meant = match meant {
        Ok(meant) => meant,
        Err(refused) => {
            worker.telemetry.refused(peer, refused.reason());
            tracing::debug!(%peer, %source, %refused, "tunnel refused");
            tunnel.refuse(Refusal::BadRequest);
            return;
        }
    };
    let accepted = accepted(meant, &tunnel, source, peer);
    match tunnel.accept(&ConnectResponse::default()) {
        Ok(tunnel) => serve_stream(listener, tunnel, accepted),
        Err(error) => tracing::debug!(%peer, %error, "the client gave up"),
    }
}

fn accepted(frontend: Frontend, tunnel: &IncomingTunnel, source: Identity, peer: Peer) -> Accepted {
    let destination = match &tunnel.request.authority {
        Authority::Ip(address) => *address,
        Authority::Host { port, .. } => SocketAddr::new(peer_family(peer), *port),
    };
    Accepted {
        client: Client::tunnelled(source, peer, destination, &tunnel.request.headers),
        frontend,
    }
}

/// A host name stands for no address of ours.
fn peer_family(peer: Peer) -> std::net::IpAddr {
    match peer.ip() {
        std::net::IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        std::net::IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn serve_stream(listener: &Rc<Listener>, tunnel: Tunnel, accepted: Accepted) {
    let worker = &listener.worker;
    let load = worker.place();
    if load.worker() == worker.number {
        let serve = proxy::serve(
            worker.clone(),
            Stream::from(tunnel),
            accepted,
            listener.drain.listener(),
        );
        listener.spawn("stream", async move {
            let _held = load;
            serve.await;
        });
        return;
    }
    let (near, far) = pipe();
    if worker
        .hand_over(far, accepted, load, listener.watcher.clone())
        .is_err()
    {
        return;
    }
    let memory = worker.memory.clone();
    listener.spawn("bytes for another worker", async move {
        // The other worker counts them.
        relay(&memory, tunnel, near, &RelayCounters::default()).await;
    });
}

/// More or less by a fifth, so that connections of one moment do not all end in one moment.
fn age(mean: Duration) -> Duration {
    mean.mul_f64(fastrand::f64().mul_add(0.4, 0.8))
}

/// How long a handshake waits for the proxy's certificate.
const CERTIFICATE_DEADLINE: Duration = Duration::from_secs(10);
