//! Changes of protocol.

use mesh_model::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::in_lab;
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
