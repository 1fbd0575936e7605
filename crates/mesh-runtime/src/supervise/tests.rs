use std::convert::Infallible;

use super::*;

#[tokio::test]
async fn a_critical_task_that_fails_is_named() {
    let (tasks, mut failures) = supervisor();
    tasks.critical("xds client", async { Err("no route") });
    let failure = failures.next().await;
    assert_eq!(failure.to_string(), "task \"xds client\" failed: no route");
}

#[tokio::test]
async fn a_critical_task_may_return_only_while_stopping() {
    let (tasks, mut failures) = supervisor();
    tasks.critical("admin", async { Ok::<(), Infallible>(()) });
    assert_eq!(failures.next().await.why, TaskEnd::Returned);
    tasks.stopping();
    let handle = tasks.critical("admin", async { Ok::<(), Infallible>(()) });
    handle.await.unwrap();
    assert!(failures.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_panic_is_a_failure_of_any_task() {
    let (tasks, mut failures) = supervisor();
    tasks.spawn("worker", async { panic!("boom {}", 1) });
    let failure = failures.next().await;
    assert_eq!(failure.why, TaskEnd::Panicked("boom 1".to_owned()));
}

/// Whoever starts a task for each request pays for each byte of it.
#[tokio::test]
async fn a_task_takes_hardly_more_room_than_it_needs() {
    let (tasks, _failures) = supervisor();
    let large = std::array::from_fn::<_, 128, _>(|_| String::new());
    let task = async move {
        tokio::task::yield_now().await;
        drop(large);
    };
    let (own, watched) = (
        size_of_val(&task),
        size_of_val(&tasks.watch_panic("large".into(), task)),
    );
    assert!(watched <= own + 64, "{watched} bytes for {own}");
}

#[tokio::test]
async fn local_tasks_are_watched_too() {
    let (tasks, mut failures) = supervisor();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            tasks.critical_local("local", async { Err("gone") });
            assert_eq!(failures.next().await.why, TaskEnd::Error("gone".to_owned()));
        })
        .await;
}

#[tokio::test]
async fn threads_are_watched_too() {
    let (tasks, mut failures) = supervisor();
    let thread = tasks.critical_thread("data-0", || Err("no runtime")).unwrap();
    assert_eq!(
        failures.next().await.to_string(),
        "task \"data-0\" failed: no runtime"
    );
    thread.join().unwrap();
}
