//! Connections whose bytes nobody reads, and those of which nothing is known.

use std::rc::Rc;

use mesh_model::AppProtocol;
use mesh_model::l7::route::{Destination, Rules, TcpBackend, TcpRule, TlsRule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypoint::flags::ResponseFlag;

use crate::lab::{Lab, in_lab};
use crate::{answering, backend, head, http, http_rule, rest, route, shop, to};

/// Says its name, then sends back what it gets.
async fn named(mut stream: TcpStream, name: &'static str) {
    let _ = stream.write_all(name.as_bytes()).await;
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

async fn three(lab: &Rc<Lab>, protocol: AppProtocol) -> std::net::SocketAddr {
    let address = shop(lab, protocol, |s| named(s, "shop")).await;
    backend(lab, "one", 2, protocol, |s| named(s, "one ")).await;
    backend(lab, "two", 3, protocol, |s| named(s, "two ")).await;
    address
}

async fn who(address: std::net::SocketAddr, first: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(first).await.unwrap();
    let mut name = [0; 4];
    stream.read_exact(&mut name).await.ok()?;
    Some(String::from_utf8(name.to_vec()).unwrap())
}

fn backends(shares: &[(&str, u32)]) -> Vec<TcpBackend> {
    let backend = |(name, weight): &(&str, u32)| TcpBackend {
        weight: *weight,
        destination: match *name {
            "invalid" => Destination::Invalid("there is none".into()),
            name => to(name),
        },
    };
    shares.iter().map(backend).collect()
}

fn tcp(shares: &[(&str, u32)]) -> Rules {
    Rules::Tcp(vec![TcpRule {
        name: None,
        destinations: Vec::new(),
        backends: backends(shares),
    }])
}

#[test]
fn connections_are_shared_by_weight() {
    in_lab(|lab| async move {
        let address = three(&lab, AppProtocol::Tcp).await;
        assert_eq!(who(address, b"").await.as_deref(), Some("shop"));
        lab.serve([route(
            "TCPRoute",
            "split",
            tcp(&[("one", 7), ("two", 3), ("shop", 0)]),
        )]);
        let mut one = 0;
        for _ in 0..100 {
            match who(address, b"").await.as_deref() {
                Some("one ") => one += 1,
                other => assert_eq!(other, Some("two ")),
            }
        }
        assert!((65..=75).contains(&one), "{one} of 100");
        // A share without destination is refused, and nothing is put in its place.
        lab.serve([route("TCPRoute", "split", tcp(&[("invalid", 1)]))]);
        assert_eq!(who(address, b"").await, None);
        let refused = |report: &waypoint::telemetry::Report| report.flags.has(ResponseFlag::NoClusterFound);
        assert!(lab.reports(102).await.iter().any(refused));
    });
}

/// A ClientHello that asks for a server name.
fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let entry = [&[0][..], &sized(name.as_bytes())].concat();
    let extension = [&[0, 0][..], &sized(&sized(&entry))].concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &sized(&[0x13, 0x01]),
        &[1, 0],
        &sized(&extension),
    ]
    .concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

#[test]
fn tls_goes_by_its_server_name() {
    in_lab(|lab| async move {
        let address = three(&lab, AppProtocol::Tls).await;
        let rule = |names: &[&str], to: &str| TlsRule {
            name: None,
            server_names: names.iter().map(|name| (*name).into()).collect(),
            backends: backends(&[(to, 1)]),
        };
        let rules = vec![
            rule(&["one.example"], "one"),
            rule(&["*.example", "two.test"], "two"),
        ];
        lab.serve([route("TLSRoute", "names", Rules::Tls(rules))]);
        for (name, found) in [
            ("one.example", Some("one ")),
            ("ONE.example", Some("one ")),
            ("any.example", Some("two ")),
            ("two.test", Some("two ")),
            ("other.test", None),
            ("example", None),
        ] {
            assert_eq!(who(address, &hello(name)).await.as_deref(), found, "{name}");
        }
        let reports = lab.reports(6).await;
        assert_eq!(reports[0].route.as_deref(), Some("shop.names.0"));
        assert_eq!(
            reports[0].accepted.client.server_name.as_deref(),
            Some("one.example")
        );
        assert!(reports[4].flags.has(ResponseFlag::NoRouteFound));
    });
}

#[test]
fn a_handshake_in_pieces_still_has_its_name() {
    in_lab(|lab| async move {
        let address = three(&lab, AppProtocol::Unknown).await;
        let rules = vec![TlsRule {
            name: None,
            server_names: vec!["one.example".into()],
            backends: backends(&[("one", 1)]),
        }];
        lab.serve([route("TLSRoute", "names", Rules::Tls(rules))]);
        let mut stream = TcpStream::connect(address).await.unwrap();
        for piece in hello("one.example").chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut name = [0; 4];
        stream.read_exact(&mut name).await.unwrap();
        assert_eq!(&name, b"one ");
    });
}

#[test]
fn a_silent_client_that_speaks_http_after_all_is_served_requests() {
    in_lab(|lab| async move {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let address = shop(&lab, AppProtocol::Unknown, move |s| answering(s, ok)).await;
        // The rule is one for requests: whoever is taken for bytes would go past it.
        let rule = http_rule("nobody");
        lab.serve([route("HTTPRoute", "none", http(rule))]);
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Longer than anybody is waited for; the server says nothing either.
        tokio::time::sleep(waypoint::detect::PATIENCE * 3).await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        let reports = lab.reports(1).await;
        assert_eq!((reports.len(), reports[0].status), (1, 500));
    });
}

#[test]
fn a_silent_client_that_speaks_something_else_meets_the_server_that_was_dialled() {
    in_lab(|lab| async move {
        let address = shop(&lab, AppProtocol::Unknown, |mut s| async move {
            let mut asked = [0; 4];
            while s.read_exact(&mut asked).await.is_ok() {
                let _ = s.write_all(b"pong").await;
            }
        })
        .await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        tokio::time::sleep(waypoint::detect::PATIENCE * 3).await;
        stream.write_all(b"\x01ing").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"pong");
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
        let reports = lab.reports(1).await;
        assert_eq!(
            (reports.len(), reports[0].attempts, reports[0].received),
            (1, 1, 4)
        );
    });
}

#[test]
fn two_requests_of_one_connection_may_go_different_ways() {
    in_lab(|lab| async move {
        let first = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
        let second = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo";
        let address = shop(&lab, AppProtocol::Http11, move |s| answering(s, first)).await;
        backend(&lab, "two", 2, AppProtocol::Http11, move |s| answering(s, second)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (to, expected) in [("shop", "one"), ("two", "two"), ("shop", "one")] {
            lab.serve([route("HTTPRoute", "one", http(http_rule(to)))]);
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            head(&mut stream).await.unwrap();
            let mut body = [0; 3];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
        }
    });
}
