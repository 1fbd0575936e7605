use futures_util::FutureExt;
use mesh_model::Workload;
use mesh_state::{Settings, Update, mesh};
use mesh_types::{Identity, Strng, WorkloadUid};

use super::*;

/// Allowed as long as this workload is there.
struct Needs(WorkloadUid);

impl Recheck for Needs {
    type Denial = &'static str;

    fn recheck(&self, view: &View) -> Result<(), &'static str> {
        view.workload_by_uid(&self.0).map(drop).ok_or("gone")
    }
}

fn uid(name: &str) -> WorkloadUid {
    WorkloadUid::of_pod("k", "shop", name)
}

fn workload(name: &str) -> Update {
    let identity: Identity = "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap();
    Update::Workload(Workload::new(uid(name), name, identity))
}

fn removal(name: &str) -> Update {
    Update::RemoveAddress(Strng::from(uid(name).as_str()))
}

#[tokio::test]
async fn a_change_closes_what_is_no_longer_allowed_and_nothing_else() {
    let (mut writer, reader) = mesh(Settings::default());
    writer.apply(vec![workload("a"), workload("b")]);
    let (enforcer, driver) = Enforcer::new(reader.clone());
    tokio::pin!(driver);
    let mut a = enforcer.track(Needs(uid("a")), &reader).unwrap();
    let mut b = enforcer.track(Needs(uid("b")), &reader).unwrap();
    assert_eq!(enforcer.len(), 2);
    writer.apply(vec![removal("a")]);
    let denial = tokio::select! {
        biased;
        denial = a.denied() => denial,
        () = &mut driver => unreachable!("the state is there"),
    };
    assert_eq!(denial, "gone");
    assert!(b.denied().now_or_never().is_none());
    drop((a, b));
    assert!(enforcer.is_empty());
}

#[tokio::test]
async fn a_change_between_decision_and_tracking_is_not_missed() {
    let (mut writer, reader) = mesh(Settings::default());
    writer.apply(vec![workload("a")]);
    let (enforcer, _driver) = Enforcer::new(reader.clone());
    writer.apply(vec![removal("a")]);
    assert_eq!(enforcer.track(Needs(uid("a")), &reader).unwrap_err(), "gone");
    assert!(enforcer.is_empty());
}

#[tokio::test]
async fn the_driver_ends_with_its_enforcer() {
    let (mut writer, reader) = mesh(Settings::default());
    let (enforcer, driver) = Enforcer::<Needs>::new(reader);
    drop(enforcer);
    writer.apply(vec![workload("a")]);
    driver.await;
}
