//! Connections that end while somebody needs them: servers that close whenever they like, and requests that are not lost.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use mesh_model::AppProtocol;
use mesh_model::l7::traffic::{ConnectionLimits, Http2Keepalive};
use mesh_testkit::{pod, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{spawn_local, yield_now};
use waypoint::flags::ResponseFlag;

use super::balance::limited;
use super::lab::{Answer, Lab, get, http1, http2, in_lab, read};

/// What a server of HTTP/1.1 does with a connection after an answer.
#[derive(Clone, Copy, Debug)]
enum After {
    /// Waits for the next request.
    Keep,
    /// Closes it, so many turns of the others later.
    Close(u32),
    /// Reads the next request, and closes instead of an answer.
    Ignore,
}

/// A server whose connections end as a script says; it counts what it carried out.
#[derive(Clone, Default)]
struct Server {
    done: Rc<RefCell<HashMap<String, u32>>>,
    closed: Rc<Cell<u32>>,
}

impl Server {
    async fn start(address: SocketAddr, script: impl FnMut() -> After + 'static) -> Self {
        let server = Self::default();
        let listener = TcpListener::bind(address).await.unwrap();
        let script = Rc::new(RefCell::new(script));
        let own = server.clone();
        spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (own, script) = (own.clone(), script.clone());
                spawn_local(async move { own.serve(stream, move || (*script.borrow_mut())()).await });
            }
        });
        server
    }

    async fn serve(&self, mut stream: TcpStream, mut script: impl FnMut() -> After) {
        let mut after = After::Keep;
        loop {
            if let After::Close(turns) = after {
                for _ in 0..turns {
                    yield_now().await;
                }
                self.closed.set(self.closed.get() + 1);
                return;
            }
            let Some(head) = read_head(&mut stream).await else {
                return;
            };
            if matches!(after, After::Ignore) {
                self.closed.set(self.closed.get() + 1);
                return;
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            *self.done.borrow_mut().entry(path).or_default() += 1;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
            after = script();
        }
    }
}

/// Reads to the end of a head; bodies are empty here.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut seen).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
    String::from_utf8(seen).ok()
}

/// The service `name` with one endpoint at host 1, and the waypoint's port for it.
fn one(lab: &Lab, name: &str, port: u16, protocol: AppProtocol) -> SocketAddr {
    lab.apply([
        service(name)
            .at(&format!("10.97.{}.{}", port / 250, port % 250))
            .port(80, port)
            .speaking(protocol)
            .into(),
        pod(name).at(&lab.ip(1)).serving(name, 80, port).into(),
    ]);
    lab.open_plain(name, 80)
}

fn request(method: Method, path: &str) -> Request<Full<Bytes>> {
    let mut request = get(path);
    *request.method_mut() = method;
    request
}

/// Closes, keeps and ignores in an order that is the same each time.
fn by_chance(seed: u64, ignores: bool) -> impl FnMut() -> After {
    let mut rng = fastrand::Rng::with_seed(seed);
    move || match rng.u32(0..6) {
        0 | 1 => After::Keep,
        2 if ignores => After::Ignore,
        _ => After::Close(rng.u32(0..8)),
    }
}

#[test]
fn what_may_be_repeated_meets_no_connection_that_was_just_closed() {
    in_lab(|lab| async move {
        let address = format!("{}:9000", lab.ip(1)).parse().unwrap();
        let server = Server::start(address, by_chance(7, true)).await;
        let waypoint = one(&lab, "races", 9000, AppProtocol::Http11);
        let mut client = http1(TcpStream::connect(waypoint).await.unwrap()).await;
        let mut rng = fastrand::Rng::with_seed(8);
        for n in 0..500 {
            for _ in 0..rng.u32(0..12) {
                yield_now().await;
            }
            let method = [Method::GET, Method::PUT, Method::DELETE][n % 3].clone();
            let answer = client
                .send_request(request(method, &format!("/{n}")))
                .await
                .unwrap();
            assert_eq!(read(answer).await.status, 200, "request {n}");
        }
        assert!(
            server.closed.get() > 200,
            "{} connections were closed",
            server.closed.get()
        );
    });
}

#[test]
fn what_may_not_be_repeated_is_carried_out_once_at_most() {
    in_lab(|lab| async move {
        let address = format!("{}:9000", lab.ip(1)).parse().unwrap();
        let server = Server::start(address, by_chance(9, false)).await;
        let waypoint = one(&lab, "races", 9000, AppProtocol::Http11);
        let mut client = http1(TcpStream::connect(waypoint).await.unwrap()).await;
        let mut rng = fastrand::Rng::with_seed(10);
        let (mut lost, mut count) = (0, 0);
        for n in 0..500 {
            for _ in 0..rng.u32(0..12) {
                yield_now().await;
            }
            let path = format!("/{n}");
            let answer = client.send_request(request(Method::POST, &path)).await.unwrap();
            let answer = read(answer).await;
            count += 1;
            let done = server.done.borrow().get(&path).copied().unwrap_or_default();
            match answer.status {
                200 => assert_eq!(done, 1, "request {n}"),
                503 => {
                    // It was written, and nobody can say whether it was read.
                    let report = lab.reports(count).await[count - 1].clone();
                    assert!(
                        report.flags.has(ResponseFlag::UpstreamConnectionTermination),
                        "{n}"
                    );
                    assert_eq!(done, 0, "request {n} was carried out");
                    lost += 1;
                }
                other => panic!("request {n}: {other}"),
            }
        }
        let closed = server.closed.get();
        assert!(
            closed > 150 && lost < closed,
            "{lost} lost, {closed} connections were closed"
        );
    });
}

#[test]
fn a_connection_whose_end_is_known_takes_no_request() {
    in_lab(|lab| async move {
        let address = format!("{}:9000", lab.ip(1)).parse().unwrap();
        let server = Server::start(address, || After::Close(0)).await;
        let waypoint = one(&lab, "races", 9000, AppProtocol::Http11);
        let mut client = http1(TcpStream::connect(waypoint).await.unwrap()).await;
        for n in 0..200 {
            let answer = client
                .send_request(request(Method::POST, &format!("/{n}")))
                .await
                .unwrap();
            assert_eq!(read(answer).await.status, 200, "request {n}");
            // Everybody has heard of the end: loopback delivers it at once, and each has had its turn.
            while server.closed.get() <= n {
                yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

/// What a server of HTTP/2 does, frame by frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Two {
    /// Answers each stream.
    Answer,
    /// Answers the first stream; of the next three only the first, and says with GOAWAY that the others are not begun.
    GoAway {
        /// Nor is the connection kept for the answer to that first one: closed at once.
        abruptly: bool,
    },
    /// Answers the first stream, and nothing afterwards, not even PING.
    FallSilent,
    /// Refuses the first stream, and answers the others.
    Refuse,
}

/// A server of HTTP/2 that does as it is told on its first connection, and answers on all others. Gives how many
/// connections came, and how many of those the other end has closed.
async fn two(address: SocketAddr, first: Two) -> (Rc<Cell<u32>>, Rc<Cell<u32>>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let (came, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let counts = (came.clone(), ended.clone());
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let what = if came.get() == 0 { first } else { Two::Answer };
            came.set(came.get() + 1);
            let ended = ended.clone();
            spawn_local(async move {
                if serve_two(stream, what).await.is_none() {
                    ended.set(ended.get() + 1);
                }
            });
        }
    });
    counts
}

/// `None` when the other end has closed the connection.
async fn serve_two(mut stream: TcpStream, what: Two) -> Option<()> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.ok()?;
    stream.write_all(&frame(4, 0, 0, &[])).await.ok()?;
    let mut waiting = Vec::new();
    let mut answered = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.ok()?;
        let (kind, flags) = (head[3], head[4]);
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let silent = what == Two::FallSilent && answered > 0;
        match (kind, flags) {
            _ if silent => {}
            (4, 0) => stream.write_all(&frame(4, 1, 0, &[])).await.ok()?,
            (6, 0) => stream.write_all(&frame(6, 1, 0, &payload)).await.ok()?,
            (0 | 1, flags) if flags & 1 == 1 => waiting.push(id),
            _ => {}
        }
        match what {
            Two::Answer => {}
            Two::Refuse if answered == 0 && !waiting.is_empty() => {
                let id = waiting.remove(0);
                stream
                    .write_all(&frame(3, 0, id, &7_u32.to_be_bytes()))
                    .await
                    .ok()?;
                answered = 1;
            }
            Two::GoAway { abruptly } if answered > 0 => {
                if waiting.len() < 3 {
                    continue;
                }
                let mut last = waiting[0].to_be_bytes().to_vec();
                last.extend(0_u32.to_be_bytes());
                let mut all = frame(7, 0, 0, &last);
                all.extend(answer(waiting[0]));
                stream.write_all(&all).await.ok()?;
                if abruptly {
                    return Some(());
                }
                waiting.clear();
            }
            Two::FallSilent | Two::GoAway { .. } | Two::Refuse => {}
        }
        for id in waiting.drain(..) {
            stream.write_all(&answer(id)).await.ok()?;
            answered += 1;
        }
    }
}

/// `:status: 200` and nothing else.
fn answer(id: u32) -> Vec<u8> {
    frame(1, 5, id, &[0x88])
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    frame
}

fn absolute(method: Method, path: &str) -> Request<Full<Bytes>> {
    let mut request = request(method, &format!("http://shop{path}"));
    request.headers_mut().remove("host");
    request
}

async fn ask_two(waypoint: SocketAddr, method: Method) -> Answer {
    let mut client = http2(TcpStream::connect(waypoint).await.unwrap()).await;
    let answer = client.send_request(absolute(method, "/")).await.unwrap();
    read(answer).await
}

/// One request, then three at once; the status of those.
async fn one_and_three(waypoint: SocketAddr, method: &Method) -> [u16; 3] {
    let mut client = http2(TcpStream::connect(waypoint).await.unwrap()).await;
    let first = client.send_request(absolute(method.clone(), "/")).await.unwrap();
    assert_eq!(read(first).await.status, 200);
    let mut others = [client.clone(), client.clone(), client];
    let [a, b, c] = others
        .each_mut()
        .map(|client| client.send_request(absolute(method.clone(), "/")));
    let (a, b, c) = tokio::join!(a, b, c);
    [a, b, c].map(|answer| answer.unwrap().status().as_u16())
}

#[test]
fn streams_that_were_not_begun_go_on_elsewhere_and_others_end() {
    in_lab(|lab| async move {
        for n in 0..40_u16 {
            let port = 9100 + n;
            let address = format!("{}:{port}", lab.ip(1)).parse().unwrap();
            let (connections, _) = two(address, Two::GoAway { abruptly: false }).await;
            let waypoint = one(&lab, &format!("s{n}"), port, AppProtocol::Http2);
            let method = [Method::GET, Method::POST][usize::from(n % 2)].clone();
            assert_eq!(one_and_three(waypoint, &method).await, [200; 3], "{method}");
            assert_eq!(
                connections.get(),
                2,
                "the one that was answered was not asked again"
            );
        }
    });
}

#[test]
fn a_connection_that_goes_away_at_once_costs_no_request_that_may_be_repeated() {
    in_lab(|lab| async move {
        for n in 0..40_u16 {
            let port = 9100 + n;
            let address = format!("{}:{port}", lab.ip(1)).parse().unwrap();
            two(address, Two::GoAway { abruptly: true }).await;
            let waypoint = one(&lab, &format!("s{n}"), port, AppProtocol::Http2);
            assert_eq!(one_and_three(waypoint, &Method::GET).await, [200; 3]);
        }
    });
}

#[test]
fn a_refused_stream_is_sent_again() {
    in_lab(|lab| async move {
        let address = format!("{}:9100", lab.ip(1)).parse().unwrap();
        two(address, Two::Refuse).await;
        let waypoint = one(&lab, "refusing", 9100, AppProtocol::Http2);
        assert_eq!(ask_two(waypoint, Method::POST).await.status, 200);
        assert_eq!(lab.reports(1).await[0].attempts, 2);
    });
}

#[test]
fn a_dead_peer_is_found_by_pings_and_its_connection_closed() {
    in_lab(|lab| async move {
        let address = format!("{}:9100", lab.ip(1)).parse().unwrap();
        let (connections, ended) = two(address, Two::FallSilent).await;
        lab.serve([limited(ConnectionLimits {
            http2_keepalive: Some(Http2Keepalive {
                interval: Duration::from_millis(40),
                timeout: Duration::from_millis(40),
            }),
            ..ConnectionLimits::default()
        })]);
        let waypoint = one(&lab, "shop", 9100, AppProtocol::Http2);
        assert_eq!(ask_two(waypoint, Method::POST).await.status, 200);
        while ended.get() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(ask_two(waypoint, Method::POST).await.status, 200);
        assert_eq!((connections.get(), lab.reports(2).await[1].attempts), (2, 1));
    });
}
