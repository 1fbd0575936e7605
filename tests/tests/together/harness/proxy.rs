//! The waypoint's half: the data plane's state and threads as `lateen-waypoint` has them, on ports of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mesh_dataplane::subscribe::Subscription;
use mesh_dns::ResolveError;
use mesh_hbone::{HboneOptions, Pool, ReceiveBudget};
use mesh_model::l7::Bind;
use mesh_net::{ListenOptions, listen};
use mesh_runtime::drain::{self, DrainMode, DrainTrigger};
use mesh_runtime::supervise::{Tasks, supervisor};
use mesh_state::l7::{L7Reader, l7};
use mesh_state::{StateReader, mesh};
use mesh_testkit::TestAuthority;
use mesh_testkit::objects::identity;
use mesh_types::{NamespacedName, Strng, WorkloadUid};
use parking_lot::Mutex;
use prometheus::Registry;
use tempfile::TempDir;
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use waypoint::filters::jwt::fetch::{self, network::Outside};
use waypoint::filters::jwt::store::KeySets;
use waypoint::filters::rate_limit::buckets::Buckets;
use waypoint::frontend::Gateway;
use waypoint::listener::of_ports;
use waypoint::settings::Settings;
use waypoint::telemetry::Telemetry;
use waypoint::upstream::names::{Resolve, Resolving};
use waypoint::upstream::{Needs, Registry as Destinations, Upstream};
use waypoint::worker::{self, Command, Listen, Start, WorkerSeed, Workers};

/// A proxy of one gateway.
pub(crate) struct Proxy {
    gateway: NamespacedName,
    ip: IpAddr,
    pub(crate) state: StateReader,
    pub(crate) l7: L7Reader,
    workers: Workers,
    /// What DNS says.
    pub(crate) names: Arc<Names>,
    open: BTreeMap<Strng, Open>,
    registry: Registry,
    telemetry: Telemetry,
    logs: TempDir,
    threads: Vec<JoinHandle<()>>,
    /// Threads end when it is dropped.
    stop: Option<watch::Sender<()>>,
    _synced: watch::Sender<bool>,
}

/// Hosts as a test says.
#[derive(Default)]
pub(crate) struct Names(Mutex<BTreeMap<String, Vec<IpAddr>>>);

impl Names {
    /// A host has these addresses now; none for no host.
    pub(crate) fn set(&self, host: &str, addresses: &[IpAddr]) {
        self.0.lock().insert(host.to_owned(), addresses.to_vec());
    }
}

impl Resolve for Names {
    fn resolve(&self, host: Strng) -> Resolving<'_> {
        let found = self.0.lock().get(host.as_str()).cloned().unwrap_or_default();
        Box::pin(async move {
            match found.is_empty() {
                true => Err(ResolveError::NoAddress(host)),
                false => Ok(found.into()),
            }
        })
    }
}

struct Open {
    bind: Arc<Bind>,
    address: SocketAddr,
    trigger: DrainTrigger,
}

impl Proxy {
    /// A proxy whose ports are at this address, and what writes its state.
    pub(crate) fn start(
        gateway: &str,
        ip: IpAddr,
        authority: &TestAuthority,
        settings: Settings,
        workers: usize,
    ) -> (Self, Subscription) {
        let (writer, state) = mesh(mesh_state::Settings::default());
        let (l7_writer, l7) = l7();
        let (tasks, _failures) = supervisor();
        tasks.stopping();
        let registry = Registry::new();
        let logs = tempfile::tempdir().unwrap();
        let standard_output = logs.path().join("stdout").display().to_string();
        let telemetry = Telemetry::new(&registry, &tasks).with_standard_output(&standard_output);
        let name = NamespacedName::new(super::NAMESPACE, gateway);
        let own = Gateway {
            workload: Some(WorkloadUid::of_pod(
                "Kubernetes",
                super::NAMESPACE,
                &format!("{gateway}-0"),
            )),
            ..Gateway::new(name.clone(), "cluster.local")
        };
        let (synced, watcher) = watch::channel(true);
        let seed = WorkerSeed {
            state: state.clone(),
            l7: l7.clone(),
            certs: authority.clone(),
            identity: identity(super::NAMESPACE, gateway),
            gateway: Arc::new(own),
            hbone: HboneOptions::default(),
            settings: Arc::new(settings),
            telemetry: telemetry.clone(),
            key_sets: KeySets::default(),
            buckets: Buckets::default(),
            synced: watcher,
        };
        let names = Arc::new(Names::default());
        let destinations = Destinations::resolving_by(names.clone());
        let (workers, starts) = Workers::sharing(destinations, workers);
        let (stop, stopping) = watch::channel(());
        let mut threads = Vec::new();
        for start in starts {
            let (seed, tasks) = (seed.clone(), tasks.clone());
            threads.push(thread("data", stopping.clone(), move || work(start, seed, tasks)));
        }
        threads.push(thread("control", stopping, move || control(seed, tasks)));
        let proxy = Self {
            gateway: name,
            ip,
            state,
            l7: l7.clone(),
            workers,
            names,
            open: BTreeMap::new(),
            registry,
            telemetry,
            logs,
            threads,
            stop: Some(stop),
            _synced: synced,
        };
        (proxy, Subscription::of_gateway(writer, l7_writer))
    }

    /// Opens and closes ports, as the gateway's binds are now.
    pub(crate) fn follow_binds(&mut self) {
        let snapshot = self.l7.snapshot();
        let own = snapshot.binds().filter(|bind| bind.gateway == self.gateway);
        let wanted = of_ports(own.cloned());
        let (stay, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(key, open)| wanted.get(key) == Some(&open.bind));
        self.open = stay;
        for open in gone.into_values() {
            // The threads carry it out; what is open may take as long as the test.
            drop(open.trigger.drain(DrainMode::Graceful, Duration::from_secs(60)));
        }
        for (key, bind) in wanted {
            if !self.open.contains_key(&key) {
                let open = self.open(bind);
                self.open.insert(key, open);
            }
        }
    }

    /// Where a port of the gateway is on this machine.
    pub(crate) fn at(&self, port: u16) -> Option<SocketAddr> {
        let mut open = self.open.values();
        open.find(|open| open.bind.port == port).map(|open| open.address)
    }

    /// The access log's lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.telemetry.flush(Duration::from_secs(1));
        let text = std::fs::read_to_string(self.logs.path().join("stdout")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A directory of its own, for logs that go to files.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self.logs.path()
    }

    /// All metrics, as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        let encoder = prometheus::TextEncoder::new();
        encoder.encode_to_string(&self.registry.gather()).unwrap()
    }

    fn open(&self, bind: Arc<Bind>) -> Open {
        let (trigger, watcher) = drain::channel();
        let mut address = SocketAddr::new(self.ip, 0);
        for number in 0..self.workers.count() {
            let listener = listen(&ListenOptions {
                reuse_port: true,
                ..ListenOptions::new(address)
            })
            .unwrap();
            address = listener.local_addr().unwrap();
            let listen = Listen {
                bind: bind.clone(),
                listener,
                drain: watcher.clone(),
            };
            assert!(self.workers.tell(number, Command::Listen(listen)).is_ok());
        }
        Open {
            bind,
            address,
            trigger,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() && !std::thread::panicking() {
                panic!("a thread of the waypoint panicked");
            }
        }
    }
}

/// A thread with a runtime of its own, as `worker::start` makes it, which ends with the test.
fn thread<F: Future<Output = ()>>(
    name: &str,
    mut stop: watch::Receiver<()>,
    body: impl FnOnce() -> F + Send + 'static,
) -> JoinHandle<()> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            tokio::select! {
                () = body() => {}
                _ = stop.changed() => {}
            }
        });
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .unwrap()
}

async fn work(start: Start, seed: WorkerSeed<TestAuthority>, tasks: Tasks) {
    worker::run(start, seed, tasks).await;
}

/// What the control thread does beside following the control plane: sets of keys, and time for metrics.
async fn control(seed: WorkerSeed<TestAuthority>, tasks: Tasks) {
    seed.telemetry.start(&tasks);
    let spawner = tasks.clone();
    let pool = Pool::new(
        seed.certs.clone(),
        Rc::new(seed.hbone.clone()),
        ReceiveBudget::default(),
        move |name, task| drop(spawner.spawn_local(name, task)),
    );
    let upstream = Upstream::new(Needs {
        state: seed.state.clone(),
        l7: seed.l7.clone(),
        tunnels: Rc::new(pool),
        identity: seed.identity.clone(),
        gateway: seed.gateway.clone(),
        settings: seed.settings.clone(),
        registry: Destinations::default(),
        tasks: tasks.clone(),
    });
    let namespace = seed.gateway.name.namespace.clone();
    let network = Outside::new(upstream, seed.state.clone(), namespace, seed.settings.clone());
    fetch::follow(seed.key_sets.clone(), seed.l7.clone(), tasks, Rc::new(network)).await;
}
