//! Where a request or connection goes, and whether it may.
//!
//! # Layout
//! - this file: [`Routed`], the answer, and [`Tables`], which keep what was compiled.
//! - `compiled`: what applies to one frontend, kept up to date route by route.
//! - `applies`: to which rules more policies are attached. `memory`: what a rule keeps from request to request.
//! - `choose`: one request, one rule, one destination. `connections`: the same of connections.

mod applies;
mod choose;
mod compiled;
mod connections;
mod memory;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use mesh_model::l7::attach::Place;
use mesh_model::l7::resilience::{Retry, Timeouts};
use mesh_model::l7::route::{HttpAction, HttpBackend, HttpRule, Rules};
use mesh_model::l7::{Route, ServicePort};
use mesh_state::Generation;
use mesh_state::l7::L7Snapshot;
use mesh_types::{Strng, WorkloadUid};
use tokio::time::Instant;

use compiled::Sources;

use crate::frontend::{Frontend, Gateway};
use crate::reply::LocalReply;
use crate::upstream::ClusterKey;

pub use compiled::Compiled;

/// Where a request goes.
#[derive(Clone, Debug)]
pub enum Routed {
    /// To an endpoint of this.
    Forward(Forward),
    /// Nowhere: it is answered here.
    Reply(Box<Replied>),
}

/// An answer from here.
#[derive(Clone, Debug)]
pub struct Replied {
    /// The answer.
    pub reply: LocalReply,
    /// The rule that wants it; absent where nothing matched, or what matched cannot be carried out.
    pub rule: Option<Rule>,
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

#[derive(Debug)]
struct Kept {
    /// The snapshot that it was last found to be up to date with.
    checked: Generation,
    sources: Sources,
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
            kept.compiled = kept.compiled.with(&mut kept.sources, snapshot, &place);
            kept.checked = snapshot.generation();
            return kept.compiled.clone();
        }
        if tables.len() >= MOST_TABLES {
            tables.retain(|_, kept| kept.used.elapsed() < STALE);
        }
        let sources = Sources::of(snapshot, &place);
        let compiled = Rc::new(Compiled::new(&sources, snapshot, &place));
        let kept = Kept {
            checked: snapshot.generation(),
            sources,
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
            None => LocalReply::no_route().into(),
        }
    }
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

// === impl Routed ===

impl Routed {
    /// The rule that takes a request.
    #[must_use]
    pub fn rule(&self) -> Option<&Rule> {
        match self {
            Self::Forward(forward) => forward.rule.as_ref(),
            Self::Reply(replied) => replied.rule.as_ref(),
        }
    }
}

impl From<LocalReply> for Routed {
    fn from(reply: LocalReply) -> Self {
        Self::Reply(Box::new(Replied { reply, rule: None }))
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

    /// Whether it has several destinations.
    #[must_use]
    pub(crate) fn has_shares(&self) -> bool {
        let action = self.http().map(|rule| &rule.action);
        matches!(action, Some(HttpAction::Forward(backends)) if backends.len() > 1)
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

/// More than one waypoint serves; beyond it, what was not used for a while is made again when it is.
const MOST_TABLES: usize = 10_000;
const STALE: std::time::Duration = std::time::Duration::from_secs(600);
