//! The agent's end: the [`Hub`] on a real socket.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mesh_net::Netns;
use mesh_net::seqpacket::{SeqPacket, SeqPacketListener};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::hub::{ConnectionId, Hub, Notice, Outcome, PeerFault, Ticket};
use crate::message::{InvalidPacket, MAX_PACKET, PodEvent, PodInfo, PodUid};

/// Where and how the agent listens.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The socket's path (upstream's `/var/run/ztunnel/ztunnel.sock`); a file left by an earlier agent is replaced.
    pub path: PathBuf,
    /// How long ztunnel may take for its hello and for each answer (upstream's agent: 5 s).
    pub answer_deadline: Duration,
    /// The least time between two accepted connections, so that a ztunnel in a crash loop costs little.
    pub accept_interval: Duration,
}

/// A pod that is enrolled.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its key.
    pub uid: PodUid,
    /// Who it is.
    pub info: PodInfo,
    /// Its network namespace; `None` where the agent cannot open it, then ztunnel keeps what it has.
    pub netns: Option<Netns>,
}

/// What happens on the socket, for readiness, metrics and logs.
pub type ServerEvent = Notice;

/// Why a pod was not handed over.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZdsError {
    /// Its names do not fit into a packet. No retry helps.
    #[error(transparent)]
    Invalid(#[from] InvalidPacket),
    /// ztunnel would not take it; it tries again by itself.
    #[error("ztunnel refused the pod: {0}")]
    Refused(String),
    /// ztunnel did not answer in time.
    #[error("ztunnel did not acknowledge the pod in time")]
    NoAnswer,
    /// The pod was removed before a ztunnel took it.
    #[error("the pod was removed before ztunnel took it")]
    Removed,
    /// The server is no longer driven.
    #[error("the ZDS server has stopped")]
    Stopped,
}

/// The agent's end of ZDS. Cloning shares it.
#[derive(Clone)]
pub struct ZdsServer {
    shared: Arc<Shared>,
}

struct Shared {
    inner: Mutex<Inner>,
    /// Bumped at every change, so that each connection looks whether there is something to send.
    changed: watch::Sender<u64>,
    observer: Box<dyn Fn(ServerEvent) + Send + Sync>,
    options: ServerOptions,
}

#[derive(Default)]
struct Inner {
    hub: Hub<Netns>,
    waiters: HashMap<Ticket, oneshot::Sender<Outcome>>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/run/ztunnel/ztunnel.sock"),
            answer_deadline: Duration::from_secs(5),
            accept_interval: Duration::from_millis(200),
        }
    }
}

// === impl ZdsServer ===

impl ZdsServer {
    /// An empty server that listens nowhere yet; fill it with [`ZdsServer::restore`] before [`ZdsServer::bind`].
    /// `observer` is called with every event, outside any lock; it must not block.
    #[must_use]
    pub fn new(options: ServerOptions, observer: impl Fn(ServerEvent) + Send + Sync + 'static) -> Self {
        Self {
            shared: Arc::new(Shared {
                inner: Mutex::default(),
                changed: watch::Sender::new(0),
                observer: Box::new(observer),
                options,
            }),
        }
    }

    /// Opens the socket, mode 0600. The future accepts and serves ztunnels until it is dropped.
    ///
    /// # Errors
    /// Fails when the socket cannot be made: the directory is missing, or another agent listens there.
    pub fn bind(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let path = &self.shared.options.path;
        let listener = SeqPacketListener::bind(path)?;
        let owner = fs::symlink_metadata(path)?.uid();
        Ok(serve(self.shared.clone(), listener, owner))
    }

    /// Enrols a pod and waits until the newest ztunnel has taken it: for as long as it takes where none is connected,
    /// so give it a deadline. When the wait is given up the pod stays enrolled; take it back with [`ZdsServer::del`].
    ///
    /// # Errors
    /// Fails when the pod cannot be put into a packet, and when ztunnel refuses or does not answer.
    pub async fn add(&self, pod: Pod) -> Result<(), ZdsError> {
        check(&pod)?;
        let outcome = self.shared.ask(|hub| hub.add(pod.uid, pod.info, pod.netns));
        match outcome.await {
            Ok(Outcome::Done) => Ok(()),
            Ok(Outcome::Refused(refused)) => Err(ZdsError::Refused(refused.0)),
            Ok(Outcome::NoAnswer) => Err(ZdsError::NoAnswer),
            Ok(Outcome::Removed) => Err(ZdsError::Removed),
            Err(_) => Err(ZdsError::Stopped),
        }
    }

    /// Enrols a pod without waiting: for those that were enrolled before a restart.
    ///
    /// # Errors
    /// Fails when the pod cannot be put into a packet.
    pub fn restore(&self, pod: Pod) -> Result<(), ZdsError> {
        check(&pod)?;
        self.shared
            .with(|inner| inner.hub.restore(pod.uid, pod.info, pod.netns));
        Ok(())
    }

    /// Removes a pod and waits until every connected ztunnel has let it go, or is itself gone.
    pub async fn del(&self, uid: &PodUid) {
        // A dropped server has no ztunnel that could still hold the pod.
        let _ = self.shared.ask(|hub| hub.del(uid)).await;
    }

    /// How many ztunnels are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.shared.inner.lock().hub.greeted()
    }

    /// How many pods are enrolled.
    #[must_use]
    pub fn enrolled(&self) -> usize {
        self.shared.inner.lock().hub.enrolled()
    }
}

fn check(pod: &Pod) -> Result<(), ZdsError> {
    let add = PodEvent::Add {
        uid: pod.uid.clone(),
        info: pod.info.clone(),
        netns: (),
    };
    add.encode()?;
    Ok(())
}

// === impl Shared ===

impl Shared {
    /// Changes the hub, then tells everybody whom the change concerns.
    fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner.lock();
        let result = change(&mut inner);
        for (ticket, outcome) in inner.hub.take_outcomes() {
            if let Some(waiter) = inner.waiters.remove(&ticket) {
                // Nobody is left to hear it.
                let _ = waiter.send(outcome);
            }
        }
        let notices = inner.hub.take_notices();
        drop(inner);
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        for notice in notices {
            (self.observer)(notice);
        }
        result
    }

    fn ask(&self, request: impl FnOnce(&mut Hub<Netns>) -> Ticket) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = oneshot::channel();
        self.with(|inner| {
            inner.waiters.retain(|_, w| !w.is_closed());
            let ticket = request(&mut inner.hub);
            inner.waiters.insert(ticket, waiter);
        });
        outcome
    }
}

// === the socket ===

async fn serve(shared: Arc<Shared>, listener: SeqPacketListener, owner: u32) {
    let mut connections = FuturesUnordered::new();
    let mut accept_from = Instant::now();
    loop {
        let accept = async {
            sleep_until(accept_from).await;
            listener.accept().await
        };
        tokio::select! {
            accepted = accept, if connections.len() < MAX_CONNECTIONS => {
                accept_from = Instant::now() + shared.options.accept_interval;
                match accepted {
                    // The file's mode says it already; this says it of who opened it.
                    Ok(socket) if socket.peer().is_ok_and(|peer| peer.uid == 0 || peer.uid == owner) => {
                        connections.push(connection(shared.clone(), socket));
                    }
                    Ok(_) => tracing::warn!("a process of another user connected as ztunnel; refused"),
                    Err(error) => tracing::warn!(%error, "a ztunnel could not be accepted"),
                }
            }
            Some(()) = connections.next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(shared: Arc<Shared>, socket: SeqPacket) {
    let open = Open {
        id: shared.with(|inner| inner.hub.connected()),
        shared,
    };
    match converse(&open, &socket).await {
        Ok(()) => tracing::info!("a ztunnel disconnected"),
        Err(Closed::Overdue) => {
            open.shared.with(|inner| inner.hub.answer_overdue(open.id));
            tracing::warn!("a ztunnel did not answer in time; its connection is closed");
        }
        Err(Closed::Io(error)) => tracing::info!(%error, "a ztunnel's connection broke"),
        Err(Closed::Peer(fault)) => {
            tracing::warn!(%fault, "a ztunnel does not keep to the protocol; its connection is closed");
        }
    }
}

/// A connection that the hub knows; dropping it tells the hub that it is gone.
struct Open {
    shared: Arc<Shared>,
    id: ConnectionId,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.with(|inner| inner.hub.disconnected(self.id));
    }
}

enum Closed {
    Overdue,
    Io(io::Error),
    Peer(PeerFault),
}

async fn converse(open: &Open, socket: &SeqPacket) -> Result<(), Closed> {
    let Open { shared, id } = open;
    let deadline_after = shared.options.answer_deadline;
    let mut changed = shared.changed.subscribe();
    let mut packet = [0; MAX_PACKET];
    let mut answer_due = Some(Instant::now() + deadline_after);
    loop {
        changed.borrow_and_update();
        let next = shared.inner.lock().hub.poll_send(*id);
        if let Some(event) = next {
            let sent = timeout(deadline_after, send(socket, &event)).await;
            sent.map_err(|_| Closed::Overdue)?.map_err(Closed::Io)?;
            answer_due = Some(Instant::now() + deadline_after);
        }
        tokio::select! {
            received = socket.recv(&mut packet) => {
                let Some(received) = received.map_err(Closed::Io)? else {
                    return Ok(());
                };
                shared.with(|inner| inner.hub.packet(*id, &packet[..received.len])).map_err(Closed::Peer)?;
                answer_due = None;
            }
            changed = changed.changed() => debug_assert!(changed.is_ok(), "the sender lives in `shared`"),
            () = sleep_until(answer_due.unwrap_or_else(Instant::now)), if answer_due.is_some() => {
                return Err(Closed::Overdue);
            }
        }
    }
}

async fn send(socket: &SeqPacket, event: &PodEvent<Netns>) -> io::Result<()> {
    let bytes = event.encode().map_err(io::Error::other)?;
    match event {
        PodEvent::Add { netns, .. } => socket.send(&bytes, Some(netns.as_fd())).await,
        PodEvent::Keep { .. } | PodEvent::Del { .. } | PodEvent::SnapshotSent => {
            socket.send(&bytes, None).await
        }
    }
}

/// Two are usual while one ztunnel replaces another; more are a mistake that must not cost without bound.
const MAX_CONNECTIONS: usize = 16;
