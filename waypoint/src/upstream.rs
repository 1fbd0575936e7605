//! Towards the endpoints.
//!
//! # Layout
//! - this file: [`Upstream`], what a worker knows of all its destinations.
//! - [`cluster`]: a destination and its endpoints, as they are now.
//! - [`pick`]: which endpoint takes a request: the seam for balancers.
//! - [`connect`]: a stream to an endpoint: TCP, or a tunnel in the mesh.
//! - [`http`]: connections that carry requests: kept, taken, found dead.

pub mod cluster;
pub mod connect;
pub mod http;
pub mod pick;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use mesh_runtime::supervise::Tasks;
use mesh_state::l7::L7Reader;
use mesh_state::{Generation, StateReader};
use mesh_types::{Identity, Strng};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub use cluster::{Cluster, ClusterKey, Endpoint};
pub use connect::{ConnectFailure, Tunnels};
pub use pick::Pick;

use crate::settings::Settings;

/// What a worker knows of its destinations. Clones are the same.
#[derive(Clone)]
pub struct Upstream {
    shared: Rc<Shared>,
}

/// What connections to endpoints are made with.
pub(crate) struct Shared {
    pub(crate) state: StateReader,
    pub(crate) l7: L7Reader,
    pub(crate) tunnels: Rc<dyn Tunnels>,
    pub(crate) identity: Identity,
    pub(crate) network: Strng,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tasks: Tasks,
    clusters: RefCell<HashMap<ClusterKey, Rc<Cluster>>>,
    changes: RefCell<Changes>,
}

struct Changes {
    mesh: watch::Receiver<Generation>,
    l7: watch::Receiver<Generation>,
    /// Counts what was seen of both: clusters of an earlier count look again.
    seen: u64,
}

impl Upstream {
    /// Nothing known yet.
    #[must_use]
    pub fn new(
        state: StateReader,
        l7: L7Reader,
        tunnels: Rc<dyn Tunnels>,
        identity: Identity,
        network: Strng,
        settings: Arc<Settings>,
        tasks: Tasks,
    ) -> Self {
        let changes = Changes {
            mesh: state.generation(),
            l7: l7.generation(),
            seen: 0,
        };
        Self {
            shared: Rc::new(Shared {
                state,
                l7,
                tunnels,
                identity,
                network,
                settings,
                tasks,
                clusters: RefCell::default(),
                changes: RefCell::new(changes),
            }),
        }
    }

    /// A destination as it is now. Its endpoints are looked up again only after something changed.
    #[must_use]
    pub fn cluster(&self, key: &ClusterKey) -> Rc<Cluster> {
        let seen = self.shared.changes.borrow_mut().seen();
        let mut clusters = self.shared.clusters.borrow_mut();
        if let Some(cluster) = clusters.get(key) {
            cluster.refresh(&self.shared, seen);
            return cluster.clone();
        }
        let cluster = Rc::new(Cluster::new(key.clone()));
        cluster.refresh(&self.shared, seen);
        clusters.insert(key.clone(), cluster.clone());
        cluster
    }

    /// What connections are made with.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Closes connections that were idle for too long, and forgets destinations that are gone; never ends.
    pub fn tidy(&self) -> impl Future<Output = ()> + use<> {
        let shared = Rc::downgrade(&self.shared);
        async move {
            let mut ticks = interval_at(Instant::now() + TIDY_INTERVAL, TIDY_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(shared) = shared.upgrade() else { return };
                let (seen, now) = (shared.changes.borrow_mut().seen(), Instant::now());
                shared.clusters.borrow_mut().retain(|_, cluster| {
                    cluster.refresh(&shared, seen);
                    cluster.close_idle(now, shared.settings.upstream_idle);
                    // Whoever uses it holds a reference.
                    !cluster.is_empty() || Rc::strong_count(cluster) > 1
                });
            }
        }
    }
}

impl Changes {
    fn seen(&mut self) -> u64 {
        // An error means that the writer is gone: nothing changes any more.
        let mut changed = false;
        for receiver in [&mut self.mesh, &mut self.l7] {
            if receiver.has_changed().unwrap_or(false) {
                receiver.mark_unchanged();
                changed = true;
            }
        }
        self.seen += u64::from(changed || self.seen == 0);
        self.seen
    }
}

const TIDY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
