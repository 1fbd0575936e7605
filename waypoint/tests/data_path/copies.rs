//! Copies of requests.

use std::cell::RefCell;
use std::rc::Rc;

use mesh_model::AppProtocol;
use mesh_model::l7::filter::{Filter, Mirror, Share};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::lab::{Lab, in_lab};
use crate::{answering, backend, head, http, http_rule, rest, route, shop, to};

/// What a backend was asked, head and body together.
#[derive(Clone, Default)]
struct Asked(Rc<RefCell<Vec<String>>>, Rc<Notify>);

impl Asked {
    async fn serve(self, mut stream: TcpStream) {
        while let Some(mut asked) = head(&mut stream).await {
            let mut body = [0; 4];
            if asked.contains("content-length: 4") {
                stream.read_exact(&mut body).await.unwrap();
                asked += std::str::from_utf8(&body).unwrap();
            }
            self.0.borrow_mut().push(asked);
            self.1.notify_one();
            // Its answer is nobody's.
            let _ = stream
                .write_all(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    }

    async fn first(&self) -> String {
        loop {
            if let Some(asked) = self.0.borrow().first() {
                return asked.clone();
            }
            self.1.notified().await;
        }
    }
}

async fn mirrored(lab: &Rc<Lab>, shares: [Share; 2]) -> (std::net::SocketAddr, [Asked; 2]) {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let address = shop(lab, AppProtocol::Http11, move |s| async move {
        // The body is not read by `answering`.
        let mut s = s;
        while let Some(asked) = head(&mut s).await {
            if asked.contains("content-length: 4") {
                s.read_exact(&mut [0; 4]).await.unwrap();
            }
            let _ = s.write_all(ok.as_bytes()).await;
        }
    })
    .await;
    let asked = [Asked::default(), Asked::default()];
    for (n, name) in ["one", "two"].into_iter().enumerate() {
        let asked = asked[n].clone();
        backend(lab, name, 2 + n as u8, AppProtocol::Http11, move |s| {
            asked.clone().serve(s)
        })
        .await;
    }
    let mut rule = http_rule("shop");
    rule.filters = ["one", "two"]
        .iter()
        .zip(shares)
        .map(|(name, share)| {
            Filter::Mirror(Mirror {
                destination: to(name),
                share,
            })
        })
        .collect();
    lab.serve([route("HTTPRoute", "copies", http(rule))]);
    (address, asked)
}

#[test]
fn several_get_a_copy_and_the_client_hears_of_none() {
    in_lab(|lab| async move {
        let (address, asked) = mirrored(&lab, [Share::ALL, Share::ALL]).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"POST /x?y HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
        stream.write_all(request).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"),
            "{answer}"
        );
        for asked in &asked {
            let copy = asked.first().await;
            assert!(
                copy.starts_with("POST /x?y HTTP/1.1\r\n") && copy.ends_with("\r\n\r\nbody"),
                "{copy}"
            );
            assert!(copy.contains("host: a\r\n"), "{copy}");
        }
    });
}

#[test]
fn copies_are_made_of_a_share() {
    in_lab(|lab| async move {
        let half = Share::new(1, 2).unwrap();
        let none = Share::new(0, 1).unwrap();
        let (address, asked) = mirrored(&lab, [half, none]).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        for _ in 0..500 {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
                .unwrap();
            head(&mut stream).await.unwrap();
            stream.read_exact(&mut [0; 2]).await.unwrap();
        }
        lab.reports(500).await;
        // Copies follow by themselves.
        asked[0].first().await;
        while asked[0].0.borrow().len() < 200 {
            asked[0].1.notified().await;
        }
        assert!(asked[0].0.borrow().len() <= 300 && asked[1].0.borrow().is_empty());
    });
}

#[test]
fn a_copy_that_nobody_takes_harms_nobody() {
    in_lab(|lab| async move {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let address = shop(&lab, AppProtocol::Http11, move |s| answering(s, ok)).await;
        let mut rule = http_rule("shop");
        rule.filters = vec![Filter::Mirror(Mirror {
            destination: to("nobody"),
            share: Share::ALL,
        })];
        lab.serve([route("HTTPRoute", "copies", http(rule))]);
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        assert!(rest(&mut stream).await.ends_with("ok"));
    });
}
