//! Towards the endpoints.
//!
//! # Layout
//! - this file: [`Upstream`], what a worker knows of all its destinations.
//! - [`call`]: one request to a service, for whoever needs an answer from one (authorization, limits, telemetry).
//! - [`cluster`]: a destination and its endpoints, as they are now; which of them takes a request.
//! - [`registry`]: what all workers know together: limits, ejections, host names. [`names`] resolves those.
//! - `rules`: what counts for a destination. `lookup`: who its endpoints are. `endpoint`: one of them.
//! - `health`: endpoints are asked whether they are well.
//! - `through`: a service behind its waypoint, for what comes from outside.
//! - `session`: what keeps a client at one endpoint. Pure.
//! - [`connect`]: a stream to an endpoint: TCP, or a tunnel in the mesh; `origination`: TLS on it.
//! - [`http`]: connections that carry requests: kept, taken, found dead.

pub mod call;
pub mod cluster;
pub mod connect;
mod endpoint;
mod health;
pub mod http;
mod lookup;
pub mod names;
mod origination;
pub mod registry;
mod rules;
pub(crate) mod session;
mod through;

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use mesh_balance::Places;
use mesh_model::l7::ServicePort;
use mesh_model::l7::backend::Location;
use mesh_model::{Service, lb};
use mesh_runtime::supervise::Tasks;
use mesh_state::l7::{L7Reader, L7Snapshot};
use mesh_state::{Generation, StateReader, View};
use mesh_types::{Identity, Strng};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

pub use cluster::{Ask, Cluster, ClusterKey, Toward};
pub use connect::{ConnectFailure, Tunnels};
pub use endpoint::Endpoint;
pub use registry::Registry;

use crate::frontend::{Frontend, Gateway};
use crate::settings::Settings;

/// What a worker knows of its destinations. Clones are the same.
#[derive(Clone)]
pub struct Upstream {
    shared: Rc<Shared>,
}

/// What an [`Upstream`] is made with.
pub struct Needs {
    /// The mesh.
    pub state: StateReader,
    /// What is served.
    pub l7: L7Reader,
    /// Who opens tunnels.
    pub tunnels: Rc<dyn Tunnels>,
    /// Whom tunnels are opened as.
    pub identity: Identity,
    /// Who this proxy is.
    pub gateway: Arc<Gateway>,
    /// Limits and timers.
    pub settings: Arc<Settings>,
    /// What all workers share.
    pub registry: Registry,
    /// Where tasks are started.
    pub tasks: Tasks,
}

/// What connections to endpoints are made with.
pub(crate) struct Shared {
    pub(crate) state: StateReader,
    pub(crate) l7: L7Reader,
    pub(crate) tunnels: Rc<dyn Tunnels>,
    pub(crate) identity: Identity,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    clusters: RefCell<HashMap<ClusterKey, Rc<Cluster>>>,
    changes: RefCell<Changes>,
}

struct Changes {
    mesh: watch::Receiver<Generation>,
    l7: watch::Receiver<Generation>,
    names: watch::Receiver<u64>,
    /// Counts what was seen of all: clusters of an earlier count look again.
    seen: u64,
}

impl Upstream {
    /// Nothing known yet.
    #[must_use]
    pub fn new(needs: Needs) -> Self {
        let Needs {
            state,
            l7,
            tunnels,
            identity,
            gateway,
            settings,
            registry,
            tasks,
        } = needs;
        let changes = Changes {
            mesh: state.generation(),
            l7: l7.generation(),
            names: registry.names().changed(),
            seen: 0,
        };
        Self {
            shared: Rc::new(Shared {
                state,
                l7,
                tunnels,
                identity,
                gateway,
                settings,
                registry,
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
        let known = self.shared.clusters.borrow().get(key).cloned();
        let cluster = known.unwrap_or_else(|| {
            let cluster = Rc::new(Cluster::new(key.clone(), &self.shared));
            let mut clusters = self.shared.clusters.borrow_mut();
            clusters.insert(key.clone(), cluster.clone());
            cluster
        });
        cluster.refresh(&self.shared, seen);
        cluster
    }

    /// The same, where a backend may have a host of its own for each request: `host` is the one that is asked for, by Host
    /// or in a TLS handshake, with or without a port. A destination whose addresses are not known yet is waited for.
    ///
    /// `address` is where the client was going, for services that are passed through.
    pub async fn destination(
        &self,
        key: &ClusterKey,
        host: Option<&str>,
        address: Option<SocketAddr>,
    ) -> Rc<Cluster> {
        self.reach(key, host, address, false).await
    }

    /// The same for what came in at `frontend`: at a gateway's listener a service may have to be reached through its
    /// waypoint (`istio.io/ingress-use-waypoint`).
    pub(crate) async fn destination_from(
        &self,
        frontend: &Frontend,
        key: &ClusterKey,
        host: Option<&str>,
        address: Option<SocketAddr>,
    ) -> Rc<Cluster> {
        let outside = matches!(frontend, Frontend::Listener { .. });
        self.reach(key, host, address, outside).await
    }

    async fn reach(
        &self,
        key: &ClusterKey,
        host: Option<&str>,
        address: Option<SocketAddr>,
        outside: bool,
    ) -> Rc<Cluster> {
        let cluster = match self.dynamic(key, host) {
            Some(key) => self.cluster(&key),
            None => self.cluster(key),
        };
        if outside
            && let ClusterKey::Service(at, _) = key
            && let Some(service) = cluster.guarded()
            && let Some(through) = self.through(at, &service)
        {
            return through;
        }
        let cluster = match (cluster.is_passed_through(), key, address) {
            (true, ClusterKey::Service(at, subset), Some(address)) => {
                let toward = Toward::Address(address);
                self.cluster(&ClusterKey::Toward(at.clone(), subset.clone(), toward))
            }
            _ => cluster,
        };
        if !cluster.is_empty() || !cluster.is_resolving() {
            return cluster;
        }
        let mut changed = self.shared.registry.names().changed();
        let resolved = async {
            // An error means that nobody resolves any more.
            while cluster.is_empty() && cluster.is_resolving() && changed.changed().await.is_ok() {
                let seen = self.shared.changes.borrow_mut().seen();
                cluster.refresh(&self.shared, seen);
            }
        };
        let _ = timeout(self.shared.settings.connect_timeout, resolved).await;
        cluster
    }

    /// The waypoint that takes this one: drawn by the canary's share, or another one that is there. Nothing where none is
    /// and the service may be reached without.
    fn through(&self, at: &ServicePort, service: &Service) -> Option<Rc<Cluster>> {
        let mut random = fastrand::Rng::new();
        let (mut drawn, mut fail_open) = (None, true);
        for gateway in lb::waypoints(service, &mut random) {
            let cluster = self.cluster(&ClusterKey::Through(at.clone(), gateway.clone()));
            if !cluster.is_empty() {
                return Some(cluster);
            }
            fail_open &= gateway.fail_open;
            drawn.get_or_insert(cluster);
        }
        drawn.filter(|_| !fail_open)
    }

    fn dynamic(&self, key: &ClusterKey, host: Option<&str>) -> Option<ClusterKey> {
        match key {
            ClusterKey::Service(at, subset) => {
                let suffix = at.service.hostname.strip_prefix('*')?;
                let host = plain(host?);
                // Others share one destination, which has no endpoint.
                lookup::is_below(&host, &[suffix.into()])
                    .then(|| ClusterKey::Toward(at.clone(), subset.clone(), Toward::Host(host)))
            }
            ClusterKey::Backend(name) => {
                let snapshot = self.shared.l7.snapshot();
                let Location::Dynamic { suffixes, .. } = &snapshot.backend(name)?.location else {
                    return None;
                };
                let host = plain(host?);
                lookup::is_below(&host, suffixes).then(|| ClusterKey::Host(name.clone(), host))
            }
            _ => None,
        }
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
                shared.clusters.borrow_mut().retain(|key, cluster| {
                    cluster.refresh(&shared, seen);
                    shared.registry.names().keep(&cluster.names());
                    let used = cluster.close_idle(now, shared.settings.upstream_idle);
                    let passing = matches!(
                        key,
                        ClusterKey::Host(..) | ClusterKey::Toward(..) | ClusterKey::Through(..)
                    ) && !used;
                    // Whoever uses it holds a reference.
                    !(cluster.is_empty() || passing) || Rc::strong_count(cluster) > 1
                });
                shared.registry.tidy();
            }
        }
    }
}

impl Shared {
    /// Where this proxy is, as far as the mesh knows.
    fn own_places(&self, view: &View, snapshot: &L7Snapshot) -> Places {
        let own = self.gateway.workload.as_ref();
        let workload = own.and_then(|uid| view.workload_by_uid(uid));
        workload.map_or_else(
            || Places {
                network: self.gateway.network.clone(),
                ..Places::default()
            },
            |workload| endpoint::places(workload, snapshot),
        )
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
        if self.names.has_changed().unwrap_or(false) {
            self.names.mark_unchanged();
            changed = true;
        }
        self.seen += u64::from(changed || self.seen == 0);
        self.seen
    }
}

/// A host as it is resolved: without a port, in lower case.
fn plain(host: &str) -> Strng {
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    host.trim_end_matches('.').to_ascii_lowercase().into()
}

const TIDY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);
