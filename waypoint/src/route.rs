//! Where a request or connection goes, and whether it may.
//!
//! # Layout
//! - this file: [`Routed`], the answer, and [`Tables`], which keep what was compiled.
//! - `applies`: to which rules more policies are attached.
//! - `choose`: one request, one rule, one destination. `connections`: the same of connections.

mod applies;
mod choose;
mod connections;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::attach::Place;
use mesh_model::l7::policy::PathNormalization;
use mesh_model::l7::resilience::{Retry, Timeouts};
use mesh_model::l7::route::{HttpAction, HttpBackend, HttpRule, RouteParent, Rules};
use mesh_model::l7::select::{Hostnames, RouteTable, Spread};
use mesh_model::l7::{Route, ServicePort};
use mesh_state::Generation;
use mesh_state::l7::L7Snapshot;
use mesh_types::{Strng, WorkloadUid};
use tokio::time::Instant;

use applies::Applies;

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
    /// As logs name it: Istio's `<namespace>.<name>.<rule>`.
    pub name: Strng,
    /// The place of the destination in the rule; absent for answers from here.
    pub backend: Option<usize>,
    /// Which of the rule's matches took it.
    pub matched: Option<usize>,
}

/// What was compiled on a worker, by what it is for. Nothing is compiled twice while what it was made of stays.
#[derive(Debug, Default)]
pub struct Tables {
    compiled: RefCell<HashMap<Place, Kept>>,
}

/// Everything that applies to one frontend.
#[derive(Debug)]
pub struct Compiled {
    /// What it was compiled for.
    pub generation: Generation,
    /// Its routes.
    pub routes: RouteTable,
    /// The policies that apply, as far as they do not depend on the rule.
    pub applied: Rc<Applied>,
    /// How paths are made comparable, which is done before a route is known.
    pub normalization: PathNormalization,
    applies: Applies,
    /// What goes on from request to request, by the address of the route, which the table holds, and the rule's place.
    memories: RefCell<HashMap<(usize, usize), Rc<Memory>>>,
}

/// What a rule keeps from request to request.
#[derive(Debug)]
struct Memory {
    name: Strng,
    /// The shares of its destinations go on where they were.
    spread: Spread,
    retry: Rc<Retry>,
}

#[derive(Debug)]
struct Kept {
    /// The snapshot that it was last found to be up to date with.
    checked: Generation,
    made_of: Vec<Option<Generation>>,
    compiled: Rc<Compiled>,
    used: Instant,
}

impl Tables {
    /// What applies to a frontend, as of a snapshot.
    #[must_use]
    pub fn compiled(&self, snapshot: &L7Snapshot, frontend: &Frontend, gateway: &Gateway) -> Rc<Compiled> {
        let place = place(frontend, gateway);
        let mut tables = self.compiled.borrow_mut();
        if let Some(kept) = tables.get_mut(&place) {
            kept.used = Instant::now();
            if kept.checked == snapshot.generation() {
                return kept.compiled.clone();
            }
            if kept.made_of == made_of(snapshot, &place) {
                kept.checked = snapshot.generation();
                return kept.compiled.clone();
            }
        }
        if tables.len() >= MOST_TABLES {
            tables.retain(|_, kept| kept.used.elapsed() < STALE);
        }
        let compiled = Rc::new(compile(snapshot, &place));
        let kept = Kept {
            checked: snapshot.generation(),
            made_of: made_of(snapshot, &place),
            compiled: compiled.clone(),
            used: Instant::now(),
        };
        tables.insert(place, kept);
        compiled
    }

    /// Straight to the endpoints of what was asked for: what a service without any route gets (Istio: no timeout, two
    /// more tries where nothing is done twice).
    #[must_use]
    pub fn straight(&self, compiled: &Compiled, frontend: &Frontend) -> Routed {
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
                retry: compiled.applied.retry.clone(),
                rule: None,
            }),
            None => Routed::Reply(Box::new(LocalReply::no_route())),
        }
    }
}

/// The routes' places and the policies' targets of a frontend, each with the generation in which it last changed.
fn made_of(snapshot: &L7Snapshot, place: &Place) -> Vec<Option<Generation>> {
    let routes = parents(place);
    let routes = routes
        .iter()
        .map(|p| snapshot.routes_of(p).map(|a| a.generation()));
    let policies = place.targets();
    let policies = policies
        .iter()
        .map(|t| snapshot.policies_of(t).map(|a| a.generation()));
    let of_routes = std::iter::once(snapshot.route_policies());
    routes.chain(policies).chain(of_routes).collect()
}

fn compile(snapshot: &L7Snapshot, place: &Place) -> Compiled {
    let hostnames = match place.listener {
        Some(_) => Hostnames::Matched,
        None => Hostnames::Ignored,
    };
    let parents = parents(place);
    let attached: Vec<_> = parents
        .iter()
        .filter_map(|parent| snapshot.routes_of(parent))
        .collect();
    let mut routes: Vec<Arc<Route>> = attached.iter().flat_map(|a| a.iter().cloned()).collect();
    // A route may name a service and a port of it: it is one and the same then.
    if attached.len() > 1 {
        routes.sort_by_key(|route| Arc::as_ptr(route).addr());
        routes.dedup_by(|a, b| Arc::ptr_eq(a, b));
    }
    let applies = Applies::compile(snapshot, place, &routes);
    Compiled {
        generation: snapshot.generation(),
        normalization: applies.here().effective.path_normalization(),
        routes: RouteTable::compile(routes, hostnames),
        applied: applies.here().clone(),
        applies,
        memories: RefCell::default(),
    }
}

/// What routes are attached to that apply at a place.
fn parents(place: &Place) -> Vec<RouteParent> {
    let listener = place.listener.iter();
    let bind = listener.map(|listener| RouteParent::Bind(format!("{}/{listener}", place.gateway).into()));
    let service = place.service.iter().flat_map(|service| {
        let port = place.port.map(|port| {
            let service = service.clone();
            RouteParent::ServicePort(ServicePort { service, port })
        });
        port.into_iter().chain([RouteParent::Service(service.clone())])
    });
    bind.chain(service).collect()
}

/// Where something came in, as policies see it.
fn place(frontend: &Frontend, gateway: &Gateway) -> Place {
    let place = Place::at(gateway.name.clone());
    match frontend {
        Frontend::Service { service, port, .. } => place.with_service(ServicePort {
            service: service.hostname.clone(),
            port: *port,
        }),
        Frontend::Workload { .. } => place,
        // A bind's key ends with the listener.
        Frontend::Listener { bind, .. } => match bind.rsplit_once('/') {
            Some((_, listener)) => place.with_listener(listener.into()),
            None => place,
        },
    }
}

impl Compiled {
    /// The policies that apply to what a rule takes, with those that are attached to it.
    #[must_use]
    pub fn applied_to(&self, rule: Option<&Rule>) -> &Rc<Applied> {
        match rule {
            Some(rule) => self.applies.at(&rule.route, rule.rule),
            None => self.applies.here(),
        }
    }
}

// === impl Rule ===

impl Rule {
    /// The rule itself.
    #[must_use]
    pub fn http(&self) -> Option<&HttpRule> {
        match &self.route.rules {
            Rules::Http { rules, .. } => rules.get(self.rule),
            Rules::Tls(_) | Rules::Tcp(_) => None,
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
}

// === impl Memory ===

impl Memory {
    fn new(applies: &Applies, route: &Route, place: usize) -> Self {
        let (name, retry) = match &route.rules {
            Rules::Http { rules, .. } => {
                let rule = rules.get(place);
                (
                    rule.and_then(|r| r.name.as_ref()),
                    rule.and_then(|r| r.retry.as_ref()),
                )
            }
            Rules::Tls(rules) => (rules.get(place).and_then(|rule| rule.name.as_ref()), None),
            Rules::Tcp(rules) => (rules.get(place).and_then(|rule| rule.name.as_ref()), None),
        };
        let object = &route.object.name;
        let name = match name {
            Some(rule) => format!("{}.{}.{rule}", object.namespace, object.name),
            None => format!("{}.{}.{place}", object.namespace, object.name),
        };
        Self {
            name: name.into(),
            spread: Spread::new(fastrand::u64(..)),
            retry: retry.map_or_else(|| applies.at(route, place).retry.clone(), |r| Rc::new(r.clone())),
        }
    }
}

/// More than one waypoint serves; beyond it, what was not used for a while is made again when it is.
const MOST_TABLES: usize = 10_000;
const STALE: std::time::Duration = std::time::Duration::from_secs(600);
