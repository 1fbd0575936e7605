use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use serde_json::json;

use super::{Holder, LEASES, PODS, PodRun, Settings, follow, hold};
use crate::fake::FakeApi;
use crate::resource::ObjectName;

struct Replica {
    ours: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn lease() -> ObjectName {
    ObjectName::new("istio-system", "lateen-status")
}

fn replica(api: &FakeApi, me: &str) -> Replica {
    let settings = Settings {
        lease: lease(),
        me: Holder::of(me),
        duration: Duration::from_secs(30),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (ours, driver) = hold(api.client(), settings, |_: &PodRun| false, async {
        drop(stopped.await);
    });
    Replica {
        ours,
        stop,
        task: tokio::spawn(driver),
    }
}

impl Replica {
    async fn until(&mut self, ours: bool) {
        let changed = self.ours.wait_for(|is| *is == ours);
        timeout(Duration::from_secs(120), changed)
            .await
            .expect("in time")
            .expect("alive");
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_two_holds_it_and_the_other_takes_over_at_once_when_it_stops() {
    let api = FakeApi::new();
    api.serve(&LEASES);
    let mut first = replica(&api, "first");
    first.until(true).await;
    let mut second = replica(&api, "second");
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(*first.ours.borrow() && !*second.ours.borrow());
    let stopped = Instant::now();
    first.stop.send(()).expect("alive");
    first.task.await.expect("stopped");
    assert!(!*first.ours.borrow());
    second.until(true).await;
    assert!(
        stopped.elapsed() < Duration::from_secs(10),
        "{:?}",
        stopped.elapsed()
    );
    let object = api.object(&LEASES, &lease()).expect("the Lease");
    assert_eq!(object["spec"]["holderIdentity"], "second");
    assert_eq!(object["spec"]["leaseTransitions"], 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_killed_is_replaced_when_its_time_is_over_and_not_before() {
    let api = FakeApi::new();
    api.serve(&LEASES);
    let mut first = replica(&api, "first");
    first.until(true).await;
    let mut second = replica(&api, "second");
    tokio::time::sleep(Duration::from_secs(15)).await;
    let killed = Instant::now();
    first.task.abort();
    second.until(true).await;
    let waited = killed.elapsed();
    assert!(
        waited > Duration::from_secs(15) && waited < Duration::from_secs(45),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_is_replaced_at_once_and_one_that_is_there_is_not() {
    let uid = |n: u32| format!("00000000-0000-4000-8000-{n:012}");
    let pod = |n, phase: &str| {
        json!({
            "metadata": {"namespace": "istio-system", "name": "istiod-1", "uid": uid(n)},
            "status": {"phase": phase},
        })
    };
    let api = FakeApi::new();
    api.serve(&LEASES);
    api.serve(&PODS);
    let name = ObjectName::new("istio-system", "istiod-1");
    api.put(&PODS, pod(1, "Running"));
    let mut first = replica(&api, &format!("istiod-1_{}", uid(1)));
    first.until(true).await;
    let mut second = replica(&api, &format!("istiod-2_{}", uid(2)));
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.task.abort();
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(!*second.ours.borrow(), "it may live, and be slow");
    // Another one of that name is not that one.
    let gone = Instant::now();
    api.remove(&PODS, &name);
    api.put(&PODS, pod(3, "Running"));
    second.until(true).await;
    assert!(gone.elapsed() < Duration::from_secs(6), "{:?}", gone.elapsed());

    second.task.abort();
    let held_by_an_ended_one = json!({"metadata": {"namespace": "istio-system", "name": "lateen-status"},
        "spec": {"holderIdentity": format!("istiod-1_{}", uid(3)), "leaseDurationSeconds": 30, "renewTime": "x"}});
    api.put(&LEASES, held_by_an_ended_one);
    let begun = Instant::now();
    let mut third = replica(&api, &format!("istiod-4_{}", uid(4)));
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!*third.ours.borrow(), "that one runs");
    api.put(&PODS, pod(3, "Failed"));
    third.until(true).await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_gives_up_before_others_may_take_over() {
    let api = FakeApi::new();
    api.serve(&LEASES);
    let mut first = replica(&api, "first");
    first.until(true).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    for outage in [FakeApi::away, FakeApi::hang] {
        let begun = Instant::now();
        outage(&api, true);
        first.until(false).await;
        assert!(begun.elapsed() < Duration::from_secs(21), "{:?}", begun.elapsed());
        outage(&api, false);
        first.until(true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_only_looks_says_that_a_lease_is_in_use_until_nobody_was_at_it_for_its_time() {
    let api = FakeApi::new();
    api.serve(&LEASES);
    let length = Duration::from_secs(30);
    let (in_use, following) = follow(api.client(), lease(), length);
    tokio::spawn(following);
    tokio::time::sleep(length / 2).await;
    assert!(*in_use.borrow(), "that is not known yet");
    tokio::time::sleep(length).await;
    assert!(!*in_use.borrow(), "there is none");
    let mut first = replica(&api, "first");
    first.until(true).await;
    tokio::time::sleep(3 * length).await;
    assert!(*in_use.borrow(), "it is renewed");
    first.stop.send(()).expect("alive");
    first.task.await.expect("stopped");
    tokio::time::sleep(length / 2).await;
    assert!(*in_use.borrow(), "it was given back, and somebody may follow");
    api.away(true);
    tokio::time::sleep(2 * length).await;
    assert!(*in_use.borrow(), "nobody says otherwise");
    api.away(false);
    tokio::time::sleep(2 * length).await;
    assert!(!*in_use.borrow(), "nobody did");
}
