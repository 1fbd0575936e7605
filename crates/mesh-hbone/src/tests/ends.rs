//! How connections end, and what their futures and idle states cost.

use std::mem::{size_of, size_of_val};
use std::rc::Rc;
use std::time::Duration;

use mesh_tls::ExpectedPeers;

use crate::client::{ClientDriver, establish};
use crate::closed::ConnectionEnd;
use crate::error::ConnectError;
use crate::server::{IncomingTunnel, ServerConnection, serve_tls};
use crate::testing::{
    Control, Ends, Mesh, Pair, Running, finish, handshakes, identity, local, pipe, receive_all,
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
        tokio::time::sleep(Duration::from_secs(1)).await;
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
async fn a_server_takes_no_more_streams_of_a_client_whose_certificate_has_expired() {
    local(async {
        let mesh = Mesh::new();
        let expected = ExpectedPeers::one(&identity("server"));
        let brief = mesh.certificate_for("client", Duration::from_secs(600));
        let ends = handshakes(&brief, &expected, &mesh.certificate("server"), Ends::default()).await;
        let ((client, driver), server) = (ends.0.unwrap(), Running::new(ends.1.unwrap()));
        tokio::task::spawn_local(driver);
        tokio::time::sleep(Duration::from_secs(500)).await;
        let (mut near, mut far) = server.tunnel_from(&client).await;
        tokio::time::sleep(Duration::from_secs(200)).await;
        let refused = client.tunnel(&request()).await;
        assert!(matches!(refused.err(), Some(ConnectError::Lost(_))));
        send(&mut near, "still open").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 10).await, b"still open");
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
        tokio::task::spawn_local(driver);
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
