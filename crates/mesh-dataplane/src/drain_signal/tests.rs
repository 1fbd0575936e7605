use std::time::Duration;

use mesh_runtime::drain::{self, DrainMode, Drained};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_connection_hears_of_the_drain_and_is_dropped_at_the_cut() {
    let (trigger, watcher) = drain::channel();
    let local = LocalSet::new();
    let start = Instant::now();
    local.spawn_local(async move {
        let (signal, follow) = DrainSignal::new(watcher);
        tokio::task::spawn_local(follow);
        let mut told = signal.listener();
        let connection = async move {
            told.draining().await;
            assert_eq!(start.elapsed(), Duration::from_secs(1));
            std::future::pending::<()>().await;
        };
        let ends = tokio::task::spawn_local(signal.listener().until_cut(connection));
        ends.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(1) + DEADLINE);
        drop(signal);
    });
    let drained = async {
        sleep(Duration::from_secs(1)).await;
        trigger.drain(DrainMode::Graceful, DEADLINE).await
    };
    let (drained, ()) = tokio::join!(drained, local);
    assert_eq!(drained, Drained::Cut);
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_connections_does_not_hold_its_drain_up() {
    let (trigger, watcher) = drain::channel();
    let (signal, follow) = DrainSignal::new(watcher);
    let local = LocalSet::new();
    local.spawn_local(follow);
    local.spawn_local(signal.listener().until_cut(sleep(Duration::from_secs(3))));
    local.spawn_local(async move {
        sleep(Duration::from_secs(4)).await;
        drop(signal);
    });
    let start = Instant::now();
    let (drained, ()) = tokio::join!(trigger.drain(DrainMode::Graceful, DEADLINE), local);
    assert_eq!(
        (drained, start.elapsed()),
        (Drained::Complete, Duration::from_secs(4))
    );
}
