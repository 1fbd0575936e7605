//! Requests and answers that take long: how long they may, and whether they still may.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{raw, read_head, rule};
use crate::harness::{Conn, Together};
use crate::services;

const DENY: &str = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: no-more, namespace: shop}, spec: \
                    {targetRefs: [{group: '', kind: Service, name: raw}], action: DENY, rules: [{from: [{source: {serviceAccounts: \
                    [client]}}]}]}}";
const WHY: &str = "rbac_access_denied_matched_policy[ns[shop]-policy[no-more]-rule[0]]";

/// A server that answers with this head and then says something, slowly, for ever.
fn dribbling(head: &'static str) -> Together {
    let mesh = Together::start("");
    raw(&mesh, "http", move |mut stream, _| {
        read_head(&stream);
        let _ = stream.write_all(head.as_bytes());
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    mesh
}

fn get<'a>(mesh: &'a Together, account: &str) -> Conn<'a> {
    let mut conn = mesh.connect_as(account, "raw:80");
    conn.write("GET /long HTTP/1.1\r\nhost: raw\r\n\r\n");
    let head = conn.read_until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    conn
}

#[test]
fn an_answer_ends_with_its_authorization_whatever_its_length() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n",
        // As long as the connection.
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        let mesh = dribbling(head);
        let (mut mine, mut others) = (get(&mesh, "client"), get(&mesh, "other"));
        for conn in [&mut mine, &mut others] {
            assert_eq!(conn.read(10).len(), 10);
        }
        // A change that denies nothing ends nothing.
        mesh.apply(&DENY.replace("client", "nobody"));
        for conn in [&mut mine, &mut others] {
            assert_eq!(conn.read(10).len(), 10);
        }
        mesh.apply(DENY);
        let rest = mine.rest();
        assert!(rest.len() < 50_000, "{head}: {} bytes", rest.len());
        assert_eq!(others.read(10).len(), 10);
        assert!(mesh.log(1)[0].contains(WHY), "{:?}", mesh.log(1));
    }
}

#[test]
fn an_answer_that_nobody_takes_ends_too() {
    let mesh = Together::start("");
    let ended = Arc::new(AtomicBool::new(false));
    let server = ended.clone();
    raw(&mesh, "http", move |mut stream, _| {
        read_head(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n");
        let much = vec![b'x'; 1 << 16];
        while stream.write_all(&much).is_ok() {}
        server.store(true, Ordering::SeqCst);
    });
    let mine = get(&mesh, "client");
    mesh.apply(DENY);
    mesh.until("the end of the answer", || {
        ended.load(Ordering::SeqCst).then_some(())
    });
    let log = mesh.log(1);
    assert!(log[0].contains(WHY), "{log:?}");
    drop(mine);
}

#[test]
fn an_upload_ends_with_its_authorization_whatever_its_length() {
    for length in [1000, 1_000_000_000] {
        let mesh = Together::start("");
        let came = Arc::new(AtomicBool::new(false));
        let server = came.clone();
        raw(&mesh, "http", move |mut stream, _| {
            read_head(&stream);
            let mut body = [0; 3];
            stream.read_exact(&mut body).unwrap();
            server.store(true, Ordering::SeqCst);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let mut mine = mesh.connect("raw:80");
        mine.write(format!(
            "POST /up HTTP/1.1\r\nhost: raw\r\ncontent-length: {length}\r\n\r\nabc"
        ));
        mesh.until("the beginning of the body", || {
            came.load(Ordering::SeqCst).then_some(())
        });
        mesh.apply(DENY);
        let answer = mine.rest();
        assert!(answer.starts_with("HTTP/1.1 403"), "{length}: {answer}");
        assert!(mesh.log(1)[0].contains(WHY), "{:?}", mesh.log(1));
    }
}

// row: HTTPRoute rules.timeouts.request
#[test]
fn time_runs_while_a_request_waits_for_a_connection() {
    let mesh = Together::start(&rule("raw", "connectionPool: {tcp: {maxConnections: 1}}"));
    raw(&mesh, "http", |stream, _| {
        read_head(&stream);
        thread::sleep(Duration::from_secs(600));
    });
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: raw, namespace: shop}, spec: {parentRefs: \
         [{group: '', kind: Service, name: raw}], rules: [{matches: [{path: {value: /limited}}], timeouts: {request: 1s}, \
         backendRefs: [{name: raw, port: 80}]}, {backendRefs: [{name: raw, port: 80}]}]}}",
    );
    let mut first = mesh.connect("raw:80");
    first.write("GET /hold HTTP/1.1\r\nhost: raw\r\n\r\n");
    // Whichever of them came first to a worker, the other one waits.
    let answer = mesh.post("/limited", "some body").to("raw:80").send();
    assert_eq!(answer.status, 504);
    assert_eq!(mesh.post("/limited", "").to("raw:80").send().status, 504);
    drop(first);
}

#[test]
fn time_stands_while_a_client_sends() {
    let mesh = Together::shop(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: {parentRefs: \
         [{group: '', kind: Service, name: web}], rules: [{timeouts: {request: 3s}, backendRefs: [{name: web-v1, port: 80}]}]}}",
    );
    let mut slow = mesh.connect("web:80");
    slow.write("POST /slow HTTP/1.1\r\nhost: web\r\ncontent-length: 6\r\nconnection: close\r\n\r\nabc");
    // Longer than the request may take once it is there.
    mesh.block_on(async { tokio::time::sleep(Duration::from_millis(3200)).await });
    slow.write("def");
    let answer = slow.rest();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains("\"body\":\"abcdef\"") && answer.ends_with('}'),
        "{answer}"
    );
}

#[test]
fn a_client_of_grpc_waits_no_longer_than_it_wants_to() {
    let mesh = Together::shop("");
    for backend in ["web-v1", "web-v2"] {
        mesh.of(backend).takes(Duration::from_secs(600));
    }
    let end = mesh.grpc("/echo.Echo/Say").header("grpc-timeout", "200m").send();
    assert_eq!((end.code, end.answer.by()), (14, ""));
    let log = mesh.log(1);
    assert!(log[0].contains(" UT "), "{log:?}");
}

// row: HTTPRoute rules.timeouts.request
#[test]
fn a_call_that_is_open_both_ways_is_cut_once_its_client_has_said_all_and_not_before() {
    let mesh = Together::shop("");
    services::lingering(services::place(&mesh, "chat", "grpc"));
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: chat, namespace: shop}, spec: {parentRefs: \
         [{group: '', kind: Service, name: chat}], rules: [{timeouts: {request: 1s}, backendRefs: [{name: chat, port: 80}]}]}}",
    );
    let mut chat = mesh.connect("chat:80").chat("chat", "/chat.Chat/Talk", "one");
    assert_eq!(chat.hears().as_deref(), Some("one"));
    // Longer than a request may take.
    mesh.block_on(async { tokio::time::sleep(Duration::from_millis(1500)).await });
    chat.say("two");
    assert_eq!(chat.hears().as_deref(), Some("two"));
    chat.finish();
    assert_eq!(chat.hears(), None);
    let log = mesh.log(1);
    assert!(
        log[0].contains(" UT ") || log[0].contains("response_timeout"),
        "{log:?}"
    );
}

/// Nobody answers at all: a listener that takes no connections, whose queue is full.
// row: HTTPRoute rules.timeouts.request
#[test]
fn time_runs_while_nobody_answers_the_first_packet() {
    let mesh = Together::shop("");
    let backend = mesh.backend("hole", "app: hole");
    let at = std::net::SocketAddr::new(backend.ip, 7009);
    let options = mesh_net::ListenOptions {
        backlog: 1,
        ..mesh_net::ListenOptions::new(at)
    };
    let _listener = mesh_net::listen(&options).expect("the port is free");
    let waiting: Vec<_> = (0..8)
        .map_while(|_| std::net::TcpStream::connect_timeout(&at, Duration::from_millis(300)).ok())
        .collect();
    assert!(waiting.len() < 8, "the queue is full");
    mesh.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: hole, namespace: shop}, spec: {clusterIP: 10.96.1.9, selector: {app: hole}, \
         ports: [{name: http, port: 80, targetPort: 7009}]}}",
    );
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: hole, namespace: shop}, spec: {parentRefs: \
         [{group: '', kind: Service, name: hole}], rules: [{timeouts: {request: 1s}, backendRefs: [{name: hole, port: 80}]}]}}",
    );
    for ask in [mesh.get("/"), mesh.post("/", "some body")] {
        assert_eq!(ask.to("hole:80").send().status, 504);
    }
    let log = mesh.log(2);
    assert!(log.iter().all(|line| line.contains(" 504 UT ")), "{log:?}");
    // Where no rule says how long, connectTimeout ends it.
    mesh.remove("HTTPRoute", "hole");
    mesh.apply(&rule("hole", "connectionPool: {tcp: {connectTimeout: 500ms}}"));
    assert_eq!(mesh.get("/").to("hole:80").send().status, 503);
    drop(waiting);
}
