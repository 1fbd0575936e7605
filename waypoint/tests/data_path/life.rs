//! How long connections last.

use std::time::Duration;

use mesh_model::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypoint::settings::Settings;
use waypoint::stream::Duplex;

use crate::lab::in_lab_where;
use crate::{answering, head, rest, shop};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const SHORT: Duration = Duration::from_millis(100);

#[test]
fn who_sends_a_head_slowly_is_told_that_it_took_too_long() {
    let settings = Settings {
        header_timeout: SHORT,
        ..Settings::default()
    };
    in_lab_where(settings, |lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |s| answering(s, OK)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Also behind a request that was served.
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nho")
            .await
            .unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert_eq!(lab.reports(2).await[1].details, "request_header_timeout");
    });
}

#[test]
fn a_connection_without_requests_is_closed_and_nothing_is_said() {
    let settings = Settings {
        header_timeout: SHORT,
        idle_timeout: SHORT,
        ..Settings::default()
    };
    in_lab_where(settings, |lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |s| answering(s, OK)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(head(&mut stream).await.unwrap().starts_with("HTTP/1.1 200 "));
        assert_eq!(rest(&mut stream).await, "");
        assert_eq!(lab.reports(1).await.len(), 1);
    });
}

#[test]
fn an_old_tunnel_takes_no_more_streams_and_loses_none() {
    let settings = Settings {
        tunnel_age: SHORT,
        ..Settings::default()
    };
    in_lab_where(settings, |lab| async move {
        shop(&lab, AppProtocol::Tcp, |mut s| async move {
            let (mut read, mut write) = s.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        })
        .await;
        lab.enroll(AppProtocol::Tcp);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let tunnel = lab
            .tunnel(&client, "client", waypoint, "10.96.0.1:80")
            .await
            .unwrap();
        let mut old = tunnel.into_io();
        let mut echo = [0; 4];
        // New streams come on another connection once the first one is old.
        while client.connections() < 2 {
            let tunnel = lab
                .tunnel(&client, "client", waypoint, "10.96.0.1:80")
                .await
                .unwrap();
            let mut io = tunnel.into_io();
            io.write_all(b"ping").await.unwrap();
            io.read_exact(&mut echo).await.unwrap();
        }
        old.write_all(b"pong").await.unwrap();
        old.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"pong");
        old.shutdown().await.unwrap();
        assert_eq!(rest(&mut old).await, "");
    });
}

#[test]
fn a_connection_that_rests_goes_on_where_it_was() {
    let settings = Settings {
        rest_after: Duration::from_millis(1),
        ..Settings::default()
    };
    in_lab_where(settings, |lab| async move {
        let address = shop(&lab, AppProtocol::Http11, |s| answering(s, OK)).await;
        lab.enroll(AppProtocol::Http11);
        let (hbone, client) = (lab.open_hbone(), lab.client("client"));
        let tunnel = lab.tunnel(&client, "client", hbone, "10.96.0.1:80").await;
        let mut tunnel = tunnel.unwrap().into_io();
        let mut stream = TcpStream::connect(address).await.unwrap();
        for pause in [0, 5, 20, 0, 20] {
            for mut io in [&mut stream as &mut dyn Duplex, &mut tunnel] {
                // Heads that come in two parts, and two at once.
                for part in [
                    "GET / HT",
                    "TP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
                ] {
                    io.write_all(part.as_bytes()).await.unwrap();
                    io.flush().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                for _ in 0..2 {
                    assert!(head(&mut io).await.unwrap().starts_with("HTTP/1.1 200 "));
                }
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        // The end is seen by a connection that rests, too.
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
        assert_eq!(lab.reports(20).await.len(), 20);
    });
}
