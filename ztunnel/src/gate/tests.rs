use std::cell::RefCell;
use std::rc::Rc;

use mesh_runtime::drain;
use mesh_state::{Settings, StateWriter, Update, mesh};
use mesh_testkit::objects;
use mesh_testkit::{deny, pod};
use mesh_zds::PodInfo;
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;

#[test]
fn a_gate_is_open_but_where_nobody_would_be_served_and_others_may_not_know_or_nobody_is_silent() {
    let (all, some) = (PortSet::all(), PortSet::AllBut([80].into()));
    for young in [true, false] {
        for silent in [true, false] {
            assert_eq!(decide(&some, silent, young), Gate::Open);
            assert_eq!(decide(&PortSet::none(), silent, young), Gate::Open);
        }
        assert_eq!(
            decide(&all, true, young),
            if young { Gate::Held } else { Gate::Open }
        );
        assert_eq!(
            decide(&all, false, young),
            if young { Gate::Held } else { Gate::Shut }
        );
    }
}

#[test]
fn a_pod_is_served_at_once_where_it_is_known_and_not_strict() {
    let world = World::new();
    world.apply(vec![pod("web").at("10.0.0.1").into()]);
    assert_eq!(*world.keeper().gate().borrow(), Gate::Open);
    assert_eq!(world.told(), [PortSet::none()], "a predecessor's rule goes");

    let world = World::new();
    assert_eq!(*world.keeper().gate().borrow(), Gate::Unknown);
    world.apply(strict());
    assert_eq!(*world.keeper().gate().borrow(), Gate::Held);
    assert_eq!(world.told(), [PortSet::all()], "before anybody is let in");
    world.synced.send_replace(false);
    assert_eq!(*world.keeper().gate().borrow(), Gate::Unknown);
}

#[test]
fn a_strict_pod_is_opened_to_the_silent_once_others_have_heard_of_it() {
    let world = World::new();
    world.run(async |world, gate| {
        world.apply(strict());
        world.rests(Duration::ZERO).await;
        assert_eq!(*gate.borrow(), Gate::Held);
        world.rests(NEWS_SPREADS).await;
        assert_eq!(*gate.borrow(), Gate::Open);
        assert_eq!(world.told(), [PortSet::all()]);

        world.apply(vec![pod("web").at("10.0.0.1").into()]);
        world.rests(Duration::ZERO).await;
        assert_eq!(world.told(), [PortSet::none()]);
        world.apply(strict());
        world.rests(Duration::ZERO).await;
        assert_eq!(world.told(), [PortSet::all()]);
        assert_eq!(
            *gate.borrow(),
            Gate::Open,
            "who is in the queue is refused one by one"
        );
    });
}

#[test]
fn a_rule_that_somebody_removed_is_set_again() {
    let world = World::new();
    world.run(async |world, _| {
        world.apply(strict());
        world.rests(Duration::ZERO).await;
        assert_eq!(world.told(), [PortSet::all()]);
        world.rests(AUDIT * 3).await;
        assert_eq!(world.told(), []);
        world.silence.0.borrow_mut().lost = true;
        world.rests(AUDIT + Duration::from_secs(1)).await;
        assert_eq!(world.told(), [PortSet::all()]);
    });
}

#[test]
fn where_nobody_can_be_kept_silent_a_strict_pod_is_shut_and_tries_again() {
    let world = World::new();
    world.run(async |world, gate| {
        world.silence.0.borrow_mut().broken = true;
        world.apply(strict());
        world.rests(NEWS_SPREADS).await;
        assert_eq!(*gate.borrow(), Gate::Shut);
        world.silence.0.borrow_mut().broken = false;
        world.rests(AUDIT).await;
        assert_eq!(*gate.borrow(), Gate::Open);
    });
}

#[test]
fn a_pod_that_leaves_takes_its_rule_along_and_a_successor_finds_it() {
    for (mode, left) in [
        (DrainMode::Immediate, vec![PortSet::none()]),
        (DrainMode::Graceful, vec![]),
    ] {
        let world = World::new();
        world.apply(strict());
        let runtime = runtime();
        LocalSet::new().block_on(&runtime, async {
            let (trigger, watcher) = drain::channel();
            let kept = spawn_local(world.keeper().keep(watcher));
            world.rests(Duration::ZERO).await;
            assert_eq!(world.told(), [PortSet::all()]);
            trigger.drain(mode, Duration::from_secs(60)).await;
            kept.await.unwrap();
            assert_eq!(world.told(), left, "{mode:?}");
        });
    }
}

struct World {
    writer: RefCell<StateWriter>,
    state: StateReader,
    synced: watch::Sender<bool>,
    silence: Fake,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Kept>>);

#[derive(Default)]
struct Kept {
    told: Vec<PortSet>,
    lost: bool,
    broken: bool,
}

impl Silence for Fake {
    fn keep(&mut self, ports: &PortSet) -> io::Result<()> {
        let mut kept = self.0.borrow_mut();
        if kept.broken {
            return Err(io::ErrorKind::Unsupported.into());
        }
        kept.told.push(ports.clone());
        kept.lost = false;
        Ok(())
    }

    fn is_in_doubt(&self) -> bool {
        self.0.borrow().lost
    }
}

impl World {
    fn new() -> Self {
        let (writer, state) = mesh(Settings::default());
        Self {
            writer: RefCell::new(writer),
            state,
            synced: watch::Sender::new(true),
            silence: Fake::default(),
        }
    }

    fn keeper(&self) -> GateKeeper<Fake> {
        let info = PodInfo {
            name: "web".into(),
            namespace: objects::NAMESPACE.into(),
            service_account: "web".into(),
        };
        let place = Place {
            pod: Arc::new(LocalPod::new(info, objects::CLUSTER, "".into())),
            addresses: vec![[10, 0, 0, 1].into()],
            state: self.state.clone(),
            synced: self.synced.subscribe(),
            news_spreads: NEWS_SPREADS,
        };
        GateKeeper::new(place, self.silence.clone())
    }

    fn apply(&self, updates: Vec<Update>) {
        self.writer.borrow_mut().apply(updates);
    }

    /// What the kernel was told since the last time.
    fn told(&self) -> Vec<PortSet> {
        std::mem::take(&mut self.silence.0.borrow_mut().told)
    }

    /// Lets the keeper see what has changed, and so much time pass.
    async fn rests(&self, long: Duration) {
        for _ in 0..10 {
            yield_now().await;
        }
        tokio::time::advance(long).await;
        for _ in 0..10 {
            yield_now().await;
        }
    }

    fn run(self, test: impl AsyncFnOnce(&Self, watch::Receiver<Gate>)) {
        LocalSet::new().block_on(&runtime(), async {
            let (_trigger, watcher) = drain::channel();
            let keeper = self.keeper();
            let gate = keeper.gate();
            spawn_local(keeper.keep(watcher));
            test(&self, gate).await;
        });
    }
}

fn strict() -> Vec<Update> {
    vec![
        deny("strict").by_selector().from_nobody().into(),
        pod("web").at("10.0.0.1").selected_by("strict").into(),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}
