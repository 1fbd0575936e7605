//! How connections end, and what their futures and idle states cost.

use std::mem::{size_of, size_of_val};
use std::rc::Rc;
use std::time::Duration;

use mesh_net::StreamError;
use mesh_tls::ExpectedPeers;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::client::{ClientDriver, establish};
use crate::closed::ConnectionEnd;
use crate::error::ConnectError;
use crate::server::{IncomingTunnel, ServeError, ServerConnection, serve_tls};
use crate::testing::{
    Control, Ends, Mesh, Pair, Running, finish, handshakes, identity, local, pipe, receive, receive_all,
    receive_exactly, request, send,
};
use crate::tunnel::Tunnel;
use crate::{HboneOptions, ReceiveBudget};

#[tokio::test(start_paused = true)]
async fn a_draining_server_finishes_its_streams_and_takes_no_more() {
    local(async {
        let (client, driver, server) = Pair::new().await.run();
        let (mut near, mut far) = server.tunnel_from(&client).await;
        server.control.send(Control::Drain).unwrap();
        sleep(Duration::from_secs(1)).await;
        let refused = client.tunnel(&request()).await;
        assert!(matches!(
            refused.err(),
            Some(ConnectError::Lost(ConnectionEnd::PeerGone))
        ));
        send(&mut near, "last words").await.unwrap();
        finish(&mut near).await.unwrap();
        assert_eq!(receive_all(&mut far).await, b"last words");
        finish(&mut far).await.unwrap();
        assert!(receive_all(&mut near).await.is_empty());
        drop((near, far));
        assert!(server.task.await.unwrap().is_empty());
        assert!(matches!(
            driver.await.unwrap(),
            ConnectionEnd::Finished | ConnectionEnd::PeerGone
        ));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_streams_when_the_certificate_of_an_end_expires() {
    local(async {
        let mesh = Mesh::new();
        let expected = ExpectedPeers::one(&identity("server"));
        let (brief, long) = (Duration::from_secs(600), Duration::from_secs(3600));
        // The client's or the server's certificate is the first to expire; at either end it is known how long both last.
        for (client, server) in [(brief, long), (long, brief)] {
            let certificates = (
                mesh.certificate_for("client", client),
                mesh.certificate_for("server", server),
            );
            let ends = handshakes(&certificates.0, &expected, &certificates.1, Ends::default()).await;
            let ((connection, mut driver), mut serving) = (ends.0.unwrap(), ends.1.unwrap());
            driver.expire_with(&certificates.0);
            serving.expire_with(&certificates.1);
            let (driver, serving) = (spawn_local(driver), Running::new(serving));
            let (mut near, mut far) = serving.tunnel_from(&connection).await;
            sleep(Duration::from_secs(590)).await;
            send(&mut near, "still open").await.unwrap();
            assert_eq!(receive_exactly(&mut far, 10).await, b"still open");
            let before = Instant::now();
            let ends = [receive(&mut far).await, receive(&mut near).await];
            // Whoever is first; to the other its peer has gone.
            assert!(ends.contains(&Err(StreamError::Expired)), "{ends:?}");
            assert!(ends.iter().all(Result::is_err), "{ends:?}");
            assert!(
                before.elapsed() < Duration::from_secs(12),
                "{:?}",
                before.elapsed()
            );
            let (errors, end) = (serving.task.await.unwrap(), driver.await.unwrap());
            let expired = |end: &ConnectionEnd| matches!(end, ConnectionEnd::Expired(_));
            let at_the_server = matches!(&errors[..], [ServeError::Ended(end)] if expired(end));
            assert!(at_the_server || expired(&end), "{errors:?} {end:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lets_go_ends_the_connection_after_its_last_stream() {
    local(async {
        let (client, driver, server) = Pair::new().await.run();
        let (mut near, mut far) = server.tunnel_from(&client).await;
        drop(client);
        send(&mut near, "still open").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 10).await, b"still open");
        drop((near, far));
        assert_eq!(driver.await.unwrap(), ConnectionEnd::Finished);
        let errors = server.task.await.unwrap();
        assert!(errors.is_empty(), "{errors:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_carries_a_connection() {
    local(async {
        let mesh = Mesh::new();
        let (near, far, _outer) = Pair::tunnel().await;
        let (options, budget) = (Rc::new(HboneOptions::default()), ReceiveBudget::default());
        let expected = ExpectedPeers::one(&identity("inner-server"));
        let client = mesh.certificate("inner-client").client_config(&expected);
        let server = mesh.certificate("inner-server").server_config();
        let (client, server) = tokio::join!(
            establish(near.into_io(), client, &options, &budget),
            serve_tls(far.into_io(), server, &options, &budget)
        );
        let ((client, driver), server) = (client.unwrap(), Running::new(server.unwrap()));
        spawn_local(driver);
        let (mut near, mut far) = server.tunnel_from(&client).await;
        assert_eq!(near.peer(), Some(&identity("inner-server")));
        let bulk = vec![42; 3_000_000];
        let (sent, received) = tokio::join!(
            async {
                send(&mut near, bulk).await.unwrap();
                finish(&mut near).await
            },
            receive_all(&mut far)
        );
        sent.unwrap();
        assert_eq!(received.len(), 3_000_000);
    })
    .await;
}

/// Each connection and each stream holds these while it lives.
#[tokio::test]
async fn futures_stay_small() {
    let mesh = Mesh::new();
    let (near, far) = pipe();
    let (options, budget) = (Rc::new(HboneOptions::default()), ReceiveBudget::default());
    let config = mesh
        .certificate("client")
        .client_config(&ExpectedPeers::one(&identity("server")));
    let establish = establish(near, config, &options, &budget);
    let serve = serve_tls(far, mesh.certificate("server").server_config(), &options, &budget);
    let sizes = [
        ("establish", size_of_val(&establish), 1536),
        ("serve_tls", size_of_val(&serve), 2304),
        ("ClientDriver", size_of::<ClientDriver>(), 1792),
        ("ServerConnection", size_of::<ServerConnection>(), 1792),
        ("IncomingTunnel", size_of::<IncomingTunnel>(), 512),
        ("Tunnel", size_of::<Tunnel>(), 256),
    ];
    for (name, size, limit) in sizes {
        assert!(size <= limit, "{name} is {size} bytes, more than {limit}");
    }
}
