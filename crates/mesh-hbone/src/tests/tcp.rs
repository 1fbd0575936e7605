//! Two bare proxies over real sockets: application, relay, tunnel, relay, application.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mesh_net::{DialOptions, RelayCounters, TcpChunks, relay};
use mesh_tls::ExpectedPeers;
use mesh_types::{Authority, NextHop, WorkloadUid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use crate::request::{ConnectRequest, ConnectResponse};
use crate::server::serve_tls;
use crate::testing::{Fixed, Mesh, identity, local};
use crate::{HboneOptions, Hop, Pool, ReceiveBudget};

/// A connection of a client application, and what the server application accepted for it.
async fn through_the_mesh() -> (TcpStream, TcpStream) {
    let (mesh, app) = (Mesh::new(), listener().await);
    let target = app.local_addr().unwrap();
    let inbound = inbound(&mesh).await;
    let outbound = outbound(&mesh, inbound, target).await;
    let (client, server) = tokio::join!(TcpStream::connect(outbound), app.accept());
    (client.unwrap(), server.unwrap().0)
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

async fn inbound(mesh: &Mesh) -> SocketAddr {
    let (listener, config) = (listener().await, mesh.certificate("server").server_config());
    let addr = listener.local_addr().unwrap();
    spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (options, budget) = (HboneOptions::default(), ReceiveBudget::default());
        let mut connection = serve_tls(stream, config, &options, &budget).await.unwrap();
        while let Some(Ok(incoming)) = connection.next().await {
            spawn_local(async move {
                let Authority::Ip(target) = incoming.request.authority else {
                    panic!("an address was asked for");
                };
                let app = TcpChunks::new(TcpStream::connect(target).await.unwrap());
                let tunnel = incoming.accept(&ConnectResponse::default()).unwrap();
                relay(tunnel, app, &RelayCounters::default()).await
            });
        }
    });
    addr
}

async fn outbound(mesh: &Mesh, inbound: SocketAddr, target: SocketAddr) -> SocketAddr {
    let (listener, certs) = (listener().await, Fixed::new(mesh.certificate("client")));
    let addr = listener.local_addr().unwrap();
    let hop = Hop {
        next: NextHop::new(inbound),
        netns: None,
        dial: DialOptions::default(),
        source: identity("client"),
        source_ip: addr.ip(),
        expected: ExpectedPeers::one(&identity("server")),
        instance: WorkloadUid::new("server"),
    };
    let spawn = |_, task| drop(spawn_local(task));
    let pool = Pool::new(
        certs,
        Rc::new(HboneOptions::default()),
        ReceiveBudget::default(),
        spawn,
    );
    spawn_local(async move {
        let (app, _) = listener.accept().await.unwrap();
        let request = ConnectRequest::to(Authority::Ip(target));
        let tunnel = pool.tunnel(&hop, &request).await.unwrap();
        relay(TcpChunks::new(app), tunnel, &RelayCounters::default()).await
    });
    addr
}

#[tokio::test]
async fn a_half_closed_connection_still_answers() {
    local(async {
        let (mut client, mut server) = through_the_mesh().await;
        let question = vec![1; 5_000_000];
        let asking = async {
            client.write_all(&question).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answering = async {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            server.write_all(b"heard it all").await.unwrap();
            server.shutdown().await.unwrap();
            heard.len()
        };
        let (answer, heard) = tokio::join!(asking, answering);
        assert_eq!((answer.as_str(), heard), ("heard it all", question.len()));
    })
    .await;
}

#[tokio::test]
async fn a_reset_stays_a_reset_in_both_directions() {
    local(async {
        for client_resets in [true, false] {
            let (client, server) = through_the_mesh().await;
            let (mut resetting, mut other) = if client_resets {
                (client, server)
            } else {
                (server, client)
            };
            resetting.write_all(b"some").await.unwrap();
            let mut some = [0; 4];
            other.read_exact(&mut some).await.unwrap();
            resetting.set_zero_linger().unwrap();
            drop(resetting);
            let error = other.read(&mut some).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    })
    .await;
}

#[tokio::test]
async fn a_refused_dial_says_so() {
    local(async {
        let nobody = listener().await.local_addr().unwrap();
        let mesh = Mesh::new();
        let hop = Hop {
            next: NextHop::new(nobody),
            netns: None,
            dial: DialOptions {
                connect_timeout: Duration::from_secs(5),
                ..DialOptions::default()
            },
            source: identity("client"),
            source_ip: nobody.ip(),
            expected: ExpectedPeers::one(&identity("server")),
            instance: WorkloadUid::new("server"),
        };
        let certs = Fixed::new(mesh.certificate("client"));
        let spawn = |_, task| drop(spawn_local(task));
        let pool = Pool::new(
            certs,
            Rc::new(HboneOptions::default()),
            ReceiveBudget::default(),
            spawn,
        );
        let request = ConnectRequest::to(Authority::Ip(nobody));
        let error = pool.tunnel(&hop, &request).await.err().expect("nobody listens");
        assert!(error.to_string().contains("refused"), "{error}");
    })
    .await;
}
