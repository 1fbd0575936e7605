//! Connections to endpoints, and how many requests there may be.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::{Condvar, Mutex};

use super::{answer_all, ok, raw, read_head, rule};
use crate::harness::Together;

/// Holds answers back until it is opened.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(super) fn open(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        let mut open = self.0.0.lock();
        self.0.1.wait_while(&mut open, |open| !*open);
    }
}

/// A server that answers nobody before the gate is open. Gives how many connections came.
fn gated(mesh: &Together) -> (Gate, Arc<AtomicUsize>) {
    let gate = Gate::default();
    let own = gate.clone();
    let came = raw(mesh, "http", move |stream, _| {
        answer_all(&stream, |_| {
            own.pass();
            ok("")
        });
    });
    (gate, came)
}

// row: DestinationRule trafficPolicy.connectionPool.http.http2MaxRequests
#[test]
fn requests_at_once_are_the_gateways_on_all_of_its_threads() {
    let mesh = Together::start(&rule("raw", "connectionPool: {http: {http2MaxRequests: 3}}"));
    let (gate, _) = gated(&mesh);
    let ask = mesh.get("/").to("raw:80");
    let call = mesh
        .post("/echo.Echo/Say", "")
        .to("raw:80")
        .http2()
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let (mut refused, mut passed) = (0, 0);
    mesh.block_on(async {
        let mut all: FuturesUnordered<_> = (0..20).map(|_| ask.sending()).collect();
        while let Some(answer) = all.next().await {
            let answer = answer.unwrap();
            match answer.status {
                200 => passed += 1,
                status => {
                    assert_eq!((status, answer.header("x-envoy-overloaded")), (503, Some("true")));
                    refused += 1;
                }
            }
            if refused == 17 && passed == 0 {
                // A client of gRPC is told in its own words.
                let told = call.sending().await.unwrap();
                assert_eq!((told.status, told.header("grpc-status")), (200, Some("14")));
                gate.open();
            }
        }
    });
    assert_eq!((passed, refused), (3, 17));
    let log = mesh.log(21);
    let with = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert_eq!((with(" 503 UO "), with(" 200 UO ")), (17, 1), "{log:?}");
    assert_eq!(
        mesh.get("/").to("raw:80").send().status,
        200,
        "and then there is place again"
    );
}

// row: DestinationRule trafficPolicy.connectionPool.http.http1MaxPendingRequests
// row: DestinationRule trafficPolicy.connectionPool.tcp.maxConnections
#[test]
fn requests_that_wait_are_counted_beside_those_that_have_a_connection() {
    // Each of two threads may have a connection whatever the limit; one request waits, and no other one.
    let limits = "connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}";
    let mesh = Together::start(&rule("raw", limits));
    let (gate, asked) = (Gate::default(), Arc::new(AtomicUsize::new(0)));
    let (own, count) = (gate.clone(), asked.clone());
    let came = raw(&mesh, "http", move |stream, _| {
        answer_all(&stream, |_| {
            count.fetch_add(1, Ordering::SeqCst);
            own.pass();
            ok("")
        });
    });
    let ask = mesh.get("/").to("raw:80");
    let (mut refused, mut passed) = (0, 0);
    mesh.block_on(async {
        let first = async {
            assert_eq!(ask.sending().await.unwrap().status, 200);
        };
        let others = async {
            // A request waits also while its connection is being made, so the others come once that is over.
            while asked.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let mut all: FuturesUnordered<_> = (0..19).map(|_| ask.sending()).collect();
            while let Some(answer) = all.next().await {
                match answer.unwrap().status {
                    200 => passed += 1,
                    status => {
                        assert_eq!(status, 503);
                        refused += 1;
                    }
                }
                if refused == 17 {
                    gate.open();
                }
            }
        };
        tokio::join!(first, others);
    });
    assert_eq!(passed + refused, 19);
    assert!((17..=18).contains(&refused), "{refused} refused");
    assert!(came.load(Ordering::SeqCst) <= 2, "connections");
}

// row: DestinationRule trafficPolicy.connectionPool.http.maxRequestsPerConnection
// row: DestinationRule trafficPolicy.connectionPool.tcp.maxConnectionDuration
#[test]
fn connections_are_kept_for_so_many_requests_and_so_long() {
    let count = |policy: &str, pause: Duration| {
        let mesh = Together::start("");
        let came = raw(&mesh, "http", |stream, _| answer_all(&stream, |_| ok("")));
        mesh.apply(&rule("raw", policy));
        let kept = mesh.connect("raw:80").http(false);
        for _ in 0..4 {
            assert_eq!(kept.send(mesh.get("/").to("raw:80")).status, 200);
            mesh.block_on(async { tokio::time::sleep(pause).await });
        }
        came.load(Ordering::SeqCst)
    };
    let soon = Duration::ZERO;
    assert_eq!(count("connectionPool: {}", soon), 1);
    assert_eq!(
        count("connectionPool: {http: {maxRequestsPerConnection: 1}}", soon),
        4
    );
    assert_eq!(
        count("connectionPool: {http: {maxRequestsPerConnection: 2}}", soon),
        2
    );
    let lasting = "connectionPool: {tcp: {maxConnectionDuration: 50ms}}";
    assert_eq!(count(lasting, Duration::from_millis(60)), 4);
}

// row: DestinationRule trafficPolicy.connectionPool.http.idleTimeout
#[test]
fn connections_that_nobody_needs_are_closed() {
    let mesh = Together::start("");
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    raw(&mesh, "http", move |stream, _| {
        answer_all(&stream, |_| ok(""));
        count.fetch_add(1, Ordering::SeqCst);
    });
    mesh.apply(&rule("raw", "connectionPool: {http: {idleTimeout: 1s}}"));
    let kept = mesh.connect("raw:80").http(false);
    assert_eq!(kept.send(mesh.get("/").to("raw:80")).status, 200);
    mesh.until("the connection's end", || {
        (ended.load(Ordering::SeqCst) == 1).then_some(())
    });
}

// row: DestinationRule trafficPolicy.connectionPool.http.h2UpgradePolicy
// row: DestinationRule trafficPolicy.connectionPool.http.useClientProtocol
#[test]
fn the_version_is_the_ports_the_rules_or_the_clients() {
    let one = "HTTP/1.1";
    let two = "HTTP/2.0";
    for (http, port, of_one, of_two) in [
        ("{}", 80, one, one),
        ("{}", 81, one, two),
        ("{h2UpgradePolicy: UPGRADE}", 80, two, two),
        ("{h2UpgradePolicy: UPGRADE}", 81, two, two),
        ("{h2UpgradePolicy: DO_NOT_UPGRADE}", 81, one, one),
        ("{useClientProtocol: true}", 80, one, two),
    ] {
        let mesh = Together::shop(&rule("web-v1", &format!("connectionPool: {{http: {http}}}")));
        let to = format!("web-v1:{port}");
        let answer = mesh.get("/").to(&to).send();
        assert_eq!(answer.seen().version, of_one, "{http} {port}");
        let answer = mesh.get("/").to(&to).http2().send();
        assert_eq!(answer.seen().version, of_two, "{http} {port}");
    }
}

// row: DestinationRule trafficPolicy.portLevelSettings
#[test]
fn a_ports_settings_replace_the_rules_as_a_whole() {
    let mesh = Together::shop(&rule(
        "web-v1",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE}}, portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: RANDOM}}]",
    ));
    let version = |to: &str| mesh.get("/").to(to).send().seen().version;
    assert_eq!(version("web-v1:80"), "HTTP/2.0");
    assert_eq!(version("web-v1:81"), "HTTP/1.1", "the default, not the rule's");
}

// row: DestinationRule trafficPolicy.connectionPool.tcp.connectTimeout
#[test]
fn a_connection_that_does_not_come_about_is_given_up() {
    let mesh = Together::start("");
    // It never says anything, so that the handshake does not end.
    raw(&mesh, "http", |mut stream, _| {
        drop(stream.read_to_end(&mut Vec::new()))
    });
    mesh.apply(&rule(
        "raw",
        "connectionPool: {tcp: {connectTimeout: 100ms}}, tls: {mode: SIMPLE, insecureSkipVerify: true}",
    ));
    assert_eq!(mesh.get("/").to("raw:80").send().status, 503);
    assert!(mesh.log(1)[0].contains(" 503 UF"), "{:?}", mesh.log(1));
}

/// Also where the way is a tunnel, and its connection does not come about.
#[test]
fn a_tunnel_that_does_not_come_about_is_given_up() {
    let mesh = Together::shop(&rule("mute", "connectionPool: {tcp: {connectTimeout: 100ms}}"));
    mesh.service("mute", "app: mute");
    let ip = mesh.mute("mute", "app: mute");
    // Its node's proxy never says anything, for so long as nobody would wait.
    let came = super::listen(ip, 15008, |mut stream, _| {
        drop(stream.read_to_end(&mut Vec::new()))
    });
    assert_eq!(mesh.get("/").to("mute:80").send().status, 503);
    let log = mesh.log(1);
    assert!(
        log[0].contains(" 503 UF") && log[0].contains("no_connection_in_time"),
        "{log:?}"
    );
    assert!(came.load(Ordering::SeqCst) > 0);
}

// row: DestinationRule trafficPolicy.connectionPool.tcp.maxConnectionDuration
#[test]
fn a_connection_of_bytes_lasts_as_long_as_it_may() {
    let mesh = Together::shop(&rule(
        "web",
        "connectionPool: {tcp: {maxConnectionDuration: 200ms}}",
    ));
    let mut conn = mesh.connect("web:9000");
    assert!(conn.read_until("\n").starts_with("web-v"));
    assert_eq!(conn.rest(), "");
    let log = mesh.log(1);
    assert!(
        log[0].contains(" DT ") && log[0].contains("inbound-vip|9000|tcp|web.shop.svc.cluster.local"),
        "{log:?}"
    );
}

// row: DestinationRule trafficPolicy.proxyProtocol
#[test]
fn a_connection_begins_with_its_clients_address() {
    for (version, begins) in [
        ("V1", &b"PROXY TCP4 "[..]),
        ("V2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"),
    ] {
        let mesh = Together::start("");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let heads = seen.clone();
        raw(&mesh, "http", move |mut stream, _| {
            let mut first = [0; 14];
            drop(stream.read_exact(&mut first));
            heads.lock().push(first.to_vec());
            // What is left of it has no empty line.
            read_head(&stream);
            drop(stream.write_all(ok("").as_bytes()));
        });
        mesh.apply(&rule("raw", &format!("proxyProtocol: {{version: {version}}}")));
        for _ in 0..2 {
            assert_eq!(mesh.get("/").to("raw:80").send().status, 200);
        }
        let seen = seen.lock();
        assert_eq!(seen.len(), 2, "each request has its own");
        assert!(
            seen.iter().all(|head| head.starts_with(begins)),
            "{version}: {seen:?}"
        );
    }
}

// row: DestinationRule trafficPolicy.connectionPool.http.http2KeepAlive
#[test]
fn http2_connections_are_pinged_also_while_nothing_is_asked_for() {
    let mesh = Together::start("");
    let pings = Arc::new(AtomicUsize::new(0));
    let seen = pings.clone();
    let came = raw(&mesh, "http2", move |stream, number| {
        drop(answer_two(stream, number > 0, &seen))
    });
    mesh.apply(&rule(
        "raw",
        "connectionPool: {http: {http2KeepAlive: {interval: 50ms, timeout: 10s}}}",
    ));
    assert_eq!(mesh.get("/").to("raw:80").send().status, 200);
    mesh.until("pings", || (pings.load(Ordering::SeqCst) >= 3).then_some(()));
    assert_eq!(came.load(Ordering::SeqCst), 1);
    // Who does not answer any more has his connection closed. What comes meanwhile would be a sign of life.
    let mesh = Together::start("");
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    let came = raw(&mesh, "http2", move |stream, number| {
        drop(answer_two(stream, number > 0, &AtomicUsize::new(usize::MAX / 2)));
        count.fetch_add(1, Ordering::SeqCst);
    });
    mesh.apply(&rule(
        "raw",
        "connectionPool: {http: {http2KeepAlive: {interval: 50ms, timeout: 50ms}}}",
    ));
    // So soon that on a busy machine a request may be in the way of it.
    let answered = || mesh.get("/").to("raw:80").send().status == 200;
    mesh.until("an answer", || answered().then_some(()));
    mesh.until("the connection's end", || {
        (ended.load(Ordering::SeqCst) > 0).then_some(())
    });
    mesh.until("an answer", || answered().then_some(()));
    assert!(came.load(Ordering::SeqCst) > 1);
}

/// HTTP/2, frame by frame: answers streams with 200; PING it counts, and answers unless it counts from very high.
fn answer_two(mut stream: TcpStream, always: bool, pings: &AtomicUsize) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        match (head[3], head[4]) {
            (4, 0) => stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0])?,
            (6, 0) => {
                let before = pings.fetch_add(1, Ordering::SeqCst);
                if always || before < usize::MAX / 4 {
                    stream.write_all(&[0, 0, 8, 6, 1, 0, 0, 0, 0])?;
                    stream.write_all(&payload)?;
                }
            }
            (0 | 1, flags) if flags & 1 == 1 => {
                stream.write_all(&[0, 0, 1, 1, 5, head[5], head[6], head[7], head[8], 0x88])?;
            }
            _ => {}
        }
    }
}
