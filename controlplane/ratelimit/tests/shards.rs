//! Shards and proxies in one process, over real sockets.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use controlplane_ratelimit::clock::Clock;
use controlplane_ratelimit::limits::Board;
use controlplane_ratelimit::log::Log;
use controlplane_ratelimit::metrics::Metrics;
use controlplane_ratelimit::peers::{Connections, Shard};
use controlplane_ratelimit::serve::{FORWARDED, Server};
use controlplane_ratelimit::service::Service;
use controlplane_ratelimit::store::Store;
use controlplane_ratelimit::writer::Writer;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use mesh_extensions::framing;
use mesh_extensions::rate_limit::{Counted, Hit, SHOULD_RATE_LIMIT};
use mesh_hbone::{ConnectRequest, HboneOptions, Hop, Pool, ReceiveBudget};
use mesh_model::l7::Quota;
use mesh_model::l7::quota::{QuotaLimit, QuotaUnit};
use mesh_net::DialOptions;
use mesh_quota::Shards;
use mesh_runtime::drain::{self, DrainTrigger};
use mesh_runtime::supervise::{Failures, Tasks, supervisor};
use mesh_testkit::TestAuthority;
use mesh_testkit::objects::identity;
use mesh_tls::ExpectedPeers;
use mesh_types::{Authority, Identity, NamespacedName, NextHop, WorkloadUid};
use tokio::net::TcpListener;
use tokio::runtime::LocalOptions;

const NOON: u64 = 1_795_262_400;
const PORT: u16 = 8081;

/// What all of a test share.
struct Mesh {
    authority: TestAuthority,
    tasks: Tasks,
    _failures: Failures,
}

/// A shard that runs.
struct Running {
    store: Store,
    board: Board,
    address: SocketAddr,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
    drain: DrainTrigger,
}

/// The runtime as hyper sees it.
#[derive(Clone)]
struct Local(Tasks);

impl<F: Future<Output: 'static> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        self.0.spawn_local("HTTP/2 stream", async move {
            task.await;
        });
    }
}

/// A proxy of a gateway with a connection to a shard.
struct Proxy {
    sender: SendRequest<Full<Bytes>>,
    /// Its connections end with it.
    _pool: Pool<TestAuthority>,
}

fn in_mesh<F: Future<Output = ()>>(test: impl FnOnce(Mesh) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    let (tasks, failures) = supervisor();
    let mesh = Mesh {
        authority: TestAuthority::new(),
        tasks,
        _failures: failures,
    };
    runtime.block_on(test(mesh));
}

fn identity_of_shards() -> Identity {
    identity("istio-system", "lateen-ratelimit")
}

fn quota(domain: &str, requests: u32) -> Quota {
    Quota {
        domain: domain.into(),
        limits: vec![QuotaLimit {
            name: "0".into(),
            keys: vec!["user".into()],
            requests,
            unit: QuotaUnit::Day,
        }],
        callers: [NamespacedName::new("shop", "wp")].into(),
    }
}

impl Mesh {
    fn pool(&self) -> Pool<TestAuthority> {
        let tasks = self.tasks.clone();
        let spawn = move |name, task| drop(tasks.spawn_local(name, task));
        let options = Rc::new(HboneOptions::default());
        Pool::new(self.authority.clone(), options, ReceiveBudget::default(), spawn)
    }

    fn shard(&self, shards: &[Shard], name: &str, listener: TcpListener, dir: &Path) -> Running {
        let clock = Clock::new(|| Duration::from_secs(NOON));
        let metrics = Metrics::new(&prometheus::Registry::new());
        let (log, counters, _) = Log::open(dir, 1000, clock.now()).unwrap();
        let (store, writer) = Writer::new(log, counters, clock.clone(), metrics.clone());
        let thread = std::thread::spawn(move || writer.run());
        let names = Shards::new(shards.iter().map(|shard| shard.name.clone())).unwrap();
        let board = Board::default();
        board.set(&quota("shop", 50));
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let service = Service {
            board: board.clone(),
            store: store.clone(),
            own: names.names().iter().position(|n| n == name).unwrap(),
            shards: names,
            peers: Connections::new(
                shards.to_vec(),
                self.pool(),
                identity_of_shards(),
                local,
                PORT,
                self.tasks.clone(),
            ),
            metrics,
            clock,
        };
        let server = Rc::new(Server {
            service: Rc::new(service),
            certs: self.authority.clone(),
            identity: identity_of_shards(),
            port: PORT,
            tasks: self.tasks.clone(),
            options: HboneOptions::default(),
            budget: ReceiveBudget::default(),
        });
        let (drain, drained) = drain::channel();
        let address = listener.local_addr().unwrap();
        let serve = server.run(listener, drained);
        self.tasks
            .spawn_local("serve", async move { serve.await.unwrap() });
        Running {
            store,
            board,
            address,
            thread,
            drain,
        }
    }

    async fn proxy(&self, of: &Identity, shard: &Running) -> Proxy {
        let hop = Hop {
            next: NextHop::new(shard.address),
            netns: None,
            dial: DialOptions::default(),
            source: of.clone(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            expected: ExpectedPeers::one(&identity_of_shards()),
            instance: WorkloadUid::new("shard"),
        };
        let to = Authority::Ip(SocketAddr::new(shard.address.ip(), PORT));
        let pool = self.pool();
        let tunnel = pool.tunnel(&hop, &ConnectRequest::to(to)).await.unwrap();
        let builder = hyper::client::conn::http2::Builder::new(Local(self.tasks.clone()));
        let (sender, connection) = builder.handshake(TokioIo::new(tunnel.into_io())).await.unwrap();
        self.tasks.spawn_local("client", async move {
            let _ = connection.await;
        });
        Proxy { sender, _pool: pool }
    }
}

impl Running {
    /// As a process that ends; its files stay.
    async fn end(self) {
        self.drain
            .drain(drain::DrainMode::Immediate, Duration::ZERO)
            .await;
        self.store.stop();
        tokio::task::spawn_blocking(move || self.thread.join().unwrap().unwrap())
            .await
            .unwrap();
    }
}

impl Proxy {
    async fn ask(&mut self, domain: &str, user: &str, marked: bool) -> Result<Counted, u32> {
        let entries = [("limit", "0"), ("user", user)];
        let hit = Hit {
            domain: domain.to_owned(),
            descriptors: vec![entries.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec()],
            hits: 0,
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://ratelimit{SHOULD_RATE_LIMIT}"))
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "900m");
        if marked {
            request = request.header(FORWARDED, "1");
        }
        let request = request.body(Full::new(framing::frame(&hit.encode()))).unwrap();
        let answer = self.sender.send_request(request).await.unwrap();
        let early = framing::status(answer.headers());
        let body = answer.into_body().collect().await.unwrap();
        let status = body.trailers().and_then(framing::status).or(early).unwrap();
        match status.code {
            0 => Ok(Counted::decode(&framing::single(&body.to_bytes(), 10_000).unwrap()).unwrap()),
            code => Err(code),
        }
    }

    async fn passes(&mut self, user: &str) -> bool {
        !self.ask("shop", user, false).await.unwrap().over_limit
    }
}

async fn listeners(names: &[&str]) -> (Vec<Shard>, Vec<TcpListener>) {
    let (mut shards, mut listeners) = (Vec::new(), Vec::new());
    for name in names {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        shards.push(Shard {
            name: (*name).to_owned(),
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        });
        listeners.push(listener);
    }
    (shards, listeners)
}

/// A user whose requests a shard counts.
fn user_of(shards: &[Shard], name: &str) -> String {
    let all = Shards::new(shards.iter().map(|shard| shard.name.clone())).unwrap();
    let counted_by = |user: &String| {
        let key = mesh_quota::Key::new("shop", [("limit", "0"), ("user", user.as_str())]);
        all.names()[all.owner(&key)] == name
    };
    (0..).map(|n| format!("user-{n}")).find(counted_by).unwrap()
}

#[test]
fn two_proxies_that_ask_two_shards_share_one_count() {
    in_mesh(|mesh| async move {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (shards, mut sockets) = listeners(&["a", "b"]).await;
        let b = mesh.shard(&shards, "b", sockets.pop().unwrap(), dirs[1].path());
        let a = mesh.shard(&shards, "a", sockets.pop().unwrap(), dirs[0].path());
        let wp = identity("shop", "wp");
        let mut proxies = [mesh.proxy(&wp, &a).await, mesh.proxy(&wp, &b).await];
        for owner in ["a", "b"] {
            let user = user_of(&shards, owner);
            let mut passed = 0;
            for n in 0..120 {
                passed += usize::from(proxies[n % 2].passes(&user).await);
            }
            assert_eq!(passed, 50, "{user} of {owner}");
            let told = proxies[0].ask("shop", &user, false).await.unwrap();
            let status = &told.statuses[0];
            assert_eq!((status.over_limit, status.remaining), (true, 0));
            assert_eq!(status.limit.as_ref().unwrap().requests, 50);
            assert_eq!(status.reset, Some(Duration::from_secs(12 * 3600)));
        }
        assert_eq!((a.store.len(), b.store.len()), (1, 1), "each is counted once");
    });
}

#[test]
fn a_shard_that_is_away_is_told_and_comes_back_with_its_counts() {
    in_mesh(|mesh| async move {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (shards, mut sockets) = listeners(&["a", "b"]).await;
        let b = mesh.shard(&shards, "b", sockets.pop().unwrap(), dirs[1].path());
        let a = mesh.shard(&shards, "a", sockets.pop().unwrap(), dirs[0].path());
        let mut proxy = mesh.proxy(&identity("shop", "wp"), &a).await;
        let (of_a, of_b) = (user_of(&shards, "a"), user_of(&shards, "b"));
        for _ in 0..30 {
            assert!(proxy.passes(&of_b).await);
        }
        let address = b.address;
        b.end().await;
        assert_eq!(
            proxy.ask("shop", &of_b, false).await,
            Err(14),
            "whoever counts it is away"
        );
        assert!(proxy.passes(&of_a).await);
        let socket = TcpListener::bind(address).await.unwrap();
        let b = mesh.shard(&shards, "b", socket, dirs[1].path());
        let mut passed = 0;
        for _ in 0..40 {
            passed += usize::from(proxy.passes(&of_b).await);
        }
        assert_eq!(passed, 20);
        b.end().await;
    });
}

#[test]
fn limits_change_while_it_runs() {
    in_mesh(|mesh| async move {
        let dir = tempfile::tempdir().unwrap();
        let (shards, mut sockets) = listeners(&["a"]).await;
        let a = mesh.shard(&shards, "a", sockets.pop().unwrap(), dir.path());
        let mut proxy = mesh.proxy(&identity("shop", "wp"), &a).await;
        assert_eq!(proxy.ask("bank", "bob", false).await, Err(5), "nobody told of it");
        a.board.set(&quota("shop", 2));
        assert!(proxy.passes("bob").await && proxy.passes("bob").await && !proxy.passes("bob").await);
        a.board.set(&quota("shop", 3));
        assert!(proxy.passes("bob").await && !proxy.passes("bob").await);
        a.board.remove("shop");
        let told = proxy.ask("shop", "bob", false).await.unwrap();
        assert!(!told.over_limit && told.statuses[0].limit.is_none(), "{told:?}");
        a.board.set(&quota("shop", 3));
        assert!(!proxy.passes("bob").await);
        assert_eq!(a.board.lines(), ["shop 0: 3 per Day"]);
    });
}

#[test]
fn only_who_carries_a_policy_out_counts_for_it() {
    in_mesh(|mesh| async move {
        let dir = tempfile::tempdir().unwrap();
        let (shards, mut sockets) = listeners(&["a"]).await;
        let a = mesh.shard(&shards, "a", sockets.pop().unwrap(), dir.path());
        for who in [
            identity("bank", "wp"),
            identity("shop", "web"),
            identity_of_shards(),
        ] {
            let mut proxy = mesh.proxy(&who, &a).await;
            assert_eq!(proxy.ask("shop", "bob", false).await, Err(7), "{who}");
        }
        // The mark of a shard is no shard's certificate.
        let mut proxy = mesh.proxy(&identity("bank", "wp"), &a).await;
        assert_eq!(proxy.ask("shop", "bob", true).await, Err(7));
        let mut shard = mesh.proxy(&identity_of_shards(), &a).await;
        assert!(shard.ask("shop", "bob", true).await.is_ok());
        assert_eq!(a.store.list("bob", 1, mesh_quota::Moment(NOON))[0].used, 1);
    });
}

#[test]
fn shards_are_written_as_name_and_host() {
    let shard = |name: &str, host: &str, port| {
        Ok(Shard {
            name: name.to_owned(),
            host: host.to_owned(),
            port,
        })
    };
    assert_eq!("a=10.0.0.1".parse(), shard("a", "10.0.0.1", 15008));
    assert_eq!("a=fd00::1".parse(), shard("a", "fd00::1", 15008));
    assert_eq!("a=[fd00::1]:99".parse(), shard("a", "fd00::1", 99));
    assert_eq!("a=a.b.svc:99".parse(), shard("a", "a.b.svc", 99));
    for wrong in ["a", "=b", "a=", "a=b:c"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
}
