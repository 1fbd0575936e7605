//! A destination and its endpoints, as they are now.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_balance::{Counter, Member, Outcome, Permit, Picker, Places, Settings};
use mesh_model::l7::ServicePort;
use mesh_model::l7::route::Destination;
use mesh_model::l7::traffic::HashKey;
use mesh_model::{AppProtocol, GatewayRef, Service};
use mesh_types::{Strng, WorkloadUid};
use tokio::time::Instant;

use super::endpoint::{Endpoint, Found};
use super::http::HttpConnections;
use super::lookup::Looking;
use super::registry::Common;
use super::rules::Rules;
use super::{Shared, health, session};

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterKey {
    /// The endpoints of a service's port, or a subset of them.
    Service(ServicePort, Option<Strng>),
    /// One of the many that a service stands for.
    Toward(ServicePort, Option<Strng>, Toward),
    /// A service's port, through its waypoint.
    Through(ServicePort, GatewayRef),
    /// A port of a workload.
    Workload(WorkloadUid, SocketAddr),
    /// A backend, by its name.
    Backend(Strng),
    /// A host of a backend that has any below its suffixes.
    Host(Strng, Strng),
}

/// Which of the many that a service stands for: each request says so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Toward {
    /// A host below its wildcard.
    Host(Strng),
    /// Where the client was going: the service is passed through.
    Address(SocketAddr),
}

/// A destination on one worker.
pub struct Cluster {
    pub(super) key: ClusterKey,
    name: Strng,
    /// What all workers know of it.
    pub(crate) common: Arc<Common>,
    /// What had been seen of all changes when the endpoints were looked up.
    seen: Cell<u64>,
    now: RefCell<Now>,
    /// This worker asks the endpoints whether they are well.
    pub(super) checking: Cell<bool>,
}

#[derive(Default)]
struct Now {
    exists: bool,
    passed_through: bool,
    resolving: bool,
    /// Endpoints in other networks, to which there is no way.
    elsewhere: usize,
    /// What comes from outside passes its waypoint.
    guarded: Option<Arc<Service>>,
    names: Rc<[Strng]>,
    protocol: AppProtocol,
    rules: Option<Rc<Rules>>,
    own: Places,
    endpoints: Rc<[Rc<Endpoint>]>,
    picker: Option<Picker>,
    /// Places of endpoints by what sessions call them.
    sessions: HashMap<u64, usize>,
    /// Endpoints that take nothing new, by what sessions call them: those stay until they are gone.
    leaving: HashMap<u64, Rc<Endpoint>>,
    /// Where keys of clients were kept when those that leave were still there; absent where that makes no difference.
    before: Option<Before>,
}

/// Endpoints and those that leave, as keys were kept together before.
struct Before {
    picker: Picker,
    endpoints: Vec<Rc<Endpoint>>,
    /// From here on they leave.
    leaving: usize,
}

/// What is known of a request when an endpoint is picked for it.
#[derive(Clone, Copy, Default)]
pub struct Ask<'a> {
    /// Endpoints that were tried in vain: others are picked while there are any.
    pub tried: &'a [Rc<Endpoint>],
    /// What is hashed, where equal keys are kept together.
    pub hash: Option<u64>,
    /// Whoever it is hashed for was here before: an endpoint that takes nothing new may be theirs.
    pub stays: bool,
    /// The endpoint that the client had, as its session calls it.
    pub session: Option<u64>,
    /// Another one may be in a place that is not next in turn.
    pub anywhere: bool,
}

impl Cluster {
    pub(super) fn new(key: ClusterKey, shared: &Shared) -> Self {
        Self {
            name: key.to_string().into(),
            common: shared.registry.common(&key),
            key,
            seen: Cell::new(0),
            now: RefCell::default(),
            checking: Cell::new(false),
        }
    }

    /// Its name, for logs.
    #[must_use]
    pub fn name(&self) -> &Strng {
        &self.name
    }

    /// What is spoken there.
    #[must_use]
    pub fn protocol(&self) -> AppProtocol {
        self.now.borrow().protocol
    }

    /// Whether there is such a destination at all.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.now.borrow().exists
    }

    /// Whether its endpoint is wherever a client was going.
    pub(super) fn is_passed_through(&self) -> bool {
        self.now.borrow().passed_through
    }

    /// The service, where what comes from outside has to pass its waypoint.
    pub(super) fn guarded(&self) -> Option<Arc<Service>> {
        self.now.borrow().guarded.clone()
    }

    /// How many endpoints are in other networks, where it has no others.
    pub(crate) fn only_elsewhere(&self) -> Option<usize> {
        let now = self.now.borrow();
        (now.elsewhere > 0 && now.endpoints.is_empty()).then_some(now.elsewhere)
    }

    /// Its endpoints, well or not.
    #[must_use]
    pub fn endpoints(&self) -> Rc<[Rc<Endpoint>]> {
        self.now.borrow().endpoints.clone()
    }

    /// What counts for it; nothing if it does not exist.
    pub(crate) fn rules(&self) -> Option<Rc<Rules>> {
        self.now.borrow().rules.clone()
    }

    /// The endpoint that takes a request; nothing when none may.
    #[must_use]
    pub fn pick(&self, ask: &Ask<'_>) -> Option<Rc<Endpoint>> {
        let now = &mut *self.now.borrow_mut();
        let picker = now.picker.as_mut()?;
        let moment = self.common.now();
        if picker.is_stale(&self.common.group, moment) {
            picker.renew(&self.common.group, moment);
        }
        if let Some(had) = ask.session.filter(|_| ask.tried.is_empty()) {
            if let Some(at) = now.sessions.get(&had).filter(|at| picker.is_usable(**at)) {
                return Some(now.endpoints[*at].clone());
            }
            if let Some(leaving) = now.leaving.get(&had).filter(|e| e.host.is_well(moment)) {
                return Some(leaving.clone());
            }
        }
        if let Some(hash) = ask.hash.filter(|_| ask.stays && ask.tried.is_empty())
            && let Some(kept) = now
                .before
                .as_mut()
                .and_then(|before| before.pick(hash, &self.common))
        {
            return Some(kept);
        }
        let place = |tried: &Rc<Endpoint>| {
            let same = |endpoint: &Rc<Endpoint>| Arc::ptr_eq(&endpoint.host, &tried.host);
            u32::try_from(now.endpoints.iter().position(same)?).ok()
        };
        // Allocates only for a second try.
        let tried: Vec<u32> = ask.tried.iter().filter_map(place).collect();
        let ask = mesh_balance::Ask {
            tried: &tried,
            hash: ask.hash,
            anywhere: ask.anywhere,
        };
        let picked = picker.pick(&ask, moment, &mut || fastrand::u64(..))?;
        Some(now.endpoints[picked].clone())
    }

    /// One more request, unless there are too many.
    pub(crate) fn begin(&self) -> Option<Permit> {
        let most = self.rules().and_then(|rules| rules.limits().max_requests);
        self.common.group.permit(Counter::Requests, most)
    }

    /// One more retry, unless there are too many.
    pub(crate) fn retry(&self) -> Option<Permit> {
        let (budget, most) = self.rules()?.retries();
        self.common.group.retry_permit(&budget, most)
    }

    /// A try at an endpoint ended, after so long: what becomes of the endpoint follows.
    pub(crate) fn ended(&self, endpoint: &Endpoint, outcome: Outcome, took: Option<Duration>) {
        let rules = &endpoint.rules;
        if took.is_none() && rules.outliers().is_none() {
            return;
        }
        let now = self.common.now();
        if let Some(took) = took {
            endpoint.host.answered(took, now);
        }
        let Some(outliers) = rules.outliers() else { return };
        let group = &self.common.group;
        let own = group.report(&endpoint.host, outcome, outliers, now);
        let own = own.map(|ejection| (endpoint.host.key().clone(), ejection));
        for (endpoint, ejection) in own.into_iter().chain(group.compare(outliers, now)) {
            let (reason, out) = (ejection.reason.as_str(), ejection.until.since(now));
            let seconds = out.as_secs_f64();
            tracing::info!(cluster = %self.name, %endpoint, reason, seconds, "an endpoint is left out");
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.borrow().endpoints.is_empty()
    }

    /// Hosts that its endpoints go by.
    pub(super) fn names(&self) -> Rc<[Strng]> {
        self.now.borrow().names.clone()
    }

    /// Some endpoint's name is not resolved yet.
    pub(super) fn is_resolving(&self) -> bool {
        self.now.borrow().resolving
    }

    /// Says whether any connection is left.
    pub(super) fn close_idle(&self, now: Instant, after: Duration) -> bool {
        let mut used = false;
        let leaving: Vec<_> = self.now.borrow().leaving.values().cloned().collect();
        for endpoint in self.endpoints().iter().chain(&leaving) {
            let after = endpoint.rules.limits().http_idle_timeout.unwrap_or(after);
            used |= endpoint.http.close_idle(now, after) || endpoint.host.active() > 0;
        }
        used
    }

    pub(super) fn refresh(self: &Rc<Self>, shared: &Rc<Shared>, seen: u64) {
        if self.seen.replace(seen) != seen {
            self.look(shared);
        }
        health::watch(self, shared);
    }

    /// Looks everything up again. What did not change stays as it is, with its connections.
    fn look(&self, shared: &Shared) {
        let snapshot = shared.l7.snapshot();
        let now = &mut *self.now.borrow_mut();
        let rules = Rules::of(&self.key, &snapshot, &shared.gateway, now.rules.as_ref());
        let found = shared.state.query(|view| {
            let looking = Looking {
                view,
                snapshot: &snapshot,
                rules: &rules,
                shared,
            };
            (looking.look_up(&self.key), shared.own_places(view, &snapshot))
        });
        let (Some(found), own) = found else {
            let gone = now.endpoints.iter().chain(now.leaving.values());
            gone.for_each(|gone| gone.http.retire());
            *now = Now::default();
            return;
        };
        let moment = self.common.now();
        let mut old: HashMap<Strng, Rc<Endpoint>> = now
            .endpoints
            .iter()
            .chain(now.leaving.values())
            .map(|e| (e.host.key().clone(), e.clone()))
            .collect();
        let mut changed = now.endpoints.len() != found.endpoints.len();
        let mut as_it_was = |found: Found| {
            let key = found.key();
            match old.remove(&key) {
                Some(old) if old.is(&found, &rules) => (old, true),
                old => {
                    let host = self.common.group.host(&key, moment);
                    let made = Endpoint::new(found, host, old.as_deref(), &rules, &self.common);
                    (Rc::new(made), false)
                }
            }
        };
        let mut endpoints = Vec::with_capacity(found.endpoints.len());
        for found in found.endpoints {
            let (endpoint, same) = as_it_was(found);
            changed |= !same;
            endpoints.push(endpoint);
        }
        let leaving = found.leaving.into_iter().map(|found| {
            let (endpoint, _) = as_it_was(found);
            (session::name(endpoint.host.key()), endpoint)
        });
        now.leaving = leaving.collect();
        // Endpoints that are gone take nothing new; what is under way there ends by itself.
        old.values().for_each(|gone| gone.http.retire());
        let settings = rules.balance(found.balancing.as_ref());
        let settings_before = settings.clone();
        let same = now
            .picker
            .as_ref()
            .is_some_and(|picker| *picker.settings() == settings);
        // The order may have changed and nothing else.
        let moved = || {
            now.endpoints
                .iter()
                .zip(&endpoints)
                .any(|(a, b)| !Rc::ptr_eq(a, b))
        };
        if !same || changed || now.own != own || moved() {
            let members = endpoints.iter().map(|endpoint| endpoint.member()).collect();
            now.picker = Some(Picker::new(settings, members, &own, &self.common.group, moment));
            let names = endpoints.iter().enumerate();
            now.sessions = names.map(|(at, e)| (session::name(e.host.key()), at)).collect();
            now.endpoints = endpoints.into();
            now.own = own;
        }
        now.before = Before::of(now, &rules, settings_before, &self.common);
        (now.exists, now.resolving, now.protocol) = (true, found.resolving, found.protocol);
        if self.common.tells_of_elsewhere(found.elsewhere) {
            let left_out = found.elsewhere;
            tracing::warn!(cluster = %self.name, left_out, "endpoints are in other networks, to which there is no way");
        }
        (now.elsewhere, now.guarded) = (found.elsewhere, found.guarded);
        now.passed_through = found.passed_through;
        now.names = found.names.into();
        now.rules = Some(rules);
    }
}

impl Before {
    /// Nothing where no cookie is hashed, or nobody leaves.
    fn of(now: &Now, rules: &Rules, settings: Settings, common: &Common) -> Option<Self> {
        let by_cookie = matches!(rules.hash_key(), Some(HashKey::Cookie { .. }));
        if !by_cookie || now.leaving.is_empty() {
            return None;
        }
        let endpoints: Vec<_> = now
            .endpoints
            .iter()
            .chain(now.leaving.values())
            .cloned()
            .collect();
        let members = endpoints.iter().map(|endpoint| endpoint.member()).collect();
        Some(Self {
            picker: Picker::new(settings, members, &now.own, &common.group, common.now()),
            leaving: now.endpoints.len(),
            endpoints,
        })
    }

    /// The endpoint that the key had, if that is one that leaves and is well.
    fn pick(&mut self, hash: u64, common: &Common) -> Option<Rc<Endpoint>> {
        let moment = common.now();
        if self.picker.is_stale(&common.group, moment) {
            self.picker.renew(&common.group, moment);
        }
        let ask = mesh_balance::Ask {
            hash: Some(hash),
            ..mesh_balance::Ask::default()
        };
        let picked = self.picker.pick(&ask, moment, &mut || fastrand::u64(..))?;
        let had = self.endpoints.get(picked).filter(|_| picked >= self.leaving)?;
        had.host.is_well(moment).then(|| had.clone())
    }
}

impl Endpoint {
    fn member(&self) -> Member {
        Member {
            host: self.host.clone(),
            weight: self.weight,
            places: self.places.clone(),
        }
    }

    fn new(
        found: Found,
        host: Arc<mesh_balance::Host>,
        old: Option<&Self>,
        rules: &Rc<Rules>,
        common: &Arc<Common>,
    ) -> Self {
        // The workload's labels or weight may have changed; its connections live on.
        let connections = old.filter(|old| old.way == found.way && old.rules.connects_as(rules));
        if let (Some(old), None) = (old, connections) {
            old.http.retire();
        }
        Self {
            http: connections.map_or_else(HttpConnections::default, |old| old.http.clone()),
            workload: found.workload,
            address: found.address,
            weight: found.weight,
            host,
            places: found.places,
            way: found.way,
            rules: rules.clone(),
            common: common.clone(),
        }
    }

    /// Whether it is as it was found.
    fn is(&self, found: &Found, rules: &Rc<Rules>) -> bool {
        Rc::ptr_eq(&self.rules, rules)
            && self.weight == found.weight
            && self.places == found.places
            && self.way == found.way
            && self.workload == found.workload
    }
}

impl ClusterKey {
    /// That of a rule's destination; absent for an invalid one.
    #[must_use]
    pub fn of(destination: &Destination) -> Option<Self> {
        match destination {
            Destination::Service { service, subset } => Some(Self::Service(service.clone(), subset.clone())),
            Destination::Backend(name) => Some(Self::Backend(name.clone())),
            Destination::Invalid(_) => None,
        }
    }
}

impl std::fmt::Display for ClusterKey {
    /// Istio's form for an inbound VIP cluster of requests, as in access logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.named("http"))
    }
}

impl ClusterKey {
    /// The same for connections whose bytes nobody here reads.
    pub(crate) fn of_bytes(&self) -> Strng {
        self.named("tcp").into()
    }

    fn named(&self, protocol: &str) -> String {
        match self {
            Self::Service(at, subset) | Self::Toward(at, subset, _) => {
                let port = at.port;
                let host = &at.service.hostname;
                match subset {
                    Some(subset) => format!("inbound-vip|{port}|{protocol}/{subset}|{host}"),
                    None => format!("inbound-vip|{port}|{protocol}|{host}"),
                }
            }
            Self::Through(at, _) => format!("inbound-vip|{}|{protocol}|{}", at.port, at.service.hostname),
            Self::Workload(..) => "encap".to_owned(),
            Self::Backend(name) | Self::Host(name, _) => name.to_string(),
        }
    }
}
