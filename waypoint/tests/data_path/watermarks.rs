//! Many clients that take nothing of what they asked for, never end what they ask, or have bytes carried that nobody takes:
//! what is held for them all has a limit.

use http::header;
use mesh_model::AppProtocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use waypoint::settings::Settings;

use crate::lab::{Lab, get, http1, in_lab_where, read};
use crate::{head, shop};

const LIMIT: usize = 4 * 1024 * 1024;

/// An answer without end.
async fn endless(mut stream: TcpStream) {
    let Some(asked) = head(&mut stream).await else {
        return;
    };
    if asked.starts_with("GET /short ") {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            .await;
        return;
    }
    let begin = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
    if stream.write_all(begin).await.is_err() {
        return;
    }
    while stream.write_all(&chunk).await.is_ok() {}
}

fn held(lab: &Lab) -> usize {
    let metrics = lab.metrics();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("lateen_waypoint_buffered_bytes "));
    line.unwrap().parse().unwrap()
}

#[test]
fn what_is_held_for_clients_who_take_nothing_is_bounded() {
    in_lab_where(limited(), |lab| async move {
        let address = shop(&lab, AppProtocol::Http11, endless).await;
        let (mut clients, mut refused) = (Vec::new(), None);
        while refused.is_none() {
            assert!(
                clients.len() < 1000,
                "{} bytes are held for all of them",
                held(&lab)
            );
            let mut client = client(address).await;
            client
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            let answer = head(&mut client).await.unwrap();
            match answer.starts_with("HTTP/1.1 200 ") {
                true => clients.push(client),
                false => refused = Some(answer),
            }
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            assert!(
                held(&lab) <= LIMIT,
                "{} for {} clients",
                held(&lab),
                clients.len()
            );
        }
        let refused = refused.unwrap();
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
        let report = lab.reports(1).await.pop().unwrap();
        assert_eq!(
            (report.details, report.flags.to_string().as_str()),
            ("overload", "UO")
        );
        // Clients of gRPC are told in their words.
        let mut client = http1(TcpStream::connect(address).await.unwrap()).await;
        let mut call = get("/");
        call.headers_mut()
            .insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
        let answer = read(client.send_request(call).await.unwrap()).await;
        assert_eq!(
            (answer.status, &answer.headers["grpc-status"]),
            (200, &"14".parse().unwrap())
        );
        // Those who leave make room for others.
        drop(clients);
        released(&lab).await;
        let answer = read(client.send_request(get("/short")).await.unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    });
}

fn limited() -> Settings {
    Settings {
        buffer_limit: LIMIT,
        ..Settings::default()
    }
}

/// A client that takes hardly anything.
async fn client(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

async fn released(lab: &Lab) {
    while held(lab) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// 50 KiB of a head, and never the rest.
#[test]
fn heads_that_do_not_end_are_counted_and_bounded() {
    in_lab_where(limited(), |lab| async move {
        let address = shop(&lab, AppProtocol::Http11, endless).await;
        let head = format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{}",
            format!("x: {}\r\n", "y".repeat(1000)).repeat(50)
        );
        let (mut clients, mut refused) = (Vec::new(), String::new());
        while refused.is_empty() {
            assert!(
                clients.len() < 200,
                "{} bytes are held for all of them",
                held(&lab)
            );
            let before = held(&lab);
            let mut client = client(address).await;
            client.write_all(head.as_bytes()).await.unwrap();
            // Read as far as it is, or refused.
            while held(&lab) < before + 48 * 1024 {
                let mut answer = [0; 1024];
                match client.try_read(&mut answer) {
                    Ok(n) => {
                        refused = String::from_utf8_lossy(&answer[..n]).into_owned();
                        break;
                    }
                    Err(_) => tokio::task::yield_now().await,
                }
            }
            assert!(
                held(&lab) <= LIMIT,
                "{} for {} clients",
                held(&lab),
                clients.len()
            );
            clients.push(client);
        }
        assert!(clients.len() > 40, "each has its part: {}", clients.len());
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
        let report = lab.reports(1).await.pop().unwrap();
        assert_eq!(
            (report.details, report.flags.to_string().as_str()),
            ("overload", "UO")
        );
        drop(clients);
        released(&lab).await;
        let mut client = http1(TcpStream::connect(address).await.unwrap()).await;
        let answer = read(client.send_request(get("/short")).await.unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    });
}

/// Both ends of a connection that is no HTTP send without end, and neither takes anything.
#[test]
fn bytes_that_are_carried_are_counted_and_bounded() {
    in_lab_where(limited(), |lab| async move {
        let flood = |mut stream: TcpStream| async move {
            let chunk = [b'x'; 0x4000];
            while stream.write_all(&chunk).await.is_ok() {}
        };
        let address = shop(&lab, AppProtocol::Tcp, flood).await;
        let mut clients = Vec::new();
        let refused = loop {
            assert!(
                clients.len() < 300,
                "{} bytes are held for all of them",
                held(&lab)
            );
            let (before, full) = (held(&lab), LIMIT / 20 * 19);
            let client = client(address).await;
            let chunk = [b'y'; 0x4000];
            // Until nothing more goes either way: what waits here does not grow.
            let mut same = 0;
            let mut known = before;
            let ended = loop {
                match client.try_write(&chunk) {
                    Ok(_) => same = 0,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => same += 1,
                    Err(_) => break true,
                }
                if held(&lab) != known {
                    (known, same) = (held(&lab), 0);
                }
                if same > 200 {
                    break false;
                }
                tokio::task::yield_now().await;
            };
            assert!(
                held(&lab) <= LIMIT,
                "{} for {} clients",
                held(&lab),
                clients.len()
            );
            if ended || before >= full {
                break client;
            }
            clients.push(client);
        };
        // Nobody took it: it is reset, and told.
        let mut refused = refused;
        let mut nothing = Vec::new();
        let _ = refused.read_to_end(&mut nothing).await;
        assert_eq!(nothing.len(), 0);
        let report = lab.reports(1).await.pop().unwrap();
        assert_eq!(
            (report.details, report.flags.to_string().as_str()),
            ("overload", "UO")
        );
        assert!(clients.len() > 10, "each has its part: {}", clients.len());
        drop(clients);
        released(&lab).await;
    });
}
