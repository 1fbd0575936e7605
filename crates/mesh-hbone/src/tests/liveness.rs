//! Peers that fall silent.

use std::time::Duration;

use mesh_net::StreamError;
use tokio::time::{Instant, sleep};

use crate::closed::ConnectionEnd;
use crate::server::ServeError;
use crate::testing::{Control, Pair, local, receive, receive_exactly, send};

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_given_up_after_thirty_seconds() {
    local(async {
        let (client, driver, server) = Pair::new().await.run();
        let (mut near, _far) = server.tunnel_from(&client).await;
        let start = Instant::now();
        server.control.send(Control::Freeze).unwrap();
        assert_eq!(receive(&mut near).await, Err(StreamError::TimedOut));
        assert_eq!(driver.await.unwrap(), ConnectionEnd::PingTimeout);
        assert_eq!(start.elapsed().as_secs(), 30);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_given_up_after_thirty_seconds() {
    local(async {
        // Nobody polls the client's driver: as on a machine that hangs.
        let (_client, mut server) = Pair::with_frozen_client().await;
        let start = Instant::now();
        let ended = server.next().await;
        assert!(matches!(
            ended,
            Some(Err(ServeError::Ended(ConnectionEnd::PingTimeout)))
        ));
        assert!(server.next().await.is_none());
        assert_eq!(start.elapsed().as_secs(), 30);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_whose_peer_answers_lives_on() {
    local(async {
        let (mut near, mut far, server) = Pair::tunnel().await;
        sleep(Duration::from_secs(3600)).await;
        send(&mut near, "hello").await.unwrap();
        assert_eq!(receive_exactly(&mut far, 5).await, b"hello");
        assert!(!server.task.is_finished());
    })
    .await;
}
