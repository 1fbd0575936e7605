use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_graceful_drain_ends_when_the_last_watcher_is_dropped() {
    let (trigger, mut watcher) = channel();
    let second = watcher.clone();
    let work = async move {
        assert_eq!(watcher.draining().await, DrainMode::Graceful);
        sleep(Duration::from_secs(2)).await;
        drop((watcher, second));
    };
    let start = Instant::now();
    let (drained, ()) = tokio::join!(trigger.drain(DrainMode::Graceful, DEADLINE), work);
    assert_eq!(drained, Drained::Complete);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_cuts_what_is_left() {
    let (trigger, mut watcher) = channel();
    let start = Instant::now();
    let work = async move {
        watcher.cut().await;
        start.elapsed()
    };
    let (drained, cut_after) = tokio::join!(trigger.drain(DrainMode::Graceful, DEADLINE), work);
    assert_eq!((drained, cut_after), (Drained::Cut, DEADLINE));
}

#[tokio::test(start_paused = true)]
async fn an_immediate_drain_cuts_at_once() {
    let (trigger, mut watcher) = channel();
    let start = Instant::now();
    let work = async move {
        let mode = watcher.draining().await;
        watcher.cut().await;
        (mode, start.elapsed())
    };
    let (drained, seen) = tokio::join!(trigger.drain(DrainMode::Immediate, DEADLINE), work);
    assert_eq!(drained, Drained::Complete);
    assert_eq!(seen, (DrainMode::Immediate, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_ignores_the_cut_is_reported() {
    let (trigger, _held) = channel();
    assert_eq!(trigger.drain(DrainMode::Graceful, DEADLINE).await, Drained::Stuck);
}

#[tokio::test]
async fn a_dropped_trigger_is_a_cut() {
    let (trigger, mut watcher) = channel();
    assert!(!watcher.is_draining());
    drop(trigger);
    assert!(watcher.is_draining());
    assert_eq!(watcher.draining().await, DrainMode::Immediate);
    watcher.cut().await;
}

#[tokio::test]
async fn a_watcher_made_after_the_start_sees_the_drain() {
    let (trigger, watcher) = channel();
    let mut late = trigger.watcher();
    drop(watcher);
    let ((), drained) = tokio::join!(
        async move {
            assert_eq!(late.draining().await, DrainMode::Graceful);
        },
        trigger.drain(DrainMode::Graceful, DEADLINE)
    );
    assert_eq!(drained, Drained::Complete);
}
