//! A pod's listeners, made in its namespace and handed to every worker.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mesh_net::datagram::{self, BindOptions};
use mesh_net::{Keepalive, ListenOptions, Netns, NetnsId, listen, listen_held, netns};
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::supervise::Tasks;
use mesh_state::StateReader;
use mesh_types::{Strng, ports};
use mesh_zds::PodInfo;
use tokio::sync::watch;

use crate::connections::Connections;
use crate::gate::{Gate, GateKeeper, KernelSilence, NEWS_SPREADS, Place};
use crate::local::LocalPod;
use crate::worker::{DnsListener, PlaintextListener, PodListeners, StartPod, WorkerHandle};

/// Starts the proxies of pods; the manager's tests have another one.
pub trait StartPods {
    /// What stands for a pod's network namespace.
    type Netns;
    /// Which namespace it is.
    type NetnsId: PartialEq;

    /// Which namespace it is.
    fn id(netns: &Self::Netns) -> Self::NetnsId;

    /// The pod as this node's.
    fn local(&self, info: &PodInfo) -> Arc<LocalPod>;

    /// Whether a proxy listens there already. Not to be asked of a pod that this one serves.
    fn is_served(&self, netns: &Self::Netns) -> bool;

    /// Starts serving a pod.
    ///
    /// # Errors
    /// Says what of the pod cannot be used; trying again later may work.
    fn start(&self, pod: Arc<LocalPod>, netns: &Self::Netns) -> Result<Running, StartError>;
}

/// A pod that is served.
#[derive(Debug)]
pub struct Running {
    /// Who it is.
    pub pod: Arc<LocalPod>,
    /// Ends it.
    pub drain: DrainTrigger,
    /// Its open connections.
    pub connections: Connections,
    /// Its network namespace; nothing where pods are not real.
    pub netns: Option<Netns>,
}

/// Why a pod cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its namespace cannot be entered.
    #[error("the pod's network namespace cannot be entered: {0}")]
    Netns(#[source] io::Error),
    /// Its addresses cannot be found out.
    #[error("the pod's addresses: {0}")]
    Addresses(#[source] io::Error),
    /// A port cannot be had.
    #[error("port {port} in the pod: {source}")]
    Listen {
        /// Which one.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// A worker thread has died; the process is about to end.
    #[error("a data worker is gone")]
    WorkerGone,
}

/// Starts pods on all workers.
#[derive(Debug)]
pub struct PodStarter {
    /// The workers; each gets its own listeners.
    pub workers: Vec<WorkerHandle>,
    /// The mesh.
    pub state: StateReader,
    /// Whether the configuration is complete.
    pub synced: watch::Receiver<bool>,
    /// The cluster of this node.
    pub cluster: Strng,
    /// The network of this node.
    pub network: Strng,
    /// The mark on sockets in pods.
    pub mark: Option<u32>,
    /// Keep-alive of accepted connections.
    pub keepalive: Option<Keepalive>,
    /// Listen for IPv6 too.
    pub ipv6: bool,
    /// Where questions for names arrive; empty where DNS is not captured.
    pub dns: Vec<SocketAddr>,
    /// Where the gates of pods are kept.
    pub tasks: Tasks,
}

impl StartPods for PodStarter {
    type Netns = Netns;
    type NetnsId = NetnsId;

    fn id(netns: &Netns) -> NetnsId {
        netns.id()
    }

    fn local(&self, info: &PodInfo) -> Arc<LocalPod> {
        Arc::new(LocalPod::new(info.clone(), &self.cluster, self.network.clone()))
    }

    fn is_served(&self, netns: &Netns) -> bool {
        let on_any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), ports::HBONE);
        // Where it cannot be told, the start says why.
        netns
            .run(|| listen::is_listened_on(on_any))
            .is_ok_and(|told| told.unwrap_or(false))
    }

    fn start(&self, pod: Arc<LocalPod>, netns: &Netns) -> Result<Running, StartError> {
        let addresses = netns.run(|| {
            // Before the listeners, so that a predecessor's queue has where to go from the first moment.
            if let Err(error) = listen::pass_on_queued() {
                let info = pod.info();
                tracing::debug!(pod = %info.name, namespace = %info.namespace, %error,
                    "when a listener closes, what waits in its queue will be reset");
            }
            netns::addresses()
        });
        let addresses = addresses
            .map_err(StartError::Netns)?
            .map_err(StartError::Addresses)?;
        let keeper = GateKeeper::new(self.place(&pod, addresses), KernelSilence::new(netns.clone()));
        let gate = keeper.gate();
        let now = *gate.borrow();
        let listeners = netns.run(|| self.listeners(now)).map_err(StartError::Netns)??;
        let (trigger, watcher) = drain::channel();
        let connections = Connections::default();
        for (worker, listeners) in self.workers.iter().zip(listeners) {
            let start = StartPod {
                pod: pod.clone(),
                netns: Some(netns.clone()),
                listeners,
                gate: gate.clone(),
                connections: connections.clone(),
                drain: watcher.clone(),
            };
            worker.start_pod(start).map_err(|_| StartError::WorkerGone)?;
        }
        self.tasks.spawn("plaintext gate", keeper.keep(watcher));
        Ok(Running {
            pod,
            drain: trigger,
            connections,
            netns: Some(netns.clone()),
        })
    }
}

impl PodStarter {
    /// Whether this process may do what serving pods takes: enter a namespace, and mark a socket there.
    ///
    /// # Errors
    /// Says which right is missing.
    pub fn check_rights(&self) -> Result<(), String> {
        let own = Netns::current().map_err(|e| format!("own network namespace: {e}"))?;
        let options = ListenOptions {
            mark: self.mark,
            ..ListenOptions::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
        };
        let listened = own
            .run(|| listen(&options))
            .map_err(|e| format!("entering a network namespace: {e}; CAP_SYS_ADMIN is needed"))?;
        let marked = listened.map(drop);
        marked.map_err(|e| format!("marking a socket: {e}; CAP_NET_ADMIN is needed"))
    }

    fn place(&self, pod: &Arc<LocalPod>, addresses: Vec<IpAddr>) -> Place {
        Place {
            pod: pod.clone(),
            addresses,
            state: self.state.clone(),
            synced: self.synced.clone(),
            news_spreads: NEWS_SPREADS,
        }
    }

    /// One set of listeners for each worker. Runs inside the pod's namespace. The rules redirect to them as soon as the agent hears of
    /// them, and nobody is to wait at a gate that is open.
    fn listeners(&self, gate: Gate) -> Result<Vec<PodListeners>, StartError> {
        let mut sets = Vec::with_capacity(self.workers.len());
        for _ in &self.workers {
            sets.push(PodListeners {
                outbound: self.listener(ports::OUTBOUND, listen)?,
                hbone: self.listener(ports::HBONE, listen)?,
                plaintext: self.listener(ports::INBOUND_PLAINTEXT, |options| match gate {
                    Gate::Open => listen(options).map(PlaintextListener::Open),
                    _ => listen_held(options).map(PlaintextListener::Held),
                })?,
                dns: self.dns_listeners()?,
            });
        }
        Ok(sets)
    }

    fn dns_listeners(&self) -> Result<Vec<DnsListener>, StartError> {
        let mut listeners = Vec::with_capacity(self.dns.len());
        for addr in self.dns.iter().filter(|addr| self.ipv6 || addr.is_ipv4()) {
            match self.dns_listener(*addr) {
                Ok(listener) => listeners.push(listener),
                Err(e) if addr.is_ipv6() && lacks_ipv6(&e) => {}
                Err(source) => {
                    let port = addr.port();
                    return Err(StartError::Listen { port, source });
                }
            }
        }
        Ok(listeners)
    }

    fn dns_listener(&self, addr: SocketAddr) -> io::Result<DnsListener> {
        let datagrams = datagram::bind(&BindOptions {
            addr,
            mark: self.mark,
            reuse_port: true,
        })?;
        let streams = listen(&ListenOptions {
            mark: self.mark,
            reuse_port: true,
            v6_only: true,
            ..ListenOptions::new(addr)
        })?;
        Ok(DnsListener { datagrams, streams })
    }

    fn listener<L>(
        &self,
        port: u16,
        listen: impl Fn(&ListenOptions) -> io::Result<L>,
    ) -> Result<L, StartError> {
        let on = |ip: IpAddr| {
            listen(&ListenOptions {
                mark: self.mark,
                reuse_port: true,
                keepalive: self.keepalive,
                ..ListenOptions::new(SocketAddr::new(ip, port))
            })
        };
        let (v4, v6) = (
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        );
        let listener = match self.ipv6 {
            false => on(v4),
            // A pod, or a kernel, without IPv6 is served on IPv4.
            true => on(v6).or_else(|e| if lacks_ipv6(&e) { on(v4) } else { Err(e) }),
        };
        listener.map_err(|source| StartError::Listen { port, source })
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    errno == Some(Errno::EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}
