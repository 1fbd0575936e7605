use std::net::{Ipv4Addr, TcpStream as StdStream};
use std::time::Duration;

use mesh_runtime::drain;

use super::*;

async fn accepted_after_drain(mode: DrainMode) -> usize {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = listener.local_addr().unwrap();
    let (trigger, watcher) = drain::channel();
    // The handshakes are complete, and nobody has accepted yet.
    let _waiting: Vec<_> = (0..3).map(|_| StdStream::connect(to).unwrap()).collect();
    let draining = tokio::spawn(trigger.drain(mode, Duration::from_secs(5)));
    let mut seen = watcher.clone();
    seen.draining().await;
    drop(seen);
    let mut served = 0;
    accept_loop(listener, watcher, |_, _| served += 1).await.unwrap();
    draining.await.unwrap();
    served
}

#[tokio::test]
async fn what_waits_in_the_queue_when_a_drain_starts_is_still_served() {
    assert_eq!(accepted_after_drain(DrainMode::Graceful).await, 3);
}

#[tokio::test]
async fn nothing_is_taken_any_more_when_all_is_to_be_cut() {
    assert_eq!(accepted_after_drain(DrainMode::Immediate).await, 0);
}
