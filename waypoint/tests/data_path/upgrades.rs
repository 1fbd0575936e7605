//! Changes of protocol.

use std::cell::RefCell;
use std::rc::Rc;

use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mesh_model::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{get, in_lab, read};
use crate::{head, http, http_rule, rest, route, shop};

const ASK: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const CHANGED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

async fn echo(mut stream: TcpStream) {
    let asked = head(&mut stream).await.unwrap();
    assert!(
        asked.contains("connection: upgrade\r\n") && asked.contains("upgrade: websocket\r\n"),
        "{asked}"
    );
    let _ = stream.write_all(CHANGED).await;
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

#[test]
fn a_websocket_survives_a_thousand_changes_of_routes() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, echo).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ASK.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
        for n in 0..1000 {
            let to = if n % 2 == 0 { "shop" } else { "nobody" };
            lab.serve([route("HTTPRoute", "changing", http(http_rule(to)))]);
            if n % 100 == 0 {
                let mut echo = [0; 4];
                stream.write_all(b"ping").await.unwrap();
                stream.read_exact(&mut echo).await.unwrap();
                assert_eq!(&echo, b"ping");
            }
        }
        stream.write_all(b"still here").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "still here");
        let reports = lab.reports(1).await;
        assert_eq!((reports.len(), reports[0].status), (1, 101));
        assert!(reports[0].flags.is_empty(), "{}", reports[0].flags);
    });
}

#[test]
fn what_comes_before_the_answer_is_for_the_new_protocol() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, echo).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let early = format!("{ASK}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(early.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 101 "));
        stream.shutdown().await.unwrap();
        assert_eq!(
            rest(&mut stream).await,
            "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"
        );
        assert_eq!(lab.reports(1).await.len(), 1);
    });
}

#[test]
fn who_is_refused_goes_on_with_the_next_request() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |mut s| async move {
            while let Some(asked) = head(&mut s).await {
                let answer: &[u8] = match asked.starts_with("GET /ws ") {
                    true => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                    false => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                };
                if s.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let both = format!("{ASK}GET /next HTTP/1.1\r\nhost: a\r\n\r\n");
        stream.write_all(both.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 404 "));
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn a_change_that_nobody_asked_for_is_a_broken_answer() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |mut s| async move {
            while head(&mut s).await.is_some() {
                let _ = s.write_all(CHANGED).await;
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 502 "));
    });
}

/// Changes the protocol of those who ask for it.
async fn either(mut stream: TcpStream) {
    while let Some(asked) = head(&mut stream).await {
        if !asked.contains("upgrade: websocket\r\n") {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            continue;
        }
        assert!(asked.starts_with("GET /ws?x HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("sec-websocket-key: ") && asked.contains("connection: upgrade"),
            "{asked}"
        );
        assert!(!asked.contains("mine"), "a key of HTTP/2 means nothing: {asked}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-accept: x\r\nsec-websocket-protocol: chat\r\n\r\nwelcome ";
        let _ = stream.write_all(answer.as_bytes()).await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
        return;
    }
}

/// A request over HTTP/2.
fn ask() -> Request<Full<bytes::Bytes>> {
    let mut ask = get("http://shop/");
    ask.headers_mut().remove("host");
    ask
}

/// RFC 8441.
fn extended(protocol: &'static str) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = Method::CONNECT;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = "http://shop/ws?x".parse().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-version", "13".parse().unwrap());
    headers.insert("sec-websocket-key", "mine".parse().unwrap());
    headers.insert("sec-websocket-protocol", "chat".parse().unwrap());
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

#[test]
fn websockets_over_http2_share_a_connection_with_requests() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, either).await;
        let mut http = crate::lab::http2(TcpStream::connect(address).await.unwrap()).await;
        // The settings that allow it came with the first answer.
        assert_eq!(read(http.send_request(ask()).await.unwrap()).await.body, "ok");
        let answer = http.send_request(extended("websocket")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!answer.headers().contains_key(name), "{name}");
        }
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        for n in 0..100 {
            lab.serve([route("HTTPRoute", "changing", http_rule_to(n))]);
        }
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 13];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"welcome hello");
        lab.serve([route("HTTPRoute", "changing", http_rule_to(0))]);
        assert_eq!(read(http.send_request(ask()).await.unwrap()).await.body, "ok");
        stream.write_all(b", bye").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, ", bye");
        let reports = lab.reports(3).await;
        let changed = reports.iter().find(|report| report.status == 101).unwrap();
        assert!(changed.flags.is_empty(), "{}", changed.flags);
        assert_eq!((changed.received, changed.sent), (10, 18));
    });
}

/// Servers that speak both versions: a preface, or anything else, says which one it is.
async fn both(stream: TcpStream, versions: Rc<RefCell<Vec<&'static str>>>) {
    let mut first = [0; 4];
    while stream.peek(&mut first).await.unwrap_or(0) < 4 {
        if stream.readable().await.is_err() || stream.peek(&mut first).await.unwrap_or(0) == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    if &first != b"PRI " {
        versions.borrow_mut().push("HTTP/1.1");
        return either(stream).await;
    }
    versions.borrow_mut().push("HTTP/2");
    let answer = service_fn(|_| async {
        let ok = Response::new(Full::new(bytes::Bytes::from_static(b"ok")));
        Ok::<_, std::convert::Infallible>(ok)
    });
    let serve = hyper::server::conn::http2::Builder::new(crate::lab::LocalExecutor)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(stream), answer);
    let _ = serve.await;
}

/// `docs/decisions/websockets.md`: also where the endpoint says that it knows extended CONNECT.
#[test]
fn websockets_have_an_http1_connection_of_their_own_where_requests_go_over_http2() {
    in_lab(|lab| async move {
        let versions: Rc<RefCell<Vec<&str>>> = Rc::default();
        let seen = versions.clone();
        let serve = move |stream| both(stream, seen.clone());
        let address = shop(&lab, AppProtocol::Http2, serve).await;
        let mut http = crate::lab::http2(TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(read(http.send_request(ask()).await.unwrap()).await.body, "ok");
        let answer = http.send_request(extended("websocket")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 13];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"welcome hello");
        assert_eq!(read(http.send_request(ask()).await.unwrap()).await.body, "ok");
        // The same for a client of HTTP/1.1.
        let mut client = TcpStream::connect(address).await.unwrap();
        let upgrade = "GET /ws?x HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                   sec-websocket-key: theirs\r\n\r\n";
        client.write_all(upgrade.as_bytes()).await.unwrap();
        assert!(head(&mut client).await.unwrap().starts_with("HTTP/1.1 101 "));
        let mut echo = [0; 8];
        client.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"welcome ");
        assert_eq!(*versions.borrow(), ["HTTP/2", "HTTP/1.1", "HTTP/1.1"]);
    });
}

#[test]
fn who_speaks_http2_alone_cannot_change_the_protocol() {
    in_lab(|lab| async move {
        // SETTINGS, whatever comes: what a server of HTTP/2 begins with.
        let serve = |mut stream: TcpStream| async move {
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            let mut asked = [0; 1024];
            let _ = stream.read(&mut asked).await;
        };
        let address = shop(&lab, AppProtocol::Http2, serve).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(ASK.as_bytes()).await.unwrap();
        let answer = head(&mut client).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        let report = lab.reports(1).await.pop().unwrap();
        assert_eq!(report.flags.to_string(), "UPE");
    });
}

fn http_rule_to(n: u32) -> mesh_model::l7::route::Rules {
    http(http_rule(if n.is_multiple_of(2) { "shop" } else { "nobody" }))
}

#[test]
fn other_protocols_over_http2_are_refused_and_refusals_are_answers() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, either).await;
        let mut http = crate::lab::http2(TcpStream::connect(address).await.unwrap()).await;
        assert_eq!(read(http.send_request(ask()).await.unwrap()).await.status, 200);
        let refused = http.send_request(extended("connect-udp")).await.unwrap();
        assert_eq!(refused.status(), 501);
        lab.serve([route("HTTPRoute", "gone", http_rule_to(1))]);
        let refused = http.send_request(extended("websocket")).await.unwrap();
        assert_eq!(refused.status(), 500);
    });
}
