//! One thread of the data plane, and what its connections share.

use std::io;
use std::net::{TcpListener as StdListener, UdpSocket as StdSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mesh_dataplane::accept::accept_loop;
use mesh_dataplane::drain_signal::DrainSignal;
use mesh_dataplane::enforce::Enforcer;
use mesh_dataplane::record::Traffic;
use mesh_hbone::{HboneOptions, Pool, ReceiveBudget};
use mesh_net::{DialOptions, HeldListener, Keepalive, Netns};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::supervise::Tasks;
use mesh_state::StateReader;
use mesh_tls::CertSource;
use mesh_types::OrigDst;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::connections::Connections;
use crate::dns::{self, Dns};
use crate::gate::Gate;
use crate::inbound::admit::Standing;
use crate::local::LocalPod;
use crate::unsynced::{self, Door};
use crate::{inbound, outbound, passthrough};

/// What every worker is given.
#[derive(Clone)]
pub struct WorkerSeed<C> {
    /// The mesh.
    pub state: StateReader,
    /// Certificates of local identities.
    pub certs: C,
    /// Where connections are counted.
    pub traffic: Traffic,
    /// HBONE tunables.
    pub hbone: HboneOptions,
    /// How connections are made and treated.
    pub settings: Settings,
    /// Names.
    pub dns: Dns,
    /// True once the first configuration is complete; nothing is forwarded before.
    pub synced: watch::Receiver<bool>,
}

/// How connections are made and treated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The mark on sockets in pods; `None` only where there are no rules that know it.
    pub mark: Option<u32>,
    /// Keep-alive of TCP connections.
    pub keepalive: Option<Keepalive>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<Duration>,
    /// Connections to applications come from the client's address.
    pub original_source: bool,
    /// A CONNECT is answered with labels of the local workload.
    pub response_baggage: bool,
    /// Where a captured connection wanted to go.
    pub original_destination: fn(&TcpStream) -> io::Result<OrigDst>,
    /// How long a pod's connections wait for the first configuration before they are refused.
    pub sync_patience: Duration,
}

/// A pod's listeners on one worker, made in the pod's namespace.
#[derive(Debug)]
pub struct PodListeners {
    /// Port 15001.
    pub outbound: StdListener,
    /// Port 15008.
    pub hbone: StdListener,
    /// Port 15006.
    pub plaintext: PlaintextListener,
    /// Port 15053, on each of the pod's loopback addresses; none where DNS is not captured.
    pub dns: Vec<DnsListener>,
}

/// A pod's listener for plaintext.
#[derive(Debug)]
pub enum PlaintextListener {
    /// Of a pod whose gate is open.
    Open(StdListener),
    /// Of another one; opened to clients later.
    Held(HeldListener),
}

/// Where a pod's questions arrive.
#[derive(Debug)]
pub struct DnsListener {
    /// Datagrams.
    pub datagrams: StdSocket,
    /// Streams.
    pub streams: StdListener,
}

/// A pod that is to be served.
#[derive(Debug)]
pub struct StartPod {
    /// Who it is.
    pub pod: Arc<LocalPod>,
    /// Where its sockets are made; `None` for the process' own namespace.
    pub netns: Option<Netns>,
    /// What it listens on.
    pub listeners: PodListeners,
    /// When those are let in who come in the clear.
    pub gate: watch::Receiver<Gate>,
    /// Its open connections.
    pub connections: Connections,
    /// When to stop.
    pub drain: DrainWatcher,
}

/// A running worker. When the last clone is dropped, the thread ends with everything on it.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    commands: mpsc::UnboundedSender<StartPod>,
}

/// What the connections of a worker share.
pub struct Worker<C> {
    /// What it was given.
    pub seed: WorkerSeed<C>,
    /// HBONE tunables, shared with its connections.
    pub hbone: Rc<HboneOptions>,
    /// Memory for what peers sent and nobody read yet.
    pub budget: ReceiveBudget,
    /// The open connections that policies may close.
    pub enforcer: Enforcer<Standing>,
    /// Where tasks are started.
    pub tasks: Tasks,
}

/// A pod on a worker: what its connections share.
pub struct PodProxy<C> {
    /// The worker.
    pub worker: Rc<Worker<C>>,
    /// Who it is.
    pub pod: Arc<LocalPod>,
    /// Where its sockets are made.
    pub netns: Option<Netns>,
    /// Its tunnels.
    pub pool: Pool<C>,
    /// Its open connections.
    pub connections: Connections,
    /// When to stop.
    pub drain: DrainSignal,
}

/// Starts the thread.
///
/// # Errors
/// Fails when the thread cannot be started.
pub fn start<C>(
    number: usize,
    seed: WorkerSeed<C>,
    tasks: &Tasks,
) -> io::Result<(WorkerHandle, JoinHandle<()>)>
where
    C: CertSource + Send,
{
    let (commands, receiver) = mpsc::unbounded_channel();
    let local_tasks = tasks.clone();
    let thread = tasks.critical_thread(format!("data-{number}"), move || {
        // Not a `LocalSet`: tasks that wake each other there cost one more look at the sockets each time.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        runtime.block_on(run(seed, local_tasks, receiver));
        Ok::<_, io::Error>(())
    })?;
    Ok((WorkerHandle { commands }, thread))
}

/// A worker on the current thread's `LocalRuntime` or, for tests, `LocalSet`.
pub async fn run<C: CertSource>(
    seed: WorkerSeed<C>,
    tasks: Tasks,
    mut commands: mpsc::UnboundedReceiver<StartPod>,
) {
    let (enforcer, driver) = Enforcer::new(seed.state.clone());
    tasks.spawn_local("policy enforcement", driver);
    let worker = Rc::new(Worker {
        hbone: Rc::new(seed.hbone.clone()),
        budget: ReceiveBudget::default(),
        enforcer,
        tasks,
        seed,
    });
    while let Some(start) = commands.recv().await {
        serve_pod(&worker, start);
    }
}

fn serve_pod<C: CertSource>(worker: &Rc<Worker<C>>, start: StartPod) {
    let tasks = worker.tasks.clone();
    let pool = Pool::new(
        worker.seed.certs.clone(),
        worker.hbone.clone(),
        worker.budget.clone(),
        move |name, task| drop(tasks.spawn_local(name, task)),
    );
    let (drain, follow) = DrainSignal::new(start.drain.clone());
    worker.tasks.spawn_local("pod drain", follow);
    let proxy = Rc::new(PodProxy {
        worker: worker.clone(),
        pod: start.pod,
        netns: start.netns,
        pool,
        connections: start.connections,
        drain,
    });
    let PodListeners {
        outbound,
        hbone,
        plaintext,
        dns,
    } = start.listeners;
    proxy.listen(
        Door::Outbound,
        outbound,
        start.drain.clone(),
        |proxy, stream, peer| {
            proxy
                .clone()
                .spawn("outbound connection", outbound::serve(proxy, stream, peer));
        },
    );
    proxy.listen(Door::Hbone, hbone, start.drain.clone(), |proxy, stream, peer| {
        proxy
            .clone()
            .spawn("inbound connection", inbound::serve(proxy, stream, peer));
    });
    serve_plaintext(&proxy, plaintext, start.gate, start.drain.clone());
    for listener in dns {
        serve_dns(&proxy, listener, &start.drain);
    }
}

fn serve_plaintext<C: CertSource>(
    proxy: &Rc<PodProxy<C>>,
    listener: PlaintextListener,
    gate: watch::Receiver<Gate>,
    drain: DrainWatcher,
) {
    proxy.run_listener(unsynced::PLAINTEXT, drain, move |proxy, drain| async move {
        let opened = unsynced::open(&proxy, listener, gate);
        let Some(listener) = unless_drained(drain.clone(), opened).await else {
            return Ok(());
        };
        accept_loop(TcpListener::from_std(listener?)?, drain, move |stream, peer| {
            let serve = passthrough::serve(proxy.clone(), stream, peer);
            proxy.clone().spawn("plaintext connection", serve);
        })
        .await
    });
}

fn serve_dns<C: CertSource>(proxy: &Rc<PodProxy<C>>, listener: DnsListener, drain: &DrainWatcher) {
    let DnsListener { datagrams, streams } = listener;
    proxy.listen_with("dns datagrams", None, drain.clone(), |proxy, drain| async move {
        dns::serve_datagrams(proxy, UdpSocket::from_std(datagrams)?, drain).await
    });
    let room = Arc::new(Semaphore::new(MOST_DNS_STREAMS));
    proxy.listen(Door::Dns, streams, drain.clone(), move |proxy, stream, peer| {
        // Whoever has opened so many closes this one and is told so by that.
        let Ok(permit) = room.clone().try_acquire_owned() else {
            return;
        };
        proxy.clone().spawn("dns stream", async move {
            dns::serve_stream(proxy, stream, peer).await;
            drop(permit);
        });
    });
}

// === impl WorkerHandle ===

impl WorkerHandle {
    /// Hands a pod over.
    ///
    /// # Errors
    /// Gives the pod back when the thread is gone.
    pub fn start_pod(&self, pod: StartPod) -> Result<(), Box<StartPod>> {
        self.commands.send(pod).map_err(|e| Box::new(e.0))
    }
}

// === impl PodProxy ===

impl<C: CertSource> PodProxy<C> {
    /// How a socket of the pod is made.
    #[must_use]
    pub fn dial_options(&self) -> DialOptions {
        let settings = &self.worker.seed.settings;
        DialOptions {
            mark: settings.mark,
            keepalive: settings.keepalive,
            user_timeout: settings.user_timeout,
            ..DialOptions::default()
        }
    }

    /// Runs one connection's future until it ends or its time is over.
    pub fn spawn(self: Rc<Self>, name: &'static str, connection: impl Future<Output = ()> + 'static) {
        let listener = self.drain.listener();
        self.worker
            .tasks
            .spawn_local(name, listener.until_cut(connection));
    }

    fn listen(
        self: &Rc<Self>,
        door: Door,
        listener: StdListener,
        drain: DrainWatcher,
        serve: impl Fn(Rc<Self>, TcpStream, mesh_types::Peer) + 'static,
    ) {
        let patience = Some(self.worker.seed.settings.sync_patience);
        self.listen_with(door.name(), patience, drain, move |proxy, drain| async move {
            let listener = TcpListener::from_std(listener)?;
            let mut complete = false;
            accept_loop(listener, drain, move |stream, peer| {
                complete = complete || *proxy.worker.seed.synced.borrow();
                match complete {
                    true => serve(proxy.clone(), stream, peer),
                    false => unsynced::refuse(&proxy, door, stream, peer),
                }
            })
            .await
        });
    }

    /// Runs a listener once the first configuration is complete or has been waited for long enough, unless the drain starts
    /// before.
    fn listen_with<F>(
        self: &Rc<Self>,
        name: &'static str,
        patience: Option<Duration>,
        drain: DrainWatcher,
        run: impl FnOnce(Rc<Self>, DrainWatcher) -> F + 'static,
    ) where
        F: Future<Output = io::Result<()>>,
    {
        self.run_listener(name, drain, move |proxy, drain| async move {
            let waited = unsynced::wait(&proxy, name, patience);
            match unless_drained(drain.clone(), waited).await {
                Some(()) => run(proxy, drain).await,
                None => Ok(()),
            }
        });
    }

    /// Runs a listener to its end.
    fn run_listener<F>(
        self: &Rc<Self>,
        name: &'static str,
        drain: DrainWatcher,
        run: impl FnOnce(Rc<Self>, DrainWatcher) -> F + 'static,
    ) where
        F: Future<Output = io::Result<()>>,
    {
        let proxy = self.clone();
        self.worker.tasks.spawn_local(name, async move {
            let pod = proxy.pod.clone();
            if let Err(error) = run(proxy, drain).await {
                tracing::error!(listener = name, pod = %pod.info().name, namespace = %pod.info().namespace, %error,
                    "listener is broken; the pod is served no more there");
            }
        });
    }
}

/// What comes first counts; nothing when that is the drain.
async fn unless_drained<T>(mut drain: DrainWatcher, wait: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::select! {
        biased;
        _ = drain.draining() => None,
        waited = wait => waited,
    }
}

/// For each pod on each worker.
const MOST_DNS_STREAMS: usize = 128;

#[cfg(test)]
mod tests;
