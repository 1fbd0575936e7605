use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{LEASES, Settings, follow, hold};
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
        me: me.into(),
        duration: Duration::from_secs(30),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let (ours, driver) = hold(api.client(), settings, async { drop(stopped.await) });
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
