//! Which ports are open: those of the gateway's binds, followed as they change.
//!
//! A bind that changes is closed gracefully and opened again; one that does not is not touched, whatever else changes.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mesh_model::l7::Bind;
use mesh_model::l7::bind::BindProtocol;
use mesh_net::{Keepalive, ListenOptions, listen};
use mesh_runtime::drain::{self, DrainMode, DrainTrigger};
use mesh_runtime::readiness::BlockReady;
use mesh_runtime::supervise::Tasks;
use mesh_state::l7::L7Reader;
use mesh_types::{NamespacedName, Strng, ports};
use tokio::sync::oneshot;

use crate::listener::of_ports;
use crate::worker::{Command, Listen, Workers};

/// Opens and closes ports.
pub(super) struct Binds {
    gateway: NamespacedName,
    workers: Workers,
    tasks: Tasks,
    drain: Duration,
    open: BTreeMap<Strng, Open>,
}

struct Open {
    bind: Arc<Bind>,
    trigger: DrainTrigger,
}

impl Binds {
    pub(super) fn new(gateway: NamespacedName, workers: Workers, tasks: Tasks, drain: Duration) -> Self {
        Self {
            gateway,
            workers,
            tasks,
            drain,
            open: BTreeMap::new(),
        }
    }

    /// Follows the binds until told to stop, then drains all of them.
    pub(super) async fn run(mut self, l7: L7Reader, ready: BlockReady, stop: oneshot::Receiver<()>) {
        let mut generation = l7.generation();
        let mut ready = Some(ready);
        let mut stop = std::pin::pin!(stop);
        loop {
            generation.mark_unchanged();
            let wanted = self.wanted(&l7);
            let failed = self.become_like(wanted);
            if !failed && let Some(ready) = ready.take() {
                ready.ready();
            }
            let again = async {
                match failed {
                    // Somebody else may have the port for a moment: a predecessor that drains.
                    true => tokio::time::sleep(AGAIN).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = &mut stop => break,
                () = again => {}
                changed = generation.changed() => if changed.is_err() {
                    // Nothing changes any more.
                    let _ = (&mut stop).await;
                    break;
                },
            }
        }
        let drains = self
            .open
            .into_values()
            .map(|open| open.trigger.drain(DrainMode::Graceful, self.drain));
        join_all(drains).await;
    }

    /// The gateway's own; without any, the waypoint's usual one.
    fn wanted(&self, l7: &L7Reader) -> BTreeMap<Strng, Arc<Bind>> {
        let snapshot = l7.snapshot();
        let own = snapshot.binds().filter(|bind| bind.gateway == self.gateway);
        let mut wanted = of_ports(own.cloned());
        if wanted.is_empty() {
            let usual = Bind {
                gateway: self.gateway.clone(),
                listener: "mesh".into(),
                port: ports::HBONE,
                protocol: BindProtocol::Hbone {
                    serves: mesh_model::l7::bind::Serves::default(),
                },
            };
            wanted.insert(usual.key(), Arc::new(usual));
        }
        wanted
    }

    /// Opens and closes; says whether something could not be opened.
    fn become_like(&mut self, wanted: BTreeMap<Strng, Arc<Bind>>) -> bool {
        let gone: Vec<_> = self
            .open
            .iter()
            .filter(|(key, open)| wanted.get(*key) != Some(&open.bind))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(open) = self.open.remove(&key) {
                tracing::info!(bind = %key, "closing");
                let drain = self.drain;
                self.tasks.spawn("closing a bind", async move {
                    open.trigger.drain(DrainMode::Graceful, drain).await;
                });
            }
        }
        let mut failed = false;
        for (key, bind) in wanted {
            if self.open.contains_key(&key) {
                continue;
            }
            match self.open(&bind) {
                Ok(trigger) => {
                    tracing::info!(bind = %key, port = bind.port, "listening");
                    self.open.insert(key, Open { bind, trigger });
                }
                Err(error) => {
                    tracing::error!(bind = %key, port = bind.port, %error, "cannot listen");
                    failed = true;
                }
            }
        }
        failed
    }

    fn open(&self, bind: &Arc<Bind>) -> io::Result<DrainTrigger> {
        let (trigger, watcher) = drain::channel();
        // All sockets first: half a bind would serve with half of the workers.
        let sockets: io::Result<Vec<_>> = (0..self.workers.count()).map(|_| socket(bind.port)).collect();
        for (number, listener) in sockets?.into_iter().enumerate() {
            let listen = Listen {
                bind: bind.clone(),
                listener,
                drain: watcher.clone(),
            };
            // A worker that is gone fails the process by itself.
            let _ = self.workers.tell(number, Command::Listen(listen));
        }
        Ok(trigger)
    }
}

/// On all addresses of both families, or of IPv4 where there is no other.
fn socket(port: u16) -> io::Result<std::net::TcpListener> {
    let on = |ip| {
        listen(&ListenOptions {
            reuse_port: true,
            keepalive: Some(Keepalive::default()),
            ..ListenOptions::new(SocketAddr::new(ip, port))
        })
    };
    on(IpAddr::V6(Ipv6Addr::UNSPECIFIED)).or_else(|_| on(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}

const AGAIN: Duration = Duration::from_secs(1);
