use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mesh_runtime::drain::{self, DrainWatcher};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::supervise::supervisor;
use mesh_state::{Settings, StateWriter, mesh};
use mesh_testkit::{objects, pod};
use mesh_types::Strng;
use prometheus::Registry;

use super::*;
use crate::connections::Connections;
use crate::local::LocalPod;
use crate::workloads::pod_proxy::StartError;

/// Namespaces are numbers; pods in a broken one cannot be started.
#[derive(Clone, Default)]
struct Starter(Rc<RefCell<Started>>);

#[derive(Default)]
struct Started {
    broken: Option<u32>,
    /// Namespaces in which another proxy listens.
    served: BTreeSet<u32>,
    running: Vec<(String, u32, DrainWatcher)>,
}

impl StartPods for Starter {
    type Netns = u32;
    type NetnsId = u32;

    fn id(netns: &u32) -> u32 {
        *netns
    }

    fn local(&self, info: &PodInfo) -> Arc<LocalPod> {
        Arc::new(LocalPod::new(info.clone(), objects::CLUSTER, Strng::default()))
    }

    fn is_served(&self, netns: &u32) -> bool {
        self.0.borrow().served.contains(netns)
    }

    fn start(&self, pod: Arc<LocalPod>, netns: &u32) -> Result<Running, StartError> {
        let mut started = self.0.borrow_mut();
        if started.broken == Some(*netns) {
            let source = io::Error::from(io::ErrorKind::AddrInUse);
            return Err(StartError::Listen { port: 15008, source });
        }
        let (trigger, watcher) = drain::channel();
        started
            .running
            .push((pod.info().name.to_string(), *netns, watcher));
        Ok(Running {
            pod,
            drain: trigger,
            connections: Connections::default(),
            netns: None,
        })
    }
}

#[derive(Clone, Default)]
struct Keeper {
    log: Rc<RefCell<Vec<String>>>,
    issues: Rc<Cell<bool>>,
}

impl KeepCertificates for Keeper {
    fn warm(&self, identity: &Identity) {
        self.log
            .borrow_mut()
            .push(format!("warm {}", identity.service_account()));
    }

    fn forget(&self, identity: &Identity) {
        self.log
            .borrow_mut()
            .push(format!("forget {}", identity.service_account()));
    }

    fn holds(&self, _: &Identity) -> bool {
        self.issues.get()
    }
}

struct Lab {
    manager: Manager<Starter, Keeper>,
    starter: Starter,
    keeper: Keeper,
    readiness: Readiness,
    table: PodTable,
    writer: StateWriter,
    synced: watch::Sender<bool>,
}

fn lab() -> Lab {
    let (writer, state) = mesh(Settings::default());
    let (tasks, _failures) = supervisor();
    let (starter, keeper, readiness) = (Starter::default(), Keeper::default(), Readiness::new());
    let table = PodTable::new(&Registry::new());
    let (synced, is_synced) = watch::channel(false);
    let manager = Manager::new(
        starter.clone(),
        keeper.clone(),
        state,
        is_synced,
        table.clone(),
        tasks,
        readiness.block("workload proxy manager"),
    );
    Lab {
        manager,
        starter,
        keeper,
        readiness,
        table,
        writer,
        synced,
    }
}

fn add(name: &str, netns: u32) -> PodEvent<u32> {
    PodEvent::Add {
        uid: PodUid::new(name),
        info: PodInfo {
            name: name.into(),
            namespace: objects::NAMESPACE.into(),
            service_account: name.into(),
        },
        netns,
    }
}

fn del(name: &str) -> PodEvent<u32> {
    PodEvent::Del {
        uid: PodUid::new(name),
    }
}

fn keep(name: &str) -> PodEvent<u32> {
    PodEvent::Keep {
        uid: PodUid::new(name),
    }
}

impl Lab {
    /// The pods that run and are not told to stop, with their namespaces.
    fn running(&self) -> Vec<(String, u32)> {
        let started = self.starter.0.borrow();
        let alive = started.running.iter().filter(|(.., drain)| !drain.is_draining());
        alive.map(|(name, netns, _)| (name.clone(), *netns)).collect()
    }

    /// Lets the drains that were started begin.
    async fn settle(&mut self) {
        tokio::task::yield_now().await;
        self.starter
            .0
            .borrow_mut()
            .running
            .retain(|(.., d)| !d.is_draining());
    }

    fn states(&self) -> serde_json::Value {
        let mut table = serde_json::to_value(&self.table).unwrap();
        for row in table.as_object_mut().unwrap().values_mut() {
            *row = row["state"].clone();
        }
        table
    }
}

#[tokio::test]
async fn a_pod_is_started_once_and_replaced_when_its_namespace_is_another() {
    let mut lab = lab();
    lab.manager.handle(add("web", 1)).unwrap();
    lab.manager.handle(add("web", 1)).unwrap();
    assert_eq!(lab.running(), [("web".to_owned(), 1)]);
    lab.manager.handle(add("web", 2)).unwrap();
    lab.settle().await;
    assert_eq!(lab.running(), [("web".to_owned(), 2)]);
    lab.manager.handle(del("web")).unwrap();
    lab.settle().await;
    assert_eq!(lab.running(), []);
    // Deleting what is not there is no error: it is gone either way.
    lab.manager.handle(del("web")).unwrap();
}

#[tokio::test]
async fn a_pod_that_cannot_start_is_refused_kept_and_tried_again() {
    let mut lab = lab();
    lab.starter.0.borrow_mut().broken = Some(1);
    let refused = lab.manager.handle(add("web", 1)).unwrap_err();
    assert!(refused.0.contains("port 15008"), "{refused}");
    lab.manager.handle(add("db", 2)).unwrap();
    assert_eq!(lab.states(), serde_json::json!({"web": "Pending", "db": "Up"}));
    // It does not keep the node from being ready.
    lab.manager.handle(PodEvent::SnapshotSent).unwrap();
    assert!(lab.readiness.pending().is_empty());
    lab.manager.retry();
    assert_eq!(lab.states()["web"], "Pending");
    lab.starter.0.borrow_mut().broken = None;
    lab.manager.retry();
    assert_eq!(lab.states()["web"], "Up");
    // An Add repeated for a pending pod tries at once.
    lab.starter.0.borrow_mut().broken = Some(3);
    lab.manager.handle(add("late", 3)).unwrap_err();
    lab.starter.0.borrow_mut().broken = None;
    lab.manager.handle(add("late", 3)).unwrap();
    assert_eq!(lab.states()["late"], "Up");
}

#[tokio::test]
async fn a_snapshot_ends_the_pods_that_it_does_not_list() {
    let mut lab = lab();
    lab.manager.connected();
    lab.manager.handle(add("web", 1)).unwrap();
    lab.manager.handle(add("db", 2)).unwrap();
    assert_eq!(lab.readiness.pending(), ["workload proxy manager"]);
    lab.manager.handle(PodEvent::SnapshotSent).unwrap();
    assert!(lab.readiness.pending().is_empty());
    // The agent restarts: it keeps one, has a new one, and says nothing of the other.
    lab.manager.connected();
    lab.manager.handle(keep("web")).unwrap();
    lab.manager.handle(add("new", 3)).unwrap();
    assert_eq!(
        lab.running().len(),
        3,
        "nothing ends before the snapshot is complete"
    );
    lab.manager.handle(PodEvent::SnapshotSent).unwrap();
    lab.settle().await;
    assert_eq!(lab.running(), [("web".to_owned(), 1), ("new".to_owned(), 3)]);
    assert!(lab.manager.handle(keep("unknown")).is_err());
}

#[tokio::test]
async fn certificates_follow_the_pods() {
    let mut lab = lab();
    lab.manager.handle(add("web", 1)).unwrap();
    assert!(
        lab.keeper.log.borrow().is_empty(),
        "its trust domain is not known yet"
    );
    lab.writer.apply(vec![pod("web").at("10.0.0.1").into()]);
    lab.manager.refresh_identities();
    lab.manager.refresh_identities();
    assert_eq!(*lab.keeper.log.borrow(), ["warm web"]);
    lab.writer.apply(vec![pod("db").at("10.0.0.2").into()]);
    lab.manager.handle(add("db", 2)).unwrap();
    assert_eq!(*lab.keeper.log.borrow(), ["warm web", "warm db"]);
    lab.manager.handle(del("web")).unwrap();
    assert_eq!(*lab.keeper.log.borrow(), ["warm web", "warm db", "forget web"]);
}

#[tokio::test]
async fn a_successor_takes_a_pod_once_it_can_serve_it_and_the_node_is_ready_only_then() {
    let mut lab = lab();
    lab.starter.0.borrow_mut().served = BTreeSet::from([1, 2]);
    lab.manager.connected();
    lab.manager.handle(add("web", 1)).expect("somebody serves it");
    lab.manager.handle(add("new", 3)).expect("started");
    lab.manager.handle(PodEvent::SnapshotSent).expect("complete");
    assert_eq!(lab.running(), [("new".to_owned(), 3)]);
    lab.manager.succeed();
    assert_eq!(lab.states(), serde_json::json!({"web": "Pending", "new": "Up"}));
    assert_eq!(lab.readiness.pending(), ["workload proxy manager"]);
    // Its certificate is fetched meanwhile.
    lab.writer.apply(vec![pod("web").at("10.0.0.1").into()]);
    lab.synced.send(true).expect("the manager is there");
    lab.manager.refresh_identities();
    lab.manager.succeed();
    assert_eq!(*lab.keeper.log.borrow(), ["warm web"]);
    assert_eq!(lab.states()["web"], "Pending");
    // Told again, it is still the other's.
    lab.manager.handle(add("web", 1)).expect("somebody serves it");
    assert_eq!(lab.states()["web"], "Pending");
    lab.keeper.issues.set(true);
    lab.manager.succeed();
    assert_eq!(lab.states()["web"], "Up");
    assert!(lab.readiness.pending().is_empty());
    assert_eq!(*lab.keeper.log.borrow(), ["warm web"]);
}

#[tokio::test]
async fn a_pod_whose_predecessor_is_gone_is_taken_at_once_and_one_that_goes_is_forgotten() {
    let mut lab = lab();
    lab.writer.apply(vec![
        pod("web").at("10.0.0.1").into(),
        pod("db").at("10.0.0.2").into(),
    ]);
    lab.starter.0.borrow_mut().served = BTreeSet::from([1, 2]);
    lab.manager.connected();
    lab.manager.handle(add("web", 1)).expect("somebody serves it");
    lab.manager.handle(add("db", 2)).expect("somebody serves it");
    lab.manager.handle(PodEvent::SnapshotSent).expect("complete");
    lab.starter.0.borrow_mut().served.remove(&1);
    lab.manager.succeed();
    assert_eq!(lab.states(), serde_json::json!({"web": "Up", "db": "Pending"}));
    lab.manager.handle(del("db")).expect("known");
    lab.manager.succeed();
    assert_eq!(lab.states(), serde_json::json!({"web": "Up"}));
    assert!(lab.readiness.pending().is_empty());
    assert_eq!(*lab.keeper.log.borrow(), ["warm web", "warm db", "forget db"]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_pod_is_acknowledged_once_nothing_of_it_is_left() {
    let mut lab = lab();
    lab.manager.handle(add("web", 1)).expect("started");
    lab.manager.ended().await;
    lab.manager
        .handle(PodEvent::Del {
            uid: PodUid::new("web"),
        })
        .expect("known");
    let (_, _, mut watcher) = lab.starter.0.borrow_mut().running.remove(0);
    {
        let mut ended = std::pin::pin!(lab.manager.ended());
        tokio::select! {
            biased;
            () = &mut ended => panic!("a listener is still there"),
            () = watcher.cut() => {}
        }
        tokio::select! {
            biased;
            () = &mut ended => panic!("a listener is still there"),
            () = tokio::task::yield_now() => {}
        }
        drop(watcher);
        ended.await;
    }
    // What never ends does not hold up the agent for ever.
    lab.manager.handle(add("stuck", 2)).expect("started");
    let begun = Instant::now();
    lab.manager
        .handle(PodEvent::Del {
            uid: PodUid::new("stuck"),
        })
        .expect("known");
    lab.manager.ended().await;
    assert!(begun.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_drains_all_pods_within_one_deadline() {
    let mut lab = lab();
    lab.manager.handle(add("web", 1)).unwrap();
    lab.manager.handle(add("db", 2)).unwrap();
    let started = std::mem::take(&mut lab.starter.0.borrow_mut().running);
    let start = Instant::now();
    let deadline = Duration::from_secs(10);
    let connections = started.into_iter().map(|(_, _, mut drain)| async move {
        assert_eq!(drain.draining().await, DrainMode::Graceful);
        drain.cut().await;
    });
    tokio::join!(lab.manager.shutdown(deadline), join_all(connections));
    assert_eq!(start.elapsed(), deadline);
}
