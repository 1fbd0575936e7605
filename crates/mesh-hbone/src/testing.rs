//! Fixtures: a mesh with a certificate authority, and two ends of a connection in one process.

mod ca;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use mesh_net::{ChunkRead, ChunkWrite, StreamError};
use mesh_tls::{CertSource, CertUnavailable, ExpectedPeers, WorkloadCertificate};
use mesh_types::Identity;
use tokio::io::DuplexStream;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use crate::client::{ClientConnection, ClientDriver, establish};
use crate::closed::ConnectionEnd;
use crate::request::{ConnectRequest, ConnectResponse};
use crate::server::{IncomingTunnel, ServeError, ServerConnection, serve_tls};
use crate::tunnel::Tunnel;
use crate::{AcceptError, ConnectError, HboneOptions, ReceiveBudget};

pub(crate) use ca::{Mesh, identity};

/// What a test's worker runs.
pub(crate) async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

/// Two ends of one connection. The client's driver runs; the server's end is the test's to poll.
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) driver: JoinHandle<ConnectionEnd>,
    pub(crate) server: ServerConnection,
}

/// Both ends with options of their own, and how much the pipe between them holds.
pub(crate) struct Ends {
    pub(crate) client: HboneOptions,
    pub(crate) server: HboneOptions,
    pub(crate) pipe: usize,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            client: HboneOptions::default(),
            server: HboneOptions::default(),
            pipe: PIPE,
        }
    }
}

/// A server that runs: what it was asked, and how it ended.
pub(crate) struct Running {
    incoming: Rc<RefCell<VecDeque<IncomingTunnel>>>,
    arrived: Rc<tokio::sync::Notify>,
    pub(crate) task: JoinHandle<Vec<ServeError>>,
    pub(crate) control: tokio::sync::mpsc::UnboundedSender<Control>,
}

/// What a test may do to a running server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    Drain,
    Close,
    /// It holds the connection but does nothing any more: as a machine that hangs.
    Freeze,
}

pub(crate) type Established = Result<(ClientConnection, ClientDriver), ConnectError>;

/// Runs both handshakes over a pipe.
pub(crate) async fn handshakes(
    client: &WorkloadCertificate,
    expected: &ExpectedPeers,
    server: &WorkloadCertificate,
    ends: Ends,
) -> (Established, Result<ServerConnection, AcceptError>) {
    let (near, far) = tokio::io::duplex(ends.pipe);
    let options = Rc::new(ends.client);
    let budget = ReceiveBudget::default();
    tokio::join!(
        establish(near, client.client_config(expected), &options, &budget),
        serve_tls(far, server.server_config(), &ends.server, &budget)
    )
}

pub(crate) fn pipe() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(PIPE)
}

const PIPE: usize = 64 * 1024;

impl Pair {
    pub(crate) async fn new() -> Self {
        Self::with(Ends::default()).await
    }

    pub(crate) async fn with(ends: Ends) -> Self {
        let ((client, driver), server) = Self::ends(ends).await;
        Self {
            client,
            driver: spawn_local(driver),
            server,
        }
    }

    /// A client whose driver nobody polls, and its server.
    pub(crate) async fn with_frozen_client() -> ((ClientConnection, ClientDriver), ServerConnection) {
        Self::ends(Ends::default()).await
    }

    async fn ends(ends: Ends) -> ((ClientConnection, ClientDriver), ServerConnection) {
        let mesh = Mesh::new();
        let expected = ExpectedPeers::one(&identity("server"));
        let (client, server) = (mesh.certificate("client"), mesh.certificate("server"));
        let (client, server) = handshakes(&client, &expected, &server, ends).await;
        (client.unwrap(), server.unwrap())
    }

    /// Lets the server's end run by itself.
    pub(crate) fn run(self) -> (ClientConnection, JoinHandle<ConnectionEnd>, Running) {
        (self.client, self.driver, Running::new(self.server))
    }

    /// One tunnel, both ends of it, over a server that runs.
    pub(crate) async fn tunnel() -> (Tunnel, Tunnel, Running) {
        Self::tunnel_with(Ends::default()).await
    }

    pub(crate) async fn tunnel_with(ends: Ends) -> (Tunnel, Tunnel, Running) {
        let (client, _, server) = Self::with(ends).await.run();
        let (near, far) = server.tunnel_from(&client).await;
        (near, far, server)
    }
}

impl Running {
    pub(crate) fn new(mut server: ServerConnection) -> Self {
        let incoming: Rc<RefCell<VecDeque<_>>> = Rc::default();
        let arrived: Rc<tokio::sync::Notify> = Rc::default();
        let (control, mut orders) = tokio::sync::mpsc::unbounded_channel();
        let (queue, notify) = (incoming.clone(), arrived.clone());
        let task = spawn_local(async move {
            let mut errors = Vec::new();
            loop {
                tokio::select! {
                    Some(order) = orders.recv() => match order {
                        Control::Drain => server.graceful_shutdown(),
                        Control::Close => server.close(),
                        Control::Freeze => std::future::pending().await,
                    },
                    next = server.next() => match next {
                        Some(Ok(tunnel)) => {
                            queue.borrow_mut().push_back(tunnel);
                            notify.notify_one();
                        }
                        Some(Err(error)) => errors.push(error),
                        None => return errors,
                    },
                }
            }
        });
        Self {
            incoming,
            arrived,
            task,
            control,
        }
    }

    /// The next request.
    pub(crate) async fn incoming(&self) -> IncomingTunnel {
        loop {
            if let Some(tunnel) = self.incoming.borrow_mut().pop_front() {
                return tunnel;
            }
            self.arrived.notified().await;
        }
    }

    /// Accepts the next request.
    pub(crate) async fn accept(&self) -> Tunnel {
        self.incoming().await.accept(&ConnectResponse::default()).unwrap()
    }

    /// A tunnel through the connection.
    pub(crate) async fn tunnel_from(&self, client: &ClientConnection) -> (Tunnel, Tunnel) {
        let request = request();
        let (near, far) = tokio::join!(client.tunnel(&request), self.accept());
        (near.unwrap(), far)
    }
}

pub(crate) fn request() -> ConnectRequest {
    ConnectRequest::to("10.0.0.1:8080".parse().unwrap())
}

// === tunnels as tests speak of them ===

pub(crate) async fn send(tunnel: &mut Tunnel, data: impl Into<Bytes>) -> Result<(), StreamError> {
    let mut chunks = VecDeque::from([data.into()]);
    while chunks.iter().any(|c| !c.is_empty()) {
        poll_fn(|cx| tunnel.poll_write_chunks(cx, &mut chunks)).await?;
    }
    Ok(())
}

pub(crate) async fn finish(tunnel: &mut Tunnel) -> Result<(), StreamError> {
    poll_fn(|cx| tunnel.poll_finish(cx)).await
}

pub(crate) async fn receive(tunnel: &mut Tunnel) -> Result<Option<Bytes>, StreamError> {
    poll_fn(|cx| tunnel.poll_chunk(cx)).await
}

/// Reads `n` bytes.
pub(crate) async fn receive_exactly(tunnel: &mut Tunnel, n: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < n {
        all.extend_from_slice(&receive(tunnel).await.unwrap().expect("more bytes"));
    }
    assert_eq!(all.len(), n);
    all
}

/// Reads until the peer has finished.
pub(crate) async fn receive_all(tunnel: &mut Tunnel) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = receive(tunnel).await.unwrap() {
        all.extend_from_slice(&chunk);
    }
    all
}

/// A certificate that is simply there.
#[derive(Clone)]
pub(crate) struct Fixed(Rc<RefCell<Arc<WorkloadCertificate>>>);

impl Fixed {
    pub(crate) fn new(certificate: Arc<WorkloadCertificate>) -> Self {
        Self(Rc::new(RefCell::new(certificate)))
    }

    pub(crate) fn renew(&self, certificate: Arc<WorkloadCertificate>) {
        self.0.replace(certificate);
    }
}

impl CertSource for Fixed {
    async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        let certificate = self.0.borrow().clone();
        if identity == certificate.identity() {
            return Ok(certificate);
        }
        let identity = identity.clone();
        Err(CertUnavailable::Unknown { identity })
    }
}
