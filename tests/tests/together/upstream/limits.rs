//! Limits of connections that nobody sees in an answer: how many retries and streams at once, how long without a byte, and
//! what the system asks of a silent end.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;

use super::pools::Gate;
use super::{answer_all, ok, raw, rule, virtual_service};
use crate::harness::Together;

/// How many of six requests pass and fail, whose first tries fail and whose second ones wait for all of those that are not
/// tried again.
fn tried_again(policy: &str, fail: usize) -> (usize, usize) {
    let mesh = Together::start(&rule("raw", policy));
    let gate = Gate::default();
    let (own, seen) = (gate.clone(), Mutex::new(BTreeSet::new()));
    raw(&mesh, "http", move |stream, _| {
        answer_all(&stream, |head| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if seen.lock().insert(path) {
                return "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned();
            }
            own.pass();
            ok("")
        });
    });
    mesh.apply(&virtual_service(
        "raw",
        "retries: {attempts: 1, retryOn: 5xx, backoff: 1ms}",
    ));
    if fail == 0 {
        gate.open();
    }
    let asks: Vec<_> = (0..6).map(|n| mesh.get(&format!("/{n}")).to("raw:80")).collect();
    let (mut failed, mut passed) = (0, 0);
    mesh.block_on(async {
        let mut all: FuturesUnordered<_> = asks.iter().map(|ask| ask.sending()).collect();
        while let Some(answer) = all.next().await {
            match answer.map(|answer| answer.status) {
                Ok(200) => passed += 1,
                Ok(503) => failed += 1,
                other => panic!("{other:?}"),
            }
            if failed == fail {
                gate.open();
            }
        }
    });
    (passed, failed)
}

// row: DestinationRule trafficPolicy.connectionPool.http.maxRetries
#[test]
fn so_many_requests_are_tried_again_at_once() {
    assert_eq!(tried_again("connectionPool: {http: {maxRetries: 1}}", 5), (1, 5));
    assert_eq!(tried_again("connectionPool: {http: {maxRetries: 4}}", 2), (4, 2));
    // Without a number it is a budget: three, or a fifth of what is under way.
    assert_eq!(tried_again("connectionPool: {}", 3), (3, 3));
}

// row: DestinationRule trafficPolicy.retryBudget
#[test]
fn a_budget_is_a_share_of_what_is_under_way() {
    assert_eq!(
        tried_again("retryBudget: {percent: 0, minRetryConcurrency: 1}", 5),
        (1, 5)
    );
    assert_eq!(
        tried_again(
            "retryBudget: {percent: 100, minRetryConcurrency: 1}, connectionPool: {http: {maxRetries: 1}}",
            0
        ),
        (6, 0),
        "a budget replaces the number"
    );
}

// row: DestinationRule trafficPolicy.connectionPool.http.maxConcurrentStreams
#[test]
fn a_connection_has_so_many_streams_at_once() {
    let mesh = Together::start("");
    let gate = Gate::default();
    let own = gate.clone();
    let came = raw(&mesh, "http2", move |stream, _| drop(hold_streams(stream, &own)));
    mesh.apply(&rule("raw", "connectionPool: {http: {maxConcurrentStreams: 1}}"));
    let ask = mesh.get("/").to("raw:80");
    mesh.block_on(async {
        let mut all: FuturesUnordered<_> = (0..6).map(|_| ask.sending()).collect();
        let opened = async {
            // As many connections as requests, on two threads; without the limit each thread has one.
            while came.load(Ordering::SeqCst) < 6 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            gate.open();
        };
        let answered = async {
            while let Some(answer) = all.next().await {
                assert_eq!(answer.map(|answer| answer.status), Ok(200));
            }
        };
        tokio::join!(opened, answered);
    });
}

/// HTTP/2, frame by frame: each stream is answered with 200 once the gate is open, and nothing is read before.
fn hold_streams(mut stream: TcpStream, gate: &Gate) -> std::io::Result<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface)?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length])?;
        match (head[3], head[4]) {
            (4, 0) => stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0])?,
            (0 | 1, flags) if flags & 1 == 1 => {
                gate.pass();
                stream.write_all(&[0, 0, 1, 1, 5, head[5], head[6], head[7], head[8], 0x88])?;
            }
            _ => {}
        }
    }
}

// row: DestinationRule trafficPolicy.connectionPool.tcp.idleTimeout
#[test]
fn bytes_that_nobody_sends_end_a_connection() {
    let mesh = Together::shop(&rule("web", "connectionPool: {tcp: {idleTimeout: 1s}}"));
    let mut idle = mesh.connect("web:9000");
    assert!(idle.read_until("\n").starts_with("web-v"));
    idle.write("x");
    assert_eq!(idle.read(1), "x");
    // Without it that would take an hour.
    assert_eq!(idle.rest(), "");
}

// row: DestinationRule trafficPolicy.connectionPool.tcp.tcpKeepalive
#[test]
fn the_system_asks_a_silent_end_as_often_as_is_said() {
    for (time, soon) in [("30s", true), ("7000s", false)] {
        let mesh = Together::shop(&rule(
            "web-v1",
            &format!("connectionPool: {{tcp: {{tcpKeepalive: {{time: {time}, interval: 5s, probes: 3}}}}}}"),
        ));
        let mut open = mesh.connect("web-v1:9000");
        assert_eq!(open.read_until("\n"), "web-v1\n");
        let ip = mesh.of("web-v1").ip;
        let left = mesh.until("the timer of the waypoint's connection", || {
            keepalive_of(ip, 9000)
        });
        assert_eq!(left < 60 * TICKS, soon, "{time}: {left} ticks");
    }
}

/// Until the system asks who is at the other end of a connection to this address, in ticks; nothing where it does not.
/// (proc(5), `/proc/net/tcp`: `rem_address` is the third word, `tr:tm->when` the sixth; timer 2 is keepalive.)
fn keepalive_of(ip: std::net::IpAddr, port: u16) -> Option<u64> {
    let std::net::IpAddr::V4(ip) = ip else { return None };
    let remote = format!("{:08X}:{port:04X}", u32::from_ne_bytes(ip.octets()));
    let table = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    let mut rows = table
        .lines()
        .map(|row| row.split_whitespace().collect::<Vec<_>>());
    let timer = rows.find_map(|row| (row.get(2)? == &remote).then_some(row.get(5)?.to_string()))?;
    let (kind, left) = timer.split_once(':')?;
    (kind == "02").then(|| u64::from_str_radix(left, 16).ok())?
}

/// In a second (`USER_HZ`).
const TICKS: u64 = 100;
