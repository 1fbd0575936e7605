//! A waypoint in one process, between clients and endpoints of the test's own: real sockets, real tunnels.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

mod apps;
pub(crate) mod wires;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use mesh_hbone::{ConnectError, ConnectRequest, HboneOptions, Hop, Pool, ReceiveBudget, Tunnel};
use mesh_model::AppProtocol;
use mesh_model::l7::bind::{BindProtocol, Frontend as Served, Serves};
use mesh_model::l7::{Bind, ServicePort};
use mesh_net::{DialOptions, ListenOptions, listen};
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::supervise::{Tasks, supervisor};
use mesh_state::l7::{L7Reader, L7Update, L7Writer, l7};
use mesh_state::{StateReader, StateWriter, Update, mesh};
use mesh_testkit::objects::{hostname, identity};
use mesh_testkit::{TestAuthority, pod, service};
use mesh_tls::ExpectedPeers;
use mesh_types::{NamespacedName, NextHop, WorkloadUid};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use waypoint::filters::jwt::store::KeySets;
use waypoint::filters::rate_limit::buckets::Buckets;
use waypoint::frontend::Gateway;
use waypoint::settings::Settings;
use waypoint::telemetry::{Report, Telemetry};
use waypoint::worker::{self, Command, Listen, WorkerSeed, Workers};

pub(crate) use apps::App;

/// A mesh of one process.
pub(crate) struct Lab {
    net: u8,
    pub(crate) authority: TestAuthority,
    writer: RefCell<StateWriter>,
    l7: RefCell<L7Writer>,
    workers: Workers,
    reports: Arc<Mutex<Vec<Report>>>,
    threads: Arc<Mutex<BTreeSet<String>>>,
    drains: RefCell<Vec<DrainTrigger>>,
    /// Key sets that are elsewhere; a test that wants them has to fetch them.
    pub(crate) key_sets: KeySets,
    registry: Registry,
    pub(crate) l7_reader: L7Reader,
    pub(crate) state: StateReader,
    pub(crate) tasks: Tasks,
    // Nothing is accepted before it is true.
    _synced: watch::Sender<bool>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<http::HeaderMap>,
}

/// Runs a test in a lab of its own, with one worker on the test's thread.
pub(crate) fn in_lab<F: Future<Output = ()>>(test: impl FnOnce(Rc<Lab>) -> F) {
    run(1, false, Settings::default(), test);
}

/// The same with other limits and timers.
pub(crate) fn in_lab_where<F: Future<Output = ()>>(settings: Settings, test: impl FnOnce(Rc<Lab>) -> F) {
    run(1, false, settings, test);
}

/// The same with workers on threads of their own.
pub(crate) fn in_lab_with_threads<F: Future<Output = ()>>(workers: usize, test: impl FnOnce(Rc<Lab>) -> F) {
    run(workers, true, Settings::default(), test);
}

fn run<F: Future<Output = ()>>(
    workers: usize,
    threads: bool,
    settings: Settings,
    test: impl FnOnce(Rc<Lab>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let limit = Duration::from_secs(60);
        let lab = Rc::new(Lab::new(workers, threads, settings));
        tokio::time::timeout(limit, test(lab))
            .await
            .expect("the test hangs");
    });
}

impl Lab {
    fn new(count: usize, threads: bool, settings: Settings) -> Self {
        let (writer, state) = mesh(mesh_state::Settings::default());
        let (l7_writer, l7) = l7();
        let (l7_reader, state_reader) = (l7.clone(), state.clone());
        let (tasks, _failures) = supervisor();
        let authority = TestAuthority::new();
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let log = reports.clone();
        let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let threads_seen = seen.clone();
        let registry = Registry::new();
        let telemetry = Telemetry::new(&registry, &tasks).observed_by(Arc::new(move |report: &Report| {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            threads_seen.lock().insert(thread);
            log.lock().push(report.clone());
        }));
        let key_sets = KeySets::default();
        let (synced, watcher) = watch::channel(true);
        let seed = WorkerSeed {
            state,
            l7,
            certs: authority.clone(),
            identity: identity("shop", "waypoint"),
            gateway: Arc::new(gateway()),
            hbone: HboneOptions::default(),
            settings: Arc::new(settings),
            telemetry,
            key_sets: key_sets.clone(),
            buckets: Buckets::default(),
            synced: watcher,
        };
        let (workers, starts) = Workers::new(count);
        for start in starts {
            match threads {
                true => drop(worker::start(start, seed.clone(), &tasks).unwrap()),
                false => drop(spawn_local(worker::run(start, seed.clone(), tasks.clone()))),
            }
        }
        Self {
            net: NEXT_NET.fetch_add(1, Ordering::Relaxed),
            authority,
            writer: RefCell::new(writer),
            l7: RefCell::new(l7_writer),
            workers,
            reports,
            threads: seen,
            drains: RefCell::default(),
            key_sets,
            registry,
            l7_reader,
            state: state_reader,
            tasks,
            _synced: synced,
        }
    }

    /// An address of this lab; each test has a /24 of its own.
    pub(crate) fn ip(&self, host: u8) -> String {
        format!("127.{}.{}.{host}", 100 + std::process::id() % 100, self.net)
    }

    pub(crate) fn apply<const N: usize>(&self, updates: [Update; N]) {
        self.writer.borrow_mut().apply(updates.into());
    }

    pub(crate) fn serve<const N: usize>(&self, updates: [L7Update; N]) {
        self.l7.borrow_mut().apply(updates.into());
    }

    /// What was told of everything so far, once there are so many reports.
    pub(crate) async fn reports(&self, count: usize) -> Vec<Report> {
        loop {
            let reports = self.reports.lock().clone();
            if reports.len() >= count {
                return reports;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// All metrics, as they are scraped.
    pub(crate) fn metrics(&self) -> String {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap()
    }

    /// The threads that served something.
    pub(crate) fn threads(&self) -> Vec<String> {
        self.threads.lock().iter().cloned().collect()
    }

    /// Opens the waypoint's port for tunnels, at host 100.
    pub(crate) fn open_hbone(&self) -> SocketAddr {
        self.open(BindProtocol::Hbone { serves: Serves::All })
    }

    /// Opens a port that serves one service without tunnels.
    pub(crate) fn open_plain(&self, service: &str, port: u16) -> SocketAddr {
        self.open(BindProtocol::Plain(Served::Service(ServicePort {
            service: hostname("shop", service),
            port,
        })))
    }

    /// Opens a port of any kind.
    pub(crate) fn open(&self, protocol: BindProtocol) -> SocketAddr {
        self.open_several(vec![("mesh", protocol)])
    }

    /// Opens a port with several listeners, by their names.
    pub(crate) fn open_several(&self, listeners: Vec<(&str, BindProtocol)>) -> SocketAddr {
        let (trigger, watcher) = drain::channel();
        let ip: IpAddr = self.ip(100).parse().unwrap();
        let mut address = SocketAddr::new(ip, 0);
        for number in 0..self.workers.count() {
            let listener = listen(&ListenOptions {
                reuse_port: true,
                ..ListenOptions::new(address)
            })
            .unwrap();
            address = listener.local_addr().unwrap();
            let binds = listeners.iter().map(|(name, protocol)| Bind {
                gateway: gateway().name,
                listener: (*name).into(),
                port: address.port(),
                protocol: protocol.clone(),
            });
            let binds: Vec<Arc<Bind>> = binds.map(Arc::new).collect();
            // As in the product, where only what the control plane said is opened; tests of tunnels have no other binds.
            if !matches!(binds[0].protocol, BindProtocol::Hbone { .. }) {
                let updates = binds.iter().cloned().map(L7Update::Bind);
                self.l7.borrow_mut().apply(updates.collect());
            }
            let listen = Listen {
                bind: binds[0].clone(),
                listener,
                drain: watcher.clone(),
            };
            assert!(self.workers.tell(number, Command::Listen(listen)).is_ok());
        }
        self.drains.borrow_mut().push(trigger);
        address
    }

    /// Drains the last port that was opened.
    pub(crate) fn drain(&self, deadline: Duration) -> impl Future<Output = drain::Drained> + use<> {
        let trigger = self.drains.borrow_mut().pop().unwrap();
        trigger.drain(drain::DrainMode::Graceful, deadline)
    }

    /// The service `shop`, which the waypoint is in front of, at 10.96.0.1 and port 80. Its endpoints have port 9000.
    pub(crate) fn enroll(&self, protocol: AppProtocol) {
        self.apply([
            service("waypoint").at("10.96.0.100").port(15008, 15008).into(),
            service("shop")
                .at("10.96.0.1")
                .port(80, 9000)
                .speaking(protocol)
                .behind("waypoint")
                .into(),
        ]);
    }

    /// The same without a waypoint, for ports of its own, and an endpoint at host 1.
    pub(crate) fn sell(&self, protocol: AppProtocol) {
        let ip = self.ip(1);
        self.apply([
            service("shop")
                .at("10.96.0.1")
                .port(80, 9000)
                .speaking(protocol)
                .into(),
            pod("shop").at(&ip).serving("shop", 80, 9000).into(),
        ]);
    }

    /// A client's tunnel to `shop` through a port of its own. The connection lasts as long as what comes with it.
    pub(crate) async fn to_shop(&self) -> (Pool<TestAuthority>, Tunnel) {
        let (waypoint, client) = (self.open_hbone(), self.client("client"));
        let tunnel = self.tunnel(&client, "client", waypoint, "10.96.0.1:80").await;
        (client, tunnel.unwrap())
    }

    /// Starts an application.
    pub(crate) async fn app(&self, app: App, name: &'static str, host: u8, port: u16) {
        apps::start(app, name, format!("{}:{port}", self.ip(host)).parse().unwrap()).await;
    }

    /// Starts the node's proxy of an enrolled pod: tunnels to it end here.
    pub(crate) async fn node(&self, account: &str, host: u8) {
        let certificate = self.authority.certificate(&identity("shop", account));
        apps::terminate_tunnels(certificate, self.ip(host).parse().unwrap()).await;
    }

    /// A client workload with its own connection to the waypoint.
    pub(crate) fn client(&self, account: &str) -> Pool<TestAuthority> {
        let _ = account;
        Pool::new(
            self.authority.clone(),
            Rc::new(HboneOptions::default()),
            ReceiveBudget::default(),
            |_, task| drop(spawn_local(task)),
        )
    }

    /// A tunnel of a client to a target behind the waypoint.
    pub(crate) async fn tunnel(
        &self,
        pool: &Pool<TestAuthority>,
        account: &str,
        waypoint: SocketAddr,
        target: &str,
    ) -> Result<Tunnel, ConnectError> {
        let hop = Hop {
            next: NextHop::new(waypoint),
            netns: None,
            dial: DialOptions::default(),
            source: identity("shop", account),
            source_ip: IpAddr::from([127, 0, 0, 1]),
            expected: ExpectedPeers::one(&identity("shop", "waypoint")),
            instance: WorkloadUid::new("waypoint"),
        };
        let request = ConnectRequest::to(target.parse().unwrap());
        pool.tunnel(&hop, &request).await
    }
}

pub(crate) fn gateway() -> Gateway {
    Gateway {
        workload: Some(WorkloadUid::of_pod("Kubernetes", "shop", "waypoint")),
        ..Gateway::new(NamespacedName::new("shop", "waypoint"), "cluster.local")
    }
}

/// A client of HTTP/1.1 over any stream.
pub(crate) async fn http1(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> http1::SendRequest<Full<Bytes>> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    spawn_local(async move { drop(connection.await) });
    sender
}

/// A client of HTTP/2 over any stream.
pub(crate) async fn http2(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> http2::SendRequest<Full<Bytes>> {
    let (sender, connection) = http2::handshake(LocalExecutor, TokioIo::new(io)).await.unwrap();
    spawn_local(async move { drop(connection.await) });
    sender
}

#[derive(Clone)]
pub(crate) struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        spawn_local(async move { drop(task.await) });
    }
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_bytes().to_vec()).unwrap(),
        trailers,
    }
}

/// A GET.
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "shop")
        .body(Full::default())
        .unwrap()
}

/// A POST.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "shop")
        .body(Full::new(body.into()))
        .unwrap()
}

static NEXT_NET: AtomicU8 = AtomicU8::new(0);
