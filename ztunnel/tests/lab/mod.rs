//! Two proxies and more in one process, without namespaces: every pod has an address of 127.0.0.0/8 of its own, on which
//! its three listeners stand. What rules in a pod do is left out: the test says where a captured connection wanted to go.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use mesh_dataplane::record::Traffic;
use mesh_hbone::HboneOptions;
use mesh_net::{ListenOptions, listen, listen_held};
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::supervise::{Tasks, supervisor};
use mesh_state::{Settings as StateSettings, StateReader, StateWriter, Update, mesh};
use mesh_testkit::TestAuthority;
use mesh_testkit::apps::{self, App};
use mesh_testkit::objects::{CLUSTER, NAMESPACE};
use mesh_types::{OrigDst, PortSet, Strng, ports};
use mesh_zds::PodInfo;
use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use ztunnel::connections::Connections;
use ztunnel::dns::Dns;
use ztunnel::gate::{GateKeeper, Place, Silence};
use ztunnel::local::LocalPod;
use ztunnel::worker::{self, PlaintextListener, PodListeners, Settings, StartPod, WorkerSeed};

/// A mesh of one process.
pub(crate) struct Lab {
    net: u8,
    writer: RefCell<StateWriter>,
    state: StateReader,
    pub(crate) authority: TestAuthority,
    tasks: Tasks,
    synced: watch::Sender<bool>,
    sync_patience: Cell<Duration>,
    news_spreads: Cell<Duration>,
    silence: Silenced,
    registry: Registry,
    traffic: Traffic,
    pods: RefCell<HashMap<String, Pod>>,
}

/// Stands in for the kernel's rules: whoever is to be silent is heard all the same here.
#[derive(Clone, Default)]
struct Silenced {
    is_refused: Rc<Cell<bool>>,
}

struct Pod {
    drain: DrainTrigger,
    connections: Connections,
    // The worker lives as long as this.
    _commands: mpsc::UnboundedSender<StartPod>,
}

/// Runs a test in a lab of its own.
pub(crate) fn in_lab<F: Future<Output = ()>>(test: impl FnOnce(Rc<Lab>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let limit = Duration::from_secs(60);
        let lab = Rc::new(Lab::new());
        tokio::time::timeout(limit, test(lab))
            .await
            .expect("the test hangs");
    });
}

impl Lab {
    fn new() -> Self {
        let (writer, state) = mesh(StateSettings::default());
        let (tasks, _failures) = supervisor();
        let registry = Registry::new();
        Self {
            net: NEXT_NET.fetch_add(1, Ordering::Relaxed),
            writer: RefCell::new(writer),
            state,
            authority: TestAuthority::new(),
            tasks,
            synced: watch::Sender::new(true),
            sync_patience: Cell::new(Duration::from_secs(60)),
            news_spreads: Cell::default(),
            silence: Silenced::default(),
            traffic: Traffic::new(&registry),
            registry,
            pods: RefCell::default(),
        }
    }

    /// An address of this lab; each test has a /24 of its own.
    pub(crate) fn address(&self, host: u8) -> String {
        format!("127.{}.{}.{host}", 100 + std::process::id() % 100, self.net)
    }

    pub(crate) fn apply<const N: usize>(&self, updates: [Update; N]) {
        self.writer.borrow_mut().apply(updates.into());
    }

    /// Starts the proxy of a pod, on a worker of its own.
    pub(crate) fn start_proxy(&self, name: &str, host: u8) {
        let ip: IpAddr = self.address(host).parse().unwrap();
        let options = |port| ListenOptions {
            reuse_port: true,
            ..ListenOptions::new(SocketAddr::new(ip, port))
        };
        let listener = |port| listen(&options(port)).unwrap_or_else(|e| panic!("{ip}:{port}: {e}"));
        let (commands, receiver) = mpsc::unbounded_channel();
        let (trigger, watcher) = drain::channel();
        let connections = Connections::default();
        let seed = WorkerSeed {
            state: self.state.clone(),
            certs: self.authority.clone(),
            traffic: self.traffic.clone(),
            hbone: HboneOptions::default(),
            settings: Settings {
                mark: None,
                keepalive: None,
                user_timeout: None,
                original_source: false,
                response_baggage: true,
                original_destination,
                sync_patience: self.sync_patience.get(),
            },
            dns: Dns::new(
                "cluster.local".into(),
                Path::new("/nonexistent"),
                &Registry::new(),
            ),
            synced: self.synced.subscribe(),
        };
        spawn_local(worker::run(seed, self.tasks.clone(), receiver));
        let info = PodInfo {
            name: name.into(),
            namespace: NAMESPACE.into(),
            service_account: name.into(),
        };
        let pod = Arc::new(LocalPod::new(info, CLUSTER, Strng::default()));
        let place = Place {
            pod: pod.clone(),
            addresses: vec![ip],
            state: self.state.clone(),
            synced: self.synced.subscribe(),
            news_spreads: self.news_spreads.get(),
        };
        let keeper = GateKeeper::new(place, self.silence.clone());
        let start = StartPod {
            pod,
            netns: None,
            listeners: PodListeners {
                outbound: listener(ports::OUTBOUND),
                hbone: listener(ports::HBONE),
                plaintext: PlaintextListener::Held(listen_held(&options(ports::INBOUND_PLAINTEXT)).unwrap()),
                dns: Vec::new(),
            },
            gate: keeper.gate(),
            connections: connections.clone(),
            drain: watcher.clone(),
        };
        spawn_local(keeper.keep(watcher));
        assert!(commands.send(start).is_ok());
        let pod = Pod {
            drain: trigger,
            connections,
            _commands: commands,
        };
        self.pods.borrow_mut().insert(name.to_owned(), pod);
    }

    /// Ends the configuration's first completeness, as at start.
    pub(crate) fn not_synced(&self) {
        self.synced.send_replace(false);
    }

    /// From now on the connections of pods that start wait for the configuration so long.
    pub(crate) fn waits_for_sync(&self, patience: Duration) {
        self.sync_patience.set(patience);
    }

    /// From now on pods that start and are STRICT let nobody in in the clear for so long once they are known.
    pub(crate) fn lets_news_spread(&self, long: Duration) {
        self.news_spreads.set(long);
    }

    /// From now on no rule of nftables is taken.
    pub(crate) fn has_no_nftables(&self) {
        self.silence.is_refused.set(true);
    }

    pub(crate) fn sync(&self) {
        self.synced.send_replace(true);
    }

    /// Takes the drain of a pod out.
    pub(crate) fn drain_of(&self, name: &str) -> DrainTrigger {
        self.pods
            .borrow_mut()
            .remove(name)
            .expect("a pod that runs")
            .drain
    }

    /// The pod's open connections, as `/config_dump` shows them.
    pub(crate) fn connections(&self, name: &str) -> serde_json::Value {
        serde_json::to_value(&self.pods.borrow()[name].connections).unwrap()
    }

    /// An application of a pod.
    pub(crate) async fn start_app(&self, app: App, host: u8, port: u16) {
        let address = format!("{}:{port}", self.address(host)).parse().unwrap();
        let (_, serve) = apps::listen(app, address).await;
        spawn_local(serve);
    }

    /// A connection of the pod at `host`, captured by its rules on the way to `to`.
    pub(crate) async fn connect(&self, host: u8, to: &str) -> TcpStream {
        self.through(host, ports::OUTBOUND, host, to).await.unwrap()
    }

    /// A plaintext connection to the pod at `host`, redirected by its rules.
    pub(crate) async fn connect_plaintext(&self, from: u8, host: u8, to: &str) -> TcpStream {
        self.through(from, ports::INBOUND_PLAINTEXT, host, to)
            .await
            .unwrap()
    }

    /// A connection to the port of tunnels of the pod at `host`.
    pub(crate) async fn connect_hbone(&self, from: u8, host: u8) -> TcpStream {
        let to = format!("{}:{}", self.address(host), ports::HBONE);
        self.through(from, ports::HBONE, host, &to).await.unwrap()
    }

    /// As [`connect_plaintext`](Self::connect_plaintext), where nobody may be let in.
    pub(crate) async fn try_plaintext(&self, from: u8, host: u8, to: &str) -> io::Result<TcpStream> {
        self.through(from, ports::INBOUND_PLAINTEXT, host, to).await
    }

    async fn through(&self, from: u8, port: u16, host: u8, to: &str) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::new(self.address(from).parse().unwrap(), 0))
            .unwrap();
        let source = socket.local_addr().unwrap();
        CAPTURED.lock().insert(source, OrigDst::new(to.parse().unwrap()));
        let proxy = format!("{}:{port}", self.address(host));
        socket.connect(proxy.parse().unwrap()).await
    }

    pub(crate) fn metrics(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    /// The sum of a metric's series whose labels contain all of `labels`.
    pub(crate) fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        let text = self.metrics();
        let series = text.lines().filter(|l| l.starts_with(&format!("{family}{{")));
        series
            .filter(|l| labels.iter().all(|label| l.contains(label)))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

impl Silence for Silenced {
    fn keep(&mut self, _: &PortSet) -> io::Result<()> {
        match self.is_refused.get() {
            false => Ok(()),
            true => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn is_in_doubt(&self) -> bool {
        false
    }
}

/// Sends a line and expects it back.
pub(crate) async fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&back), text);
}

/// Expects that the connection is closed without a byte.
pub(crate) async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset and a FIN are both a refusal here.
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(String::from_utf8_lossy(&rest), "");
}

/// Expects a reset, which no client mistakes for a finished stream.
pub(crate) async fn reset(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let error = stream.read_to_end(&mut rest).await.expect_err("a reset");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

/// Stands in for `SO_ORIGINAL_DST`: what the test said when it connected.
fn original_destination(stream: &TcpStream) -> io::Result<OrigDst> {
    let peer = stream.peer_addr()?;
    Ok(CAPTURED.lock()[&peer])
}

static CAPTURED: std::sync::LazyLock<Mutex<HashMap<SocketAddr, OrigDst>>> =
    std::sync::LazyLock::new(Mutex::default);
static NEXT_NET: AtomicU8 = AtomicU8::new(1);
