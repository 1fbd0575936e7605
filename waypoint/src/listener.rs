//! Accepting: a bind's sockets, and what comes in on them.
//!
//! # Layout
//! - this file: the loop of a bind, by its protocol.
//! - [`hbone`]: tunnels, and their streams handed out to all workers.
//! - `proxied`: connections behind a PROXY protocol header.
//! - `tls`: connections whose TLS ends here, or goes on by its server name.

pub mod hbone;
mod proxied;
mod tls;

pub use tls::Terminations;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use mesh_dataplane::accept::accept_loop;
use mesh_dataplane::drain_signal::DrainSignal;
use mesh_model::l7::Bind;
use mesh_model::l7::bind::{BindProtocol, Frontend as Served};
use mesh_runtime::drain::DrainWatcher;
use mesh_tls::{CertSource, CertUnavailable, WorkloadCertificate};
use mesh_types::{Identity, Peer, Strng};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{Accepted, Client};
use crate::frontend::Frontend;
use crate::proxy;
use crate::stream::Stream;
use crate::worker::{Listen, Worker};

/// Where the proxy's own certificate comes from.
pub trait Certificates {
    /// The one that is valid now.
    fn get(&self, identity: &Identity) -> Getting<'_>;
}

/// A certificate on its way.
pub type Getting<'a> = Pin<Box<dyn Future<Output = Result<Arc<WorkloadCertificate>, CertUnavailable>> + 'a>>;

/// A [`CertSource`] whose type nobody needs to know.
pub(crate) struct Source<C>(pub(crate) C);

impl<C: CertSource> Certificates for Source<C> {
    fn get(&self, identity: &Identity) -> Getting<'_> {
        let identity = identity.clone();
        Box::pin(async move { self.0.get(&identity).await })
    }
}

/// A bind on a worker: what its connections share.
pub(crate) struct Listener {
    pub(crate) worker: Rc<Worker>,
    pub(crate) bind: Arc<Bind>,
    pub(crate) drain: DrainSignal,
    /// For what is handed to other workers.
    pub(crate) watcher: DrainWatcher,
    /// It was said in the log, once, that somebody names identities who may not.
    pub(crate) told: Cell<bool>,
    /// TLS of its clients, where it ends here.
    termination: Option<Arc<rustls::ServerConfig>>,
}

/// The listeners whose sockets are opened, by their keys: those of one port share the sockets of the first.
#[must_use]
pub fn of_ports(binds: impl Iterator<Item = Arc<Bind>>) -> BTreeMap<Strng, Arc<Bind>> {
    let mut ports: BTreeMap<u16, Arc<Bind>> = BTreeMap::new();
    for bind in binds {
        let first = ports.entry(bind.port).or_insert_with(|| bind.clone());
        if bind.key() < first.key() {
            *first = bind;
        }
    }
    ports.into_values().map(|bind| (bind.key(), bind)).collect()
}

/// Accepts until the drain. Before the first configuration is complete, connections wait in the socket's queue.
pub fn listen(worker: &Rc<Worker>, listen: Listen) {
    let Listen {
        bind,
        listener: socket,
        drain,
    } = listen;
    let (signal, follow) = DrainSignal::new(drain.clone());
    worker.tasks.spawn_local("drain", follow);
    let termination = match tls::termination(&bind) {
        Ok(termination) => termination,
        Err(error) => {
            tracing::error!(bind = %bind.key(), %error, "the listener's certificates cannot be used; it serves nobody");
            return;
        }
    };
    let listener = Rc::new(Listener {
        worker: worker.clone(),
        termination,
        told: Cell::new(false),
        bind,
        drain: signal,
        watcher: drain.clone(),
    });
    worker.tasks.spawn_local("listener", async move {
        let mut early = drain.clone();
        let mut synced = listener.worker.synced();
        tokio::select! {
            biased;
            _ = early.draining() => return,
            complete = synced.wait_for(|synced| *synced) => if complete.is_err() {
                return;
            },
        }
        drop(early);
        let key = listener.bind.key();
        let accepted = match TcpListener::from_std(socket) {
            Ok(socket) => {
                accept_loop(socket, drain, move |stream, peer| accept(&listener, stream, peer)).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = accepted {
            tracing::error!(bind = %key, %error, "listener is broken; it takes no more connections");
        }
    });
}

fn accept(listener: &Rc<Listener>, stream: TcpStream, peer: Peer) {
    let serve: Pin<Box<dyn Future<Output = ()>>> = match &listener.bind.protocol {
        BindProtocol::Hbone { serves } => Box::pin(hbone::serve(listener.clone(), stream, peer, *serves)),
        BindProtocol::Plain(served) => {
            let Some(accepted) = plainly(listener, &stream, peer, served) else {
                return;
            };
            let drain = listener.drain.listener();
            Box::pin(proxy::serve(
                listener.worker.clone(),
                Stream::from(stream),
                accepted,
                drain,
            ))
        }
        BindProtocol::Proxy { serves, trust } => {
            let Some(believed) = proxied::believed(listener, &stream, peer, trust) else {
                return;
            };
            Box::pin(proxied::serve(listener.clone(), stream, *serves, believed))
        }
        BindProtocol::Tls(_, served) => {
            let Some(accepted) = plainly(listener, &stream, peer, served) else {
                return;
            };
            Box::pin(tls::serve(listener.clone(), stream, accepted))
        }
    };
    listener.spawn("connection", serve);
}

/// What a connection means that does not say so: whatever the bind serves.
fn plainly(listener: &Listener, stream: &TcpStream, peer: Peer, served: &Served) -> Option<Accepted> {
    let local = stream.local_addr().ok()?;
    let frontend = match served {
        Served::Service(port) => {
            let service = listener
                .worker
                .state
                .query(|view| view.service_by_name(&port.service).cloned());
            let found = service.and_then(|s| s.ports.get(port.port).map(|p| p.app_protocol).zip(Some(s)));
            let Some((protocol, service)) = found else {
                tracing::debug!(bind = %listener.bind.key(), service = %port.service, "the bind's service is not there");
                return None;
            };
            Frontend::Service {
                service,
                port: port.port,
                protocol,
            }
        }
        Served::Routes { .. } => Frontend::of_listener(&listener.bind)?,
    };
    Some(Accepted {
        client: Client::plain(peer, canonical(local)),
        frontend,
    })
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

// === impl Listener ===

impl Listener {
    /// Runs one connection's future until it ends or its time is over. Until then the drain is not over, and its signal
    /// lives.
    pub(crate) fn spawn(self: &Rc<Self>, name: &'static str, connection: impl Future<Output = ()> + 'static) {
        let held = self.clone();
        let cut = self.drain.listener().until_cut(connection);
        self.worker.tasks.spawn_local(name, async move {
            cut.await;
            drop(held);
        });
    }
}
