//! Two bare proxies on this machine: generator → proxy → HBONE → proxy → echo, each on a thread of its own; beside them
//! the same with plain TCP between the proxies, and without any proxy. What counts is the CPU time of the two proxies.
//!
//! `cargo bench -p mesh-hbone [-- SECONDS [LOAD [PATH]]]`, such as `-- 5 requests hbone`

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mesh_hbone::{ConnectRequest, ConnectResponse, HboneOptions, Hop, Pool, ReceiveBudget, serve_tls};
use mesh_net::{DialOptions, RelayCounters, TcpChunks, relay};
use mesh_tls::{CertSource, CertUnavailable, ExpectedPeers, WorkloadCertificate};
use mesh_types::{Authority, Identity, NextHop, WorkloadUid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

#[expect(dead_code, reason = "the tests use more of it")]
#[expect(
    clippy::unwrap_used,
    reason = "a fixture: it works or the benchmark has no result"
)]
#[path = "../src/testing/ca.rs"]
mod ca;

/// What lies between the generator and the echo.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Direct,
    Plain,
    Hbone,
}

#[derive(Clone, Copy)]
enum Load {
    /// Streams that send as fast as they can.
    Bulk(usize),
    /// Connections on which one byte goes back and forth.
    Requests(usize),
    /// Workers that connect, send one byte, get it back and close.
    Connections(usize),
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Plain => "plain relay",
            Self::Hbone => "hbone",
        }
    }
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Self::Bulk(_) => "bulk",
            Self::Requests(_) => "requests",
            Self::Connections(_) => "connects",
        }
    }

    fn parallel(self) -> usize {
        match self {
            Self::Bulk(n) | Self::Requests(n) | Self::Connections(n) => n,
        }
    }
}

struct Meters {
    units: AtomicU64,
    stop: AtomicBool,
}

#[derive(Clone)]
struct Fixed(Arc<WorkloadCertificate>);

impl CertSource for Fixed {
    async fn get(&self, _: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        Ok(self.0.clone())
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let seconds = args.first().and_then(|a| a.parse().ok()).unwrap_or(3);
    let wanted = |at: usize, name: &str| args.get(at).is_none_or(|a| name.starts_with(a.as_str()));
    let mesh = ca::Mesh::new();
    let (client, server) = (mesh.certificate("client"), mesh.certificate("server"));
    let echo = on_thread("echo", echo);
    let sink = on_thread("sink", sink);
    println!(
        "{:<14} {:<12} {:>14} {:>22}",
        "load", "path", "rate", "CPU of both proxies"
    );
    for load in [
        Load::Bulk(1),
        Load::Bulk(8),
        Load::Requests(1),
        Load::Requests(64),
        Load::Connections(16),
    ] {
        let target = if matches!(load, Load::Bulk(_)) { sink } else { echo };
        for path in [Path::Direct, Path::Plain, Path::Hbone] {
            if !wanted(1, load.name()) || !wanted(2, path.name()) {
                continue;
            }
            let (entry, proxies) = build(path, target, &client, &server);
            measure(load, path, entry, &proxies, seconds);
        }
    }
}

/// The proxies of a path, for as long as the process lives, and the way in.
fn build(
    path: Path,
    target: SocketAddr,
    client: &Arc<WorkloadCertificate>,
    server: &Arc<WorkloadCertificate>,
) -> (SocketAddr, Vec<String>) {
    let id = fastrand::u32(..);
    let (far, near) = (format!("f{id:08x}"), format!("n{id:08x}"));
    let entry = match path {
        Path::Direct => return (target, Vec::new()),
        Path::Plain => {
            let exit = on_thread(&far, move |l| plain(l, target));
            on_thread(&near, move |l| plain(l, exit))
        }
        Path::Hbone => {
            let (client, server) = (client.clone(), server.clone());
            let exit = on_thread(&far, move |l| inbound(l, server));
            on_thread(&near, move |l| outbound(l, exit, target, client))
        }
    };
    (entry, vec![far, near])
}

/// Runs `serve` with a listener on a thread with a runtime of its own.
fn on_thread<F: Future<Output = ()>>(
    name: &str,
    serve: impl FnOnce(TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a listener");
    let addr = listener.local_addr().expect("an address");
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let listening = async { TcpListener::from_std(listener).expect("a listener") };
        let serving = async { serve(listening.await).await };
        LocalSet::new().block_on(&runtime.expect("a runtime"), serving);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .expect("a thread");
    addr
}

async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    stream
}

async fn dial(to: SocketAddr) -> TcpStream {
    mesh_net::dial(None, NextHop::new(to), &DialOptions::default())
        .await
        .expect("a connection")
}

async fn echo(listener: TcpListener) {
    loop {
        let mut stream = accept(&listener).await;
        spawn_local(async move {
            let mut buf = [0; 1024];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..n]).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn sink(listener: TcpListener) {
    loop {
        let mut stream = accept(&listener).await;
        spawn_local(async move {
            let mut buf = vec![0; 256 * 1024];
            while let Ok(1..) = stream.read(&mut buf).await {}
        });
    }
}

async fn plain(listener: TcpListener, to: SocketAddr) {
    loop {
        let down = accept(&listener).await;
        spawn_local(async move {
            let up = dial(to).await;
            relay(
                TcpChunks::new(down),
                TcpChunks::new(up),
                &RelayCounters::default(),
            )
            .await
        });
    }
}

async fn outbound(
    listener: TcpListener,
    exit: SocketAddr,
    target: SocketAddr,
    cert: Arc<WorkloadCertificate>,
) {
    let hop = Hop {
        next: NextHop::new(exit),
        netns: None,
        dial: DialOptions::default(),
        source: ca::identity("client"),
        source_ip: exit.ip(),
        expected: ExpectedPeers::one(&ca::identity("server")),
        instance: WorkloadUid::new("bench"),
    };
    let options = Rc::new(HboneOptions::default());
    let spawn = |_, task| drop(spawn_local(task));
    let pool = Pool::new(Fixed(cert), options, ReceiveBudget::default(), spawn);
    let context = Rc::new((pool, hop, ConnectRequest::to(Authority::Ip(target))));
    loop {
        let down = accept(&listener).await;
        let context = context.clone();
        spawn_local(async move {
            let (pool, hop, request) = &*context;
            match pool.tunnel(hop, request).await {
                Ok(up) => drop(relay(TcpChunks::new(down), up, &RelayCounters::default()).await),
                Err(error) => eprintln!("no tunnel: {error}"),
            }
        });
    }
}

async fn inbound(listener: TcpListener, cert: Arc<WorkloadCertificate>) {
    let budget = ReceiveBudget::default();
    loop {
        let stream = accept(&listener).await;
        let (config, budget) = (cert.server_config(), budget.clone());
        spawn_local(async move {
            let served = serve_tls(stream, config, &HboneOptions::default(), &budget).await;
            let mut connection = served.expect("a handshake");
            while let Some(Ok(incoming)) = connection.next().await {
                let Authority::Ip(target) = incoming.request.authority else {
                    continue;
                };
                spawn_local(async move {
                    let up = TcpChunks::new(dial(target).await);
                    if let Ok(down) = incoming.accept(&ConnectResponse::default()) {
                        relay(down, up, &RelayCounters::default()).await;
                    }
                });
            }
        });
    }
}

fn measure(load: Load, path: Path, entry: SocketAddr, proxies: &[String], seconds: u64) {
    let meters = Arc::new(Meters {
        units: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let generator = {
        let meters = meters.clone();
        thread::spawn(move || generate(load, entry, &meters))
    };
    thread::sleep(Duration::from_millis(500));
    let at = |m: &Meters| (m.units.load(Ordering::Relaxed), cpu_ns(proxies), Instant::now());
    let (units, cpu, begin) = at(&meters);
    thread::sleep(Duration::from_secs(seconds));
    let (units_after, cpu_after, end) = at(&meters);
    meters.stop.store(true, Ordering::Relaxed);
    generator.join().expect("the generator");
    let (units, cpu) = ((units_after - units) as f64, (cpu_after - cpu) as f64);
    report(load, path, units / (end - begin).as_secs_f64(), cpu / units);
}

fn report(load: Load, path: Path, rate: f64, cpu_ns_per_unit: f64) {
    let (rate, cpu) = match load {
        Load::Bulk(_) => (
            format!("{:.2} Gbit/s", rate * 8.0 / 1e9),
            format!("{cpu_ns_per_unit:.2} CPU-s/GB"),
        ),
        Load::Requests(_) | Load::Connections(_) => (
            format!("{:.1} k/s", rate / 1e3),
            format!("{:.1} µs each", cpu_ns_per_unit / 1e3),
        ),
    };
    let name = format!("{} {}", load.name(), load.parallel());
    println!("{name:<14} {:<12} {rate:>14} {cpu:>22}", path.name());
}

/// CPU time of the threads with these names (proc_pid_schedstat: nanoseconds first).
fn cpu_ns(names: &[String]) -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task").expect("procfs").flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if names.iter().any(|n| n == read("comm").trim()) {
            let stat = read("schedstat");
            sum += stat
                .split(' ')
                .next()
                .and_then(|ns| ns.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    sum
}

fn generate(load: Load, entry: SocketAddr, meters: &Meters) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let running = Cell::new(true);
    let until_stopped = async {
        while !meters.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(10)).await;
        }
        running.set(false);
    };
    let work = async {
        let workers = (0..load.parallel()).map(|_| worker(load, entry, meters));
        futures_util::future::join_all(workers).await;
    };
    runtime.expect("a runtime").block_on(async {
        tokio::select! {
            () = until_stopped => {}
            () = work => {}
        }
    });
}

async fn worker(load: Load, entry: SocketAddr, meters: &Meters) {
    let mut stream = dial(entry).await;
    match load {
        Load::Bulk(_) => {
            let data = vec![7; 128 * 1024];
            while let Ok(n) = stream.write(&data).await {
                meters.units.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
        Load::Requests(_) => {
            while round_trip(&mut stream).await {
                meters.units.fetch_add(1, Ordering::Relaxed);
            }
        }
        Load::Connections(_) => {
            while round_trip(&mut stream).await {
                meters.units.fetch_add(1, Ordering::Relaxed);
                stream = dial(entry).await;
            }
        }
    }
}

async fn round_trip(stream: &mut TcpStream) -> bool {
    let mut byte = [1];
    stream.write_all(&byte).await.is_ok() && stream.read_exact(&mut byte).await.is_ok()
}
