//! Connections kept for the next tunnel to the same peer.
//!
//! One pool belongs to one worker. Connections are shared only by those who would make the same one: same source
//! identity, address and namespace, same destination instance, address and expected identities ([`Hop`]).
//!
//! # Layout
//! - `shelf`: which connection takes the next stream, when another is dialled, when one is retired; pure.
//! - `peer`: one key's shelf with its connections, and the task that dials and drives each of them.

mod peer;
mod shelf;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_net::{DialError, DialOptions, Netns, NetnsId};
use mesh_tls::{CertSource, ExpectedPeers, WorkloadCertificate};
use mesh_types::{Identity, NextHop, WorkloadUid};
use tokio::sync::watch;

use crate::budget::ReceiveBudget;
use crate::client::{ClientConnection, ClientDriver, OpenError, establish_over};
use crate::closed::ConnectionEnd;
use crate::error::{ConnectError, ConnectStep};
use crate::expiry::renewed;
use crate::options::HboneOptions;
use crate::request::ConnectRequest;
use crate::tls::Transport;
use crate::tunnel::Tunnel;

pub(crate) use peer::Lease;
use peer::Peer;

/// Where the other end of a tunnel is, who it must be, and as whom it is called.
#[derive(Clone, Debug)]
pub struct Hop {
    /// The address of the far proxy: the destination's own, port 15008, or a gateway's.
    pub next: NextHop,
    /// The namespace in which the socket is made; the process's own when absent.
    pub netns: Option<Netns>,
    /// How the socket is made.
    pub dial: DialOptions,
    /// Who calls.
    pub source: Identity,
    /// The caller's address.
    pub source_ip: IpAddr,
    /// Whom to accept at the other end.
    pub expected: ExpectedPeers,
    /// Which workload is meant. An address can pass to another workload under the same identity; its connections must
    /// not.
    pub instance: WorkloadUid,
}

/// What has to run on the pool's worker until it ends.
pub type LocalTask = Pin<Box<dyn Future<Output = ()>>>;

/// Makes what a connection runs over.
type Dialer = Box<dyn Fn(&Hop) -> Dialing>;
type Dialing = Pin<Box<dyn Future<Output = Result<Dialed, DialError>>>>;

/// A transport, and our address on it where it has one.
struct Dialed {
    transport: Box<dyn Transport>,
    local: Option<SocketAddr>,
}

/// A pool of connections. Clones are the same pool. When the last is dropped, it drains.
pub struct Pool<C> {
    shared: Rc<Shared<C>>,
}

/// What a connection can be shared by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    next: NextHop,
    netns: Option<NetnsId>,
    source: Identity,
    source_ip: IpAddr,
    expected: ExpectedPeers,
    instance: WorkloadUid,
}

struct Shared<C> {
    certs: C,
    dialer: Dialer,
    options: Rc<HboneOptions>,
    budget: ReceiveBudget,
    spawn: Box<dyn Fn(&'static str, LocalTask)>,
    peers: Rc<RefCell<HashMap<Key, Rc<Peer>>>>,
    draining: Cell<bool>,
    /// True ends all connections at once.
    closed: watch::Sender<bool>,
}

// === impl Pool ===

impl<C: CertSource> Pool<C> {
    /// An empty pool. `spawn` is given each connection's task, with a name for it, and runs it on this worker.
    #[must_use]
    pub fn new(
        certs: C,
        options: Rc<HboneOptions>,
        budget: ReceiveBudget,
        spawn: impl Fn(&'static str, LocalTask) + 'static,
    ) -> Self {
        Self::with_dialer(certs, options, budget, spawn, Box::new(dial_tcp))
    }

    fn with_dialer(
        certs: C,
        options: Rc<HboneOptions>,
        budget: ReceiveBudget,
        spawn: impl Fn(&'static str, LocalTask) + 'static,
        dialer: Dialer,
    ) -> Self {
        let shared = Shared {
            certs,
            dialer,
            options,
            budget,
            spawn: Box::new(spawn),
            peers: Rc::default(),
            draining: Cell::new(false),
            closed: watch::Sender::new(false),
        };
        Self {
            shared: Rc::new(shared),
        }
    }

    /// Opens a tunnel: on a connection that is there and has room, else on a new one, for which all who want one wait
    /// together. Returns once the far end has answered 200.
    ///
    /// A stream that failed before the far end can have seen it, or because its connection had died unnoticed, is
    /// tried again on another connection. Dropping the future gives up the stream, not the connection that is being
    /// made.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn tunnel(&self, hop: &Hop, request: &ConnectRequest) -> Result<Tunnel, ConnectError> {
        let request = request.to_http()?;
        let mut attempt = 1;
        loop {
            let (connection, lease) = self.connection(hop).await?;
            let error = match connection.open(request.clone()).await {
                Ok(tunnel) => return Ok(tunnel.with_lease(lease)),
                Err(OpenError::Final(error)) => return Err(error),
                Err(OpenError::NotProcessed(error)) => error,
            };
            match error {
                // What ended this connection probably ended its siblings as well, unnoticed so far.
                ConnectError::Lost(_) => lease.retire_all(),
                _ => lease.retire(),
            }
            if attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// Opens no more tunnels. Those that are open go on; each connection closes after its last one.
    pub fn drain(&self) {
        self.shared.drain();
    }

    /// Ends all connections with their tunnels, now.
    pub fn close(&self) {
        self.shared.drain();
        self.shared.closed.send_replace(true);
    }

    /// How many connections there are, with those that only finish their streams.
    #[must_use]
    pub fn connections(&self) -> usize {
        // Each task holds one receiver.
        self.shared.closed.receiver_count()
    }

    fn peer(&self, hop: &Hop) -> Result<Rc<Peer>, ConnectError> {
        if self.shared.draining.get() {
            return Err(ConnectError::Draining);
        }
        let mut peers = self.shared.peers.borrow_mut();
        Ok(peers.entry(Key::of(hop)).or_default().clone())
    }

    /// A connection with room for one more stream, which the lease counts.
    async fn connection(&self, hop: &Hop) -> Result<(ClientConnection, Lease), ConnectError> {
        loop {
            // Looked up anew each time: a peer without connections is forgotten.
            let peer = self.peer(hop)?;
            match peer.choose() {
                peer::Chosen::Connection(connection, lease) => return Ok((connection, lease)),
                peer::Chosen::Dial(dial) => self.spawn_connection(dial, hop),
                peer::Chosen::Wait => {}
            }
            peer.dialed().await?;
        }
    }

    fn spawn_connection(&self, dial: peer::Dial, hop: &Hop) {
        let closed = self.shared.closed.subscribe();
        let task = run_connection(self.shared.clone(), dial, hop.clone(), closed);
        (self.shared.spawn)("hbone connection", Box::pin(task));
    }
}

impl<C> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

// === impl Shared ===

impl<C> Shared<C> {
    fn drain(&self) {
        self.draining.set(true);
        for (_, peer) in self.peers.borrow_mut().drain() {
            peer.retire_all();
        }
    }
}

impl<C> Drop for Shared<C> {
    fn drop(&mut self) {
        self.drain();
    }
}

// === impl Key ===

impl Key {
    fn of(hop: &Hop) -> Self {
        Self {
            next: hop.next,
            netns: hop.netns.as_ref().map(Netns::id),
            source: hop.source.clone(),
            source_ip: hop.source_ip,
            expected: hop.expected.clone(),
            instance: hop.instance.clone(),
        }
    }
}

/// A connection as it comes from its handshake.
struct Connected {
    connection: ClientConnection,
    /// Boxed: it is large and is handed on several times.
    driver: Box<ClientDriver>,
    /// With which this end showed who it is.
    certificate: Arc<WorkloadCertificate>,
}

/// The task of one connection, from dialling to its end.
async fn run_connection<C: CertSource>(
    shared: Rc<Shared<C>>,
    dial: peer::Dial,
    hop: Hop,
    mut closed: watch::Receiver<bool>,
) {
    let connected = tokio::select! {
        biased;
        _ = closed.wait_for(|closed| *closed) => Err(ConnectError::Draining),
        // Boxed: its memory is needed for a moment, this task's for as long as the connection lives.
        connected = Box::pin(connect_in_time(&shared, &hop)) => connected,
    };
    let Connected {
        connection,
        driver,
        certificate,
    } = match connected {
        Ok(_) if shared.draining.get() => return dial.failed(ConnectError::Draining),
        Ok(connected) => connected,
        Err(error) => {
            dial.failed(error);
            return forget_if_empty(&shared.peers, &Key::of(&hop));
        }
    };
    let seat = dial.succeeded(connection);
    let (peers, idle_timeout) = (shared.peers.clone(), shared.options.idle_timeout);
    let certs = shared.certs.clone();
    // From here on the connection does not keep the pool alive.
    drop(shared);
    tokio::select! {
        biased;
        _ = closed.wait_for(|closed| *closed) => {}
        // Boxed: it sleeps nearly always.
        () = drive(driver, &seat, idle_timeout, Box::pin(renewed(&certs, &certificate))) => {}
    }
    drop(seat);
    forget_if_empty(&peers, &Key::of(&hop));
}

/// Drives a connection, and takes it out of service when nobody has used it for long or a newer certificate is there. It
/// ends by itself when a certificate expires.
async fn drive(
    mut driver: Box<ClientDriver>,
    seat: &peer::Seat,
    idle_timeout: Duration,
    renewed: impl Future<Output = ()>,
) {
    tokio::select! {
        biased;
        end = &mut driver => return log_end(&end),
        () = seat.idle_for(idle_timeout) => {}
        () = renewed => tracing::debug!("certificate renewed: an older hbone connection takes no more streams"),
    }
    seat.retire();
    log_end(&driver.await);
}

fn log_end(end: &ConnectionEnd) {
    match end {
        ConnectionEnd::Expired(_) => tracing::info!(%end, "hbone connection ended with its streams"),
        _ => tracing::debug!(%end, "hbone connection ended"),
    }
}

fn forget_if_empty(peers: &RefCell<HashMap<Key, Rc<Peer>>>, key: &Key) {
    let mut peers = peers.borrow_mut();
    if peers.get(key).is_some_and(|p| p.is_empty()) {
        peers.remove(key);
    }
}

async fn connect_in_time<C: CertSource>(shared: &Shared<C>, hop: &Hop) -> Result<Connected, ConnectError> {
    let step = Cell::new(ConnectStep::Certificate);
    let connecting = connect(shared, hop, &step);
    tokio::time::timeout(shared.options.connect_deadline, connecting)
        .await
        .unwrap_or_else(|_| Err(ConnectError::TimedOut { step: step.get() }))
}

async fn connect<C: CertSource>(
    shared: &Shared<C>,
    hop: &Hop,
    step: &Cell<ConnectStep>,
) -> Result<Connected, ConnectError> {
    let certificate = shared.certs.get(&hop.source).await?;
    step.set(ConnectStep::Dial);
    let dialed = (shared.dialer)(hop).await?;
    step.set(ConnectStep::Tls);
    let config = certificate.client_config(&hop.expected);
    let (connection, mut driver) = establish_over(
        dialed.transport,
        dialed.local,
        config,
        &shared.options,
        &shared.budget,
    )
    .await?;
    driver.expire_with(&certificate);
    Ok(Connected {
        connection,
        driver: Box::new(driver),
        certificate,
    })
}

fn dial_tcp(hop: &Hop) -> Dialing {
    let hop = hop.clone();
    Box::pin(async move {
        let stream = mesh_net::dial(hop.netns.as_ref(), hop.next, &hop.dial).await?;
        let local = stream.local_addr().ok();
        Ok(Dialed {
            transport: Box::new(stream),
            local,
        })
    })
}

/// How many connections one stream is tried on: one that had died unnoticed, one that was told to go away meanwhile.
const ATTEMPTS: usize = 3;

#[cfg(test)]
mod tests;
