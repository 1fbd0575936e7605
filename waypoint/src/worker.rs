//! One thread of the data plane, and what its connections share.
//!
//! # Layout
//! - this file: the thread, what it is given, what it is told.
//! - [`load`]: how busy each worker is, and which one takes the next stream of a tunnel.

pub mod load;

use std::cell::RefCell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use mesh_dataplane::drain_signal::DrainSignal;
use mesh_hbone::{HboneOptions, Pool, ReceiveBudget};
use mesh_model::l7::Bind;
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::supervise::Tasks;
use mesh_state::l7::{L7Reader, L7Snapshot, L7View};
use mesh_state::{Generation, StateReader};
use mesh_tls::CertSource;
use mesh_types::Identity;
use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, watch};

use crate::body::Memory;
use crate::connection::Accepted;
use crate::filters::jwt::store::KeySets;
use crate::filters::rate_limit::buckets::Buckets;
use crate::frontend::listeners::{self, Meant};
use crate::frontend::{Frontend, Gateway};
use crate::route::Tables;
use crate::settings::Settings;
use crate::standing::Standings;
use crate::stream::{PipeEnd, Stream};
use crate::telemetry::{Reporting, Telemetry};
use crate::upstream::{Needs, Registry, Tunnels, Upstream};
use crate::{listener, proxy};
use load::{Load, Loads};

/// What every worker is given.
#[derive(Clone)]
pub struct WorkerSeed<C> {
    /// The mesh.
    pub state: StateReader,
    /// What is served.
    pub l7: L7Reader,
    /// The certificates.
    pub certs: C,
    /// Who this proxy is at layer 4: whom it presents itself as, at both sides.
    pub identity: Identity,
    /// Who it is at layer 7.
    pub gateway: Arc<Gateway>,
    /// HBONE tunables.
    pub hbone: HboneOptions,
    /// How connections and requests are treated.
    pub settings: Arc<Settings>,
    /// Where requests and connections are reported.
    pub telemetry: Telemetry,
    /// Key sets that are elsewhere.
    pub key_sets: KeySets,
    /// What was counted of requests.
    pub buckets: Buckets,
    /// True once the first configuration is complete; nothing is accepted before.
    pub synced: watch::Receiver<bool>,
}

/// What a worker is told.
#[derive(Debug)]
pub enum Command {
    /// Accept here.
    Listen(Listen),
    /// Serve a stream of a tunnel that another worker accepted.
    Serve(Box<Handed>),
}

/// Where to accept.
#[derive(Debug)]
pub struct Listen {
    /// What is spoken there.
    pub bind: Arc<Bind>,
    /// The socket; each worker has its own.
    pub listener: StdListener,
    /// When to stop.
    pub drain: DrainWatcher,
}

/// A stream that another worker moves the bytes of.
#[derive(Debug)]
pub struct Handed {
    stream: PipeEnd,
    accepted: Accepted,
    load: Load,
    drain: DrainWatcher,
}

/// All workers. When the last clone is dropped, the threads end with everything on them.
#[derive(Clone, Debug)]
pub struct Workers {
    commands: Arc<[mpsc::UnboundedSender<Command>]>,
    loads: Loads,
    /// What they know together of their destinations.
    registry: Registry,
}

/// What a worker's threads are started with.
pub struct Start {
    number: usize,
    commands: mpsc::UnboundedReceiver<Command>,
    workers: Workers,
}

/// What the connections of a worker share.
pub struct Worker {
    /// Which one it is.
    pub number: usize,
    /// The mesh.
    pub state: StateReader,
    /// Who this proxy is at layer 4.
    pub identity: Identity,
    /// Who it is at layer 7.
    pub gateway: Arc<Gateway>,
    /// How connections and requests are treated.
    pub settings: Arc<Settings>,
    /// Where requests and connections are reported.
    pub telemetry: Reporting,
    /// Certificates for those who come.
    pub certificates: Rc<dyn listener::Certificates>,
    /// HBONE tunables.
    pub hbone: Rc<HboneOptions>,
    /// Memory for what peers sent and nobody read yet.
    pub budget: ReceiveBudget,
    /// Connections to endpoints.
    pub upstream: Upstream,
    /// How TLS ends at gateways' listeners.
    pub terminations: listener::Terminations,
    /// What is held of bodies by all workers.
    pub memory: Memory,
    /// Compiled routes.
    pub tables: Tables,
    /// Key sets that are elsewhere.
    pub key_sets: KeySets,
    /// What was counted of requests.
    pub buckets: Buckets,
    /// What must stay allowed while it lasts.
    pub standings: Standings,
    /// Where tasks are started.
    pub tasks: Tasks,
    synced: watch::Receiver<bool>,
    l7: RefCell<L7View>,
    l7_reader: L7Reader,
    workers: Workers,
}

impl Workers {
    /// So many, and what each is started with.
    #[must_use]
    pub fn new(count: usize) -> (Self, Vec<Start>) {
        Self::sharing(Registry::default(), count)
    }

    /// The same with destinations that somebody else knows, too.
    #[must_use]
    pub fn sharing(registry: Registry, count: usize) -> (Self, Vec<Start>) {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let workers = Self {
            commands: senders.into(),
            loads: Loads::new(count),
            registry,
        };
        let starts = receivers.into_iter().enumerate().map(|(number, commands)| Start {
            number,
            commands,
            workers: workers.clone(),
        });
        let starts = starts.collect();
        (workers, starts)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.commands.len()
    }

    /// Tells one worker.
    ///
    /// # Errors
    /// Gives the command back when the thread is gone.
    pub fn tell(&self, number: usize, command: Command) -> Result<(), Command> {
        self.commands[number].send(command).map_err(|e| e.0)
    }
}

/// Starts the thread.
///
/// # Errors
/// Fails when the thread cannot be started.
pub fn start<C>(start: Start, seed: WorkerSeed<C>, tasks: &Tasks) -> io::Result<JoinHandle<()>>
where
    C: CertSource + Send,
{
    let local_tasks = tasks.clone();
    tasks.critical_thread(format!("data-{}", start.number), move || {
        // Not a `LocalSet`: tasks that wake each other there cost one more look at the sockets each time.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())?;
        runtime.block_on(run(start, seed, local_tasks));
        Ok::<_, io::Error>(())
    })
}

/// A worker on the current thread's `LocalRuntime` or, for tests, `LocalSet`.
pub async fn run<C: CertSource>(start: Start, seed: WorkerSeed<C>, tasks: Tasks) {
    let Start {
        number,
        mut commands,
        workers,
    } = start;
    let worker = Rc::new(make(number, workers, seed, tasks));
    worker.telemetry.attach(&worker);
    worker.tasks.spawn_local("telemetry", worker.telemetry.follow());
    worker
        .tasks
        .spawn_local("standing permissions", worker.standings.follow(&worker));
    worker
        .tasks
        .spawn_local("idle connections", worker.upstream.tidy());
    while let Some(command) = commands.recv().await {
        match command {
            Command::Listen(listen) => listener::listen(&worker, listen),
            Command::Serve(handed) => take_over(&worker, *handed),
        }
    }
}

fn make<C: CertSource>(number: usize, workers: Workers, seed: WorkerSeed<C>, tasks: Tasks) -> Worker {
    let hbone = Rc::new(seed.hbone);
    let budget = ReceiveBudget::default();
    let spawner = tasks.clone();
    let pool = Pool::new(
        seed.certs.clone(),
        hbone.clone(),
        budget.clone(),
        move |name, task| drop(spawner.spawn_local(name, task)),
    );
    let tunnels: Rc<dyn Tunnels> = Rc::new(pool);
    let network = seed.gateway.network.clone();
    let memory = Memory::new(seed.telemetry.buffered(), seed.settings.buffer_limit);
    let telemetry = Reporting::new(seed.telemetry, seed.state.clone(), network, tasks.clone());
    Worker {
        number,
        upstream: Upstream::new(Needs {
            state: seed.state.clone(),
            l7: seed.l7.clone(),
            tunnels,
            identity: seed.identity.clone(),
            gateway: seed.gateway.clone(),
            settings: seed.settings.clone(),
            registry: workers.registry.clone(),
            tasks: tasks.clone(),
        }),
        terminations: listener::Terminations::default(),
        memory,
        tables: Tables::default(),
        key_sets: seed.key_sets,
        buckets: seed.buckets,
        standings: Standings::default(),
        l7: RefCell::new(seed.l7.view()),
        l7_reader: seed.l7,
        state: seed.state,
        identity: seed.identity,
        gateway: seed.gateway,
        settings: seed.settings,
        telemetry,
        certificates: Rc::new(listener::Source(seed.certs)),
        synced: seed.synced,
        hbone,
        budget,
        tasks,
        workers,
    }
}

fn take_over(worker: &Rc<Worker>, handed: Handed) {
    let Handed {
        stream,
        accepted,
        load,
        drain,
    } = handed;
    let (signal, follow) = DrainSignal::new(drain);
    worker.tasks.spawn_local("drain of a handed stream", follow);
    let serve = proxy::serve(worker.clone(), Stream::from(stream), accepted, signal.listener());
    let cut = signal.listener();
    worker.tasks.spawn_local("handed stream", async move {
        // Both are held until the stream is over.
        let _held = (load, signal);
        cut.until_cut(serve).await;
    });
}

// === impl Worker ===

impl Worker {
    /// What is served now. Whoever decides several things together holds on to one.
    #[must_use]
    pub fn snapshot(&self) -> Arc<L7Snapshot> {
        self.l7.borrow_mut().snapshot().clone()
    }

    /// Whose a request for this host is, or a connection for this name, that came to a listener.
    pub(crate) fn meant(&self, own: &Frontend, host: &str) -> Meant {
        let snapshot = self.snapshot();
        own.meant(listeners::siblings(&snapshot, own), host)
    }

    pub(crate) fn l7_generation(&self) -> watch::Receiver<Generation> {
        self.l7_reader.generation()
    }

    /// Whether the first configuration is complete.
    #[must_use]
    pub fn synced(&self) -> watch::Receiver<bool> {
        self.synced.clone()
    }

    /// The worker that takes one more stream: this one, unless another is less busy.
    #[must_use]
    pub(crate) fn place(&self) -> Load {
        self.workers.loads.place(self.number)
    }

    /// Hands a stream to the worker of `load`; its bytes keep being moved here, by whoever has the other end of the pipe.
    ///
    /// # Errors
    /// Fails when that worker is gone, which it is only when the process ends.
    pub(crate) fn hand_over(
        &self,
        stream: PipeEnd,
        accepted: Accepted,
        load: Load,
        drain: DrainWatcher,
    ) -> Result<(), Command> {
        let to = load.worker();
        let handed = Handed {
            stream,
            accepted,
            load,
            drain,
        };
        self.workers.tell(to, Command::Serve(Box::new(handed)))
    }
}
