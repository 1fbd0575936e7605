//! Where a request or connection goes, and whether it may.
//!
//! # Layout
//! - this file: [`Routed`], the answer, and [`Tables`], which keep what was compiled.
//! - `choose`: one request, one rule, one destination.

mod choose;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::policy::PathNormalization;
use mesh_model::l7::resilience::{Retry, Timeouts};
use mesh_model::l7::route::{HttpAction, HttpBackend, HttpRule, RouteParent, Rules};
use mesh_model::l7::select::{Hostnames, RouteTable, Spread};
use mesh_model::l7::{Policy, PolicyKind, Route, ServicePort, Target};
use mesh_state::Generation;
use mesh_state::l7::L7Snapshot;
use mesh_types::{Strng, WorkloadUid};
use tokio::time::Instant;

use crate::filters::applied::Applied;
use crate::frontend::{Frontend, Gateway};
use crate::reply::LocalReply;
use crate::upstream::ClusterKey;

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Routed {
    /// To an endpoint of this.
    Forward(Forward),
    /// Nowhere: it is answered here.
    Reply(Box<LocalReply>),
}

/// A destination, and how a request gets there.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The destination.
    pub cluster: ClusterKey,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it is tried again.
    pub retry: Rc<Retry>,
    /// The rule that said so; absent without any route.
    pub rule: Option<Rule>,
}

/// A rule of a route.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The route.
    pub route: Arc<Route>,
    /// The place of the rule in it.
    pub rule: usize,
    /// The place of the destination in the rule; absent for answers from here.
    pub backend: Option<usize>,
    /// Which of the rule's matches took it.
    pub matched: Option<usize>,
}

/// What was compiled on a worker, by what it is for. Nothing is compiled twice while what it was made of stays.
#[derive(Debug, Default)]
pub struct Tables {
    compiled: RefCell<HashMap<Place, Kept>>,
    default_retry: Rc<Retry>,
}

/// Everything that applies to one frontend.
#[derive(Debug)]
pub struct Compiled {
    /// Its routes.
    pub routes: RouteTable,
    /// What policies want of the filters.
    pub applied: Applied,
    /// How paths are made comparable.
    pub normalization: PathNormalization,
    /// Shares of rules' destinations.
    spreads: RefCell<HashMap<(Strng, usize), Rc<Spread>>>,
}

#[derive(Debug)]
struct Kept {
    /// The snapshot that it was last found to be up to date with.
    checked: Generation,
    made_of: Vec<Option<Generation>>,
    compiled: Rc<Compiled>,
    used: Instant,
}

/// What tables are kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Port(ServicePort),
    Workload,
    Bind(Strng),
}

impl Tables {
    /// What applies to a frontend, as of a snapshot.
    #[must_use]
    pub fn compiled(&self, snapshot: &L7Snapshot, frontend: &Frontend, gateway: &Gateway) -> Rc<Compiled> {
        let place = Place::of(frontend);
        let mut tables = self.compiled.borrow_mut();
        if let Some(kept) = tables.get_mut(&place) {
            kept.used = Instant::now();
            if kept.checked == snapshot.generation() {
                return kept.compiled.clone();
            }
            let made_of = made_of(snapshot, &place, gateway);
            if kept.made_of == made_of {
                kept.checked = snapshot.generation();
                return kept.compiled.clone();
            }
        }
        if tables.len() >= MOST_TABLES {
            tables.retain(|_, kept| kept.used.elapsed() < STALE);
        }
        let compiled = Rc::new(compile(snapshot, &place, gateway));
        let kept = Kept {
            checked: snapshot.generation(),
            made_of: made_of(snapshot, &place, gateway),
            compiled: compiled.clone(),
            used: Instant::now(),
        };
        tables.insert(place, kept);
        compiled
    }

    /// Straight to the endpoints of what was asked for: what a service without any route gets (Istio: no timeout, two
    /// more tries where nothing is done twice).
    #[must_use]
    pub fn straight(&self, frontend: &Frontend) -> Routed {
        let cluster = match frontend {
            Frontend::Service { .. } => frontend.service_port().map(|at| ClusterKey::Service(at, None)),
            Frontend::Workload {
                workload,
                address,
                port,
                ..
            } => {
                let uid: WorkloadUid = workload.uid.clone();
                Some(ClusterKey::Workload(uid, (*address, *port).into()))
            }
            Frontend::Listener { .. } => None,
        };
        match cluster {
            Some(cluster) => Routed::Forward(Forward {
                cluster,
                timeouts: Timeouts::default(),
                retry: self.default_retry.clone(),
                rule: None,
            }),
            None => Routed::Reply(Box::new(LocalReply::no_route())),
        }
    }
}

/// The routes' places and the policies' targets of a frontend, each with the generation in which it last changed.
fn made_of(snapshot: &L7Snapshot, place: &Place, gateway: &Gateway) -> Vec<Option<Generation>> {
    let routes = parents(place);
    let routes = routes
        .iter()
        .map(|p| snapshot.routes_of(p).map(|a| a.generation()));
    let policies = targets(place, gateway);
    let policies = policies
        .iter()
        .map(|t| snapshot.policies_of(t).map(|a| a.generation()));
    routes.chain(policies).collect()
}

fn compile(snapshot: &L7Snapshot, place: &Place, gateway: &Gateway) -> Compiled {
    let hostnames = match place {
        Place::Bind(_) => Hostnames::Matched,
        Place::Port(_) | Place::Workload => Hostnames::Ignored,
    };
    let parents = parents(place);
    let attached = parents.iter().filter_map(|parent| snapshot.routes_of(parent));
    let routes: Vec<Arc<Route>> = attached.flat_map(|attached| attached.iter().cloned()).collect();
    let targets = targets(place, gateway);
    let mut policies: Vec<&Arc<Policy>> = targets
        .iter()
        .filter_map(|target| snapshot.policies_of(target))
        .flat_map(|attached| attached.iter())
        .collect();
    // The targets come from the widest to the narrowest.
    let normalization = policies.iter().rev().find_map(|policy| match policy.kind {
        PolicyKind::PathNormalization(mode) => Some(mode),
        _ => None,
    });
    // One that is attached to several of them counts once.
    policies.sort_by_cached_key(|policy| policy.key());
    policies.dedup_by_key(|policy| policy.key());
    Compiled {
        routes: RouteTable::compile(routes, hostnames),
        applied: Applied::compile(policies.iter().map(|policy| &***policy)),
        normalization: normalization.unwrap_or_default(),
        spreads: RefCell::default(),
    }
}

fn parents(place: &Place) -> Vec<RouteParent> {
    match place {
        Place::Port(at) => vec![
            RouteParent::ServicePort(at.clone()),
            RouteParent::Service(at.service.clone()),
        ],
        Place::Bind(key) => vec![RouteParent::Bind(key.clone())],
        Place::Workload => Vec::new(),
    }
}

/// What policies can be attached to that then apply here.
fn targets(place: &Place, gateway: &Gateway) -> Vec<Target> {
    let mut targets = vec![
        Target::Mesh,
        Target::Namespace(gateway.name.namespace.clone()),
        Target::Gateway(gateway.name.clone()),
    ];
    match place {
        Place::Port(at) => {
            targets.push(Target::Service(at.service.clone()));
            targets.push(Target::ServicePort(at.clone()));
        }
        Place::Bind(key) => {
            if let Some((_, listener)) = key.rsplit_once('/') {
                targets.push(Target::Listener(gateway.name.clone(), listener.into()));
            }
        }
        Place::Workload => {}
    }
    targets
}

// === impl Place, Rule ===

impl Place {
    fn of(frontend: &Frontend) -> Self {
        match frontend {
            Frontend::Service { service, port, .. } => Self::Port(ServicePort {
                service: service.hostname.clone(),
                port: *port,
            }),
            Frontend::Workload { .. } => Self::Workload,
            Frontend::Listener { bind, .. } => Self::Bind(bind.clone()),
        }
    }
}

impl Rule {
    /// The rule itself.
    #[must_use]
    pub fn http(&self) -> Option<&HttpRule> {
        match &self.route.rules {
            Rules::Http { rules, .. } => rules.get(self.rule),
            _ => None,
        }
    }

    /// The destination itself.
    #[must_use]
    pub fn http_backend(&self) -> Option<&HttpBackend> {
        match &self.http()?.action {
            HttpAction::Forward(backends) => backends.get(self.backend?),
            HttpAction::Redirect(_) | HttpAction::Respond(_) => None,
        }
    }

    /// As logs name it: Istio's `<namespace>.<name>.<rule>`.
    #[must_use]
    pub fn name(&self) -> Strng {
        let name = &self.route.object.name;
        match self.http().and_then(|rule| rule.name.as_ref()) {
            Some(rule) => format!("{}.{}.{rule}", name.namespace, name.name).into(),
            None => format!("{}.{}.{}", name.namespace, name.name, self.rule).into(),
        }
    }
}

/// More than one waypoint serves; beyond it, what was not used for a while is made again when it is.
const MOST_TABLES: usize = 10_000;
const STALE: std::time::Duration = std::time::Duration::from_secs(600);
