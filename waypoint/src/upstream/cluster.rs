//! A destination and its endpoints, as they are now.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mesh_hbone::Hop;
use mesh_model::l7::backend::Location;
use mesh_model::l7::route::Destination;
use mesh_model::l7::{PolicyKind, ServicePort, Target};
use mesh_model::workload::TunnelProtocol;
use mesh_model::{AppProtocol, Service, Workload};
use mesh_net::DialOptions;
use mesh_state::View;
use mesh_state::l7::L7Snapshot;
use mesh_tls::ExpectedPeers;
use mesh_types::{NextHop, Strng, WorkloadUid, ports};
use tokio::time::Instant;

use super::Shared;
use super::http::HttpConnections;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterKey {
    /// The endpoints of a service's port, or a subset of them.
    Service(ServicePort, Option<Strng>),
    /// A port of a workload.
    Workload(WorkloadUid, SocketAddr),
    /// A backend, by its name.
    Backend(Strng),
}

/// A destination on one worker.
pub struct Cluster {
    key: ClusterKey,
    name: Strng,
    /// What had been seen of all changes when the endpoints were looked up.
    seen: Cell<u64>,
    now: RefCell<Now>,
    /// Requests that are under way.
    pub(crate) active: Rc<Cell<u32>>,
    /// Of those, second and further tries.
    pub(crate) retrying: Rc<Cell<u32>>,
}

#[derive(Default)]
struct Now {
    exists: bool,
    protocol: AppProtocol,
    endpoints: Rc<[Rc<Endpoint>]>,
}

/// One endpoint of a destination.
pub struct Endpoint {
    /// Its workload, where it is one.
    pub workload: Option<Arc<Workload>>,
    /// Where the application listens.
    pub address: SocketAddr,
    /// Its share relative to others; never 0.
    pub weight: u32,
    /// Requests and connections that are under way on this worker.
    pub active: Rc<Cell<u32>>,
    /// How it is reached.
    pub(crate) way: Way,
    /// Connections that carry requests.
    pub(crate) http: HttpConnections,
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// As it is.
    Plain,
    /// Through a tunnel.
    Tunnel(Box<Hop>),
}

/// What an endpoint is recognised by when the destination is looked up again: with its connections it stays.
#[derive(PartialEq, Eq, Hash)]
struct Same {
    uid: Option<WorkloadUid>,
    address: SocketAddr,
    tunnel: bool,
    expected: Option<ExpectedPeers>,
}

impl Cluster {
    pub(super) fn new(key: ClusterKey) -> Self {
        Self {
            name: key.to_string().into(),
            key,
            seen: Cell::new(0),
            now: RefCell::default(),
            active: Rc::default(),
            retrying: Rc::default(),
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

    /// Its endpoints; none that must not be used.
    #[must_use]
    pub fn endpoints(&self) -> Rc<[Rc<Endpoint>]> {
        self.now.borrow().endpoints.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.now.borrow().endpoints.is_empty()
    }

    pub(super) fn close_idle(&self, now: Instant, after: Duration) {
        for endpoint in self.endpoints().iter() {
            endpoint.http.close_idle(now, after);
        }
    }

    pub(super) fn refresh(&self, shared: &Shared, seen: u64) {
        if self.seen.replace(seen) == seen {
            return;
        }
        let snapshot = shared.l7.snapshot();
        let found = shared
            .state
            .query(|view| look_up(&self.key, view, &snapshot, shared));
        let mut now = self.now.borrow_mut();
        let Some((protocol, found)) = found else {
            *now = Now::default();
            return;
        };
        let mut old: HashMap<_, _> = now.endpoints.iter().map(|e| (e.same(), e.clone())).collect();
        let endpoints = found.into_iter().map(|new| match old.remove(&new.same()) {
            // The workload's labels or weight may have changed; its connections live on.
            Some(old) if old.weight == new.weight && old.workload == new.workload => old,
            Some(old) => Rc::new(Endpoint {
                http: old.http.clone(),
                active: old.active.clone(),
                ..new
            }),
            None => Rc::new(new),
        });
        *now = Now {
            exists: true,
            protocol,
            endpoints: endpoints.collect(),
        };
        // Endpoints that are gone take nothing new; what is under way there ends by itself.
        old.values().for_each(|gone| gone.http.retire());
    }
}

type Found = (AppProtocol, Vec<Endpoint>);

fn look_up(key: &ClusterKey, view: &View, snapshot: &L7Snapshot, shared: &Shared) -> Option<Found> {
    match key {
        ClusterKey::Service(at, subset) => {
            let service = view.service_by_name(&at.service)?;
            let port = service.ports.get(at.port)?;
            let labels = match subset {
                Some(name) => Some(subset_labels(snapshot, at, name)?),
                None => None,
            };
            // Labels of workloads are not on the wire; what cannot be told apart is not guessed.
            let none_match = labels.is_some_and(|labels| !labels.is_empty());
            let endpoints = match none_match {
                true => Vec::new(),
                false => of_service(view, service, at.port, shared),
            };
            Some((port.app_protocol, endpoints))
        }
        ClusterKey::Workload(uid, address) => {
            let workload = view.workload_by_uid(uid)?;
            let endpoint = Endpoint::of_workload(workload, *address, None, shared);
            Some((AppProtocol::Unknown, vec![endpoint]))
        }
        ClusterKey::Backend(name) => match &snapshot.backend(name)?.location {
            Location::Static(addresses) => {
                let endpoints = addresses.iter().map(|address| Endpoint::plain(*address));
                Some((AppProtocol::Unknown, endpoints.collect()))
            }
            // Whoever resolves names fills these in; without, they have no endpoint.
            Location::Dns { .. } | Location::Dynamic { .. } => Some((AppProtocol::Unknown, Vec::new())),
        },
    }
}

fn subset_labels<'s>(
    snapshot: &'s L7Snapshot,
    at: &ServicePort,
    name: &Strng,
) -> Option<&'s Vec<(Strng, Strng)>> {
    let attached = snapshot.policies_of(&Target::Service(at.service.clone()))?;
    attached.iter().find_map(|policy| match &policy.kind {
        PolicyKind::Traffic(rules) => {
            let subset = rules.subsets.iter().find(|subset| subset.name == *name);
            subset.map(|subset| &subset.labels)
        }
        _ => None,
    })
}

fn of_service(view: &View, service: &Arc<Service>, port: u16, shared: &Shared) -> Vec<Endpoint> {
    let endpoints = view.endpoints(service).as_slice().iter();
    let usable = endpoints.filter_map(|endpoint| {
        let workload = &endpoint.workload;
        if workload.capacity == 0 || workload.network != shared.network {
            return None;
        }
        let mapped = endpoint.ports().get(port).and_then(|p| p.target_port);
        let general = || service.ports.get(port).and_then(|p| p.target_port);
        let target = mapped.or_else(general)?;
        let address = address(workload, service)?;
        Some(Endpoint::of_workload(
            workload,
            SocketAddr::new(address, target),
            Some(service),
            shared,
        ))
    });
    usable.collect()
}

fn address(workload: &Workload, service: &Service) -> Option<IpAddr> {
    let mut accepted = workload
        .addresses
        .iter()
        .filter(|ip| service.ip_families.accept(**ip));
    accepted.next().copied()
}

impl Endpoint {
    fn plain(address: SocketAddr) -> Self {
        Self {
            workload: None,
            address,
            weight: 1,
            active: Rc::default(),
            way: Way::Plain,
            http: HttpConnections::default(),
        }
    }

    fn of_workload(
        workload: &Arc<Workload>,
        address: SocketAddr,
        service: Option<&Service>,
        shared: &Shared,
    ) -> Self {
        let way = match workload.tunnel_protocol {
            TunnelProtocol::None => Way::Plain,
            TunnelProtocol::Hbone => Way::Tunnel(Box::new(Hop {
                next: NextHop::new(SocketAddr::new(address.ip(), ports::HBONE)),
                netns: None,
                dial: DialOptions {
                    connect_timeout: shared.settings.connect_timeout,
                    ..DialOptions::default()
                },
                source: shared.identity.clone(),
                expected: ExpectedPeers::identity_or(
                    &workload.identity,
                    service.iter().flat_map(|s| s.subject_alt_names.iter().cloned()),
                ),
                source_ip: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
                instance: workload.uid.clone(),
            })),
        };
        Self {
            workload: Some(workload.clone()),
            weight: workload.capacity.max(1),
            way,
            ..Self::plain(address)
        }
    }

    fn same(&self) -> Same {
        let expected = match &self.way {
            Way::Plain => None,
            Way::Tunnel(hop) => Some(hop.expected.clone()),
        };
        Same {
            uid: self.workload.as_ref().map(|w| w.uid.clone()),
            address: self.address,
            tunnel: expected.is_some(),
            expected,
        }
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
    /// Istio's form for an inbound VIP cluster, as in access logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(at, subset) => {
                let port = at.port;
                let host = &at.service.hostname;
                match subset {
                    Some(subset) => write!(f, "inbound-vip|{port}|http/{subset}|{host}"),
                    None => write!(f, "inbound-vip|{port}|http|{host}"),
                }
            }
            Self::Workload(..) => f.write_str("encap"),
            Self::Backend(name) => f.write_str(name),
        }
    }
}
