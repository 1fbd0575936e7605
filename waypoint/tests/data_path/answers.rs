//! What endpoints answer, and how a client hears of it.

use mesh_model::AppProtocol;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use waypoint::flags::ResponseFlag;

use crate::lab::in_lab;
use crate::{answering, head, rest, shop};

const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn answers_that_end_at_two_places_are_refused() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "200"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
            "502",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok", "502"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            "502",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "502",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "502",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", "502"),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "502",
        ),
        (
            "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
            "502",
        ),
        ("HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n", "502"),
        ("nonsense\r\n\r\n", "502"),
    ] {
        in_lab(|lab| async move {
            let address = shop(&lab, AppProtocol::Http11, move |s| answering(s, answer)).await;
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(LAST).await.unwrap();
            let seen = rest(&mut stream).await;
            assert!(
                seen.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}: {seen}"
            );
            if status == "502" {
                assert!(
                    lab.reports(1).await[0]
                        .flags
                        .has(ResponseFlag::UpstreamProtocolError)
                );
            }
        });
    }
}

#[test]
fn what_comes_behind_an_answer_is_nobodys_answer() {
    in_lab(|lab| async move {
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        let address = shop(&lab, AppProtocol::Http11, move |s| answering(s, answer)).await;
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(LAST).await.unwrap();
            let seen = rest(&mut stream).await;
            assert!(seen.ends_with("\r\n\r\nok"), "{seen}");
        }
    });
}

#[test]
fn answers_without_a_body_have_none() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |mut s| async move {
            while let Some(asked) = head(&mut s).await {
                let answer: &[u8] = match &asked {
                    a if a.starts_with("HEAD") => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                    a if a.contains("/304") => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
                    a if a.contains("/204") => b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
                    _ => b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast",
                };
                if s.write_all(answer).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for asked in ["HEAD /", "GET /304", "GET /204"] {
            let request = format!("{asked} HTTP/1.1\r\nhost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let answer = head(&mut stream).await.unwrap();
            // With 304 hyper leaves it out, as it may (RFC 9110, 8.6).
            assert_eq!(
                answer.contains("content-length: 5"),
                asked == "HEAD /",
                "{answer}"
            );
            assert!(!answer.contains("content-length: 0"), "{answer}");
        }
        stream.write_all(LAST).await.unwrap();
        assert!(rest(&mut stream).await.ends_with("\r\n\r\nlast"));
    });
}

#[test]
fn fields_of_one_hop_stay_there() {
    in_lab(|lab| async move {
        let answer = "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nproxy-authenticate: no\r\ncontent-length: 0\r\n\r\n";
        let (asked, seen) = tokio::sync::oneshot::channel();
        let asked = std::cell::RefCell::new(Some(asked));
        let asked = std::rc::Rc::new(asked);
        let address = shop(&lab, AppProtocol::Http11, move |mut s| {
            let asked = asked.clone();
            async move {
                let head = head(&mut s).await.unwrap();
                let _ = s.write_all(answer.as_bytes()).await;
                if let Some(asked) = asked.borrow_mut().take() {
                    let _ = asked.send(head);
                }
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close, x-secret\r\nx-secret: 1\r\nproxy-connection: 1\r\nte: trailers\r\nx-envoy-internal: true\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let got = rest(&mut stream).await;
        assert!(
            !got.contains("x-hop") && !got.contains("keep-alive") && !got.contains("proxy-"),
            "{got}"
        );
        let asked = seen.await.unwrap();
        for gone in ["x-secret", "proxy-connection", "x-envoy-internal", "close"] {
            assert!(!asked.contains(gone), "{gone}: {asked}");
        }
        assert!(
            asked.contains("te: trailers\r\n") && asked.contains("connection: te\r\n"),
            "{asked}"
        );
    });
}

#[test]
fn a_client_that_waits_is_told_to_go_on_by_the_endpoint() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |mut s| async move {
            while let Some(asked) = head(&mut s).await {
                assert!(asked.contains("expect: 100-continue"), "{asked}");
                if asked.contains("/refused") {
                    let _ = s
                        .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                        .await;
                    return;
                }
                let _ = s.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                let mut body = [0; 4];
                let _ = tokio::io::AsyncReadExt::read_exact(&mut s, &mut body).await;
                assert_eq!(&body, b"body");
                let _ = s.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        })
        .await;
        let ask = |path: &str| {
            format!("POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n")
        };
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ask("/").as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 100 "));
        stream.write_all(b"body").await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
        // Refused, it is never told to send the body.
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(ask("/refused").as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 403 "));
    });
}
