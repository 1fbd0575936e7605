//! ztunnel's end: a [`ClientSession`] on a real socket, connected anew whenever it breaks.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mesh_net::seqpacket::SeqPacket;
use mesh_net::{Netns, NetnsId};
use tokio::time::{Instant, sleep_until};

use crate::message::{Answer, MAX_PACKET, PodEvent, Refused};
use crate::session::{ClientSession, Incoming, OutOfOrder, Phase};

/// ztunnel's end of ZDS.
#[derive(Debug)]
pub struct ZdsClient {
    path: PathBuf,
    link: Link,
    backoff: Duration,
    /// A namespace that is no pod's.
    own: Option<NetnsId>,
}

/// What comes from the agent. `Connected` starts a new snapshot: pods that are not listed between it and
/// [`PodEvent::SnapshotSent`] are gone.
#[derive(Debug)]
pub enum Delivery<'a> {
    /// The agent listens to us; its snapshot follows.
    Connected,
    /// The connection broke or was never made; what ztunnel has stays as it is. A new attempt follows by itself.
    Disconnected(ClientError),
    /// A message; the next one comes once it is answered.
    Pod(PodEvent<Netns>, Reply<'a>),
}

/// The answer that is owed for a message. Dropped without an answer it counts as a refusal.
#[derive(Debug)]
pub struct Reply<'a> {
    connection: &'a mut Connection,
}

/// Why the connection to the agent is gone. Each is retried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens at the path, or it cannot be reached.
    #[error("cannot connect to the node agent at {path}: {source}")]
    Connect {
        /// The path.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The agent closed the connection.
    #[error("the node agent closed the connection")]
    Closed,
    /// The socket failed, or a packet was longer than 1,024 bytes.
    #[error("the connection to the node agent broke: {0}")]
    Broken(#[source] io::Error),
    /// The agent broke the order of the protocol.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
}

#[derive(Debug)]
enum Link {
    /// To be connected at this time.
    Down(Instant),
    Up(Connection),
}

#[derive(Debug)]
struct Connection {
    socket: SeqPacket,
    session: ClientSession,
    /// A packet that is to be sent before anything else.
    unsent: Option<Vec<u8>>,
}

enum Step {
    Connected,
    Event(PodEvent<Netns>),
}

// === impl ZdsClient ===

impl ZdsClient {
    /// A client of the agent at `path` (upstream's `INPOD_UDS`, `/var/run/ztunnel/ztunnel.sock`).
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            link: Link::Down(Instant::now()),
            backoff: BACKOFF_MIN,
            own: None,
        }
    }

    /// Refuses this namespace, ztunnel's own, as a pod's: its listeners would stand where ztunnel's connections begin,
    /// and take in what it sends.
    #[must_use]
    pub fn refuse(mut self, own: NetnsId) -> Self {
        self.own = Some(own);
        self
    }

    /// What comes next; connects and reconnects as needed, 10 ms doubling to 15 s apart. May be cancelled and called
    /// again without loss.
    pub async fn next(&mut self) -> Delivery<'_> {
        match self.step().await {
            Ok(Step::Connected) => Delivery::Connected,
            Ok(Step::Event(event)) => match &mut self.link {
                Link::Up(connection) => Delivery::Pod(event, Reply { connection }),
                // An event comes from a connection, and `step` leaves it up.
                Link::Down(_) => Delivery::Disconnected(ClientError::Closed),
            },
            Err(error) => {
                self.link = Link::Down(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                Delivery::Disconnected(error)
            }
        }
    }

    async fn step(&mut self) -> Result<Step, ClientError> {
        match &mut self.link {
            Link::Down(at) => {
                sleep_until(*at).await;
                let socket = self.connect()?;
                let (session, hello) = ClientSession::start();
                self.link = Link::Up(Connection {
                    socket,
                    session,
                    unsent: Some(hello),
                });
                Ok(Step::Connected)
            }
            Link::Up(connection) => {
                let event = connection.receive(self.own).await?;
                if connection.session.phase() == Phase::Live {
                    self.backoff = BACKOFF_MIN;
                }
                Ok(Step::Event(event))
            }
        }
    }

    fn connect(&self) -> Result<SeqPacket, ClientError> {
        SeqPacket::connect(&self.path).map_err(|source| ClientError::Connect {
            path: self.path.display().to_string(),
            source,
        })
    }
}

// === impl Reply ===

impl Reply<'_> {
    /// Answers the message. Once called the answer is kept and sent, even when this future is dropped.
    ///
    /// # Errors
    /// Fails when the connection broke; [`ZdsClient::next`] then reconnects.
    pub async fn send(self, answer: Answer) -> Result<(), ClientError> {
        self.connection.unsent = Some(self.connection.session.answer(&answer)?);
        self.connection.flush().await
    }
}

// === impl Connection ===

impl Connection {
    async fn receive(&mut self, own: Option<NetnsId>) -> Result<PodEvent<Netns>, ClientError> {
        if self.session.answer_due() {
            let dropped = Err(Refused("ztunnel gave no answer".to_owned()));
            self.unsent = Some(self.session.answer(&dropped)?);
        }
        let mut packet = [0; MAX_PACKET];
        loop {
            self.flush().await?;
            let received = self.socket.recv(&mut packet).await.map_err(ClientError::Broken)?;
            let received = received.ok_or(ClientError::Closed)?;
            let (netns, not_netns) = match received.fd.map(Netns::from_fd).transpose() {
                Ok(netns) => (netns, None),
                Err(error) => (None, Some(error)),
            };
            match self.session.packet(&packet[..received.len], netns)? {
                Incoming::Deliver(event) if own.is_some() && event.netns().map(Netns::id) == own => {
                    tracing::error!("the node agent sent ztunnel's own network namespace as a pod's");
                    let refused = Refused("the descriptor is of ztunnel's own network namespace".to_owned());
                    self.unsent = Some(self.session.answer(&Err(refused))?);
                }
                Incoming::Deliver(event) => return Ok(event),
                Incoming::Refuse(refusal, fault) => {
                    tracing::warn!(%fault, not_netns = not_netns.map(tracing::field::display), "the node agent sent a packet that makes no sense");
                    self.unsent = Some(refusal);
                }
            }
        }
    }

    async fn flush(&mut self) -> Result<(), ClientError> {
        if let Some(packet) = &self.unsent {
            self.socket
                .send(packet, None)
                .await
                .map_err(ClientError::Broken)?;
            self.unsent = None;
        }
        Ok(())
    }
}

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(15);
