//! Where does this connection go? Pure: the state, the client, the address it asked for, and chance give the answer.
//!
//! ```text
//! own proxy port ──────────────────────────────> refused
//! an address of a workload ── has a waypoint ──> tunnel to the waypoint, for the address
//!                          ── HBONE ───────────> tunnel to it
//!                          ── otherwise ───────> plain to it
//! an address of a service ─── has a waypoint ──> tunnel to the waypoint, for the address
//!                          ── passes through ──> plain, unchanged
//!                          ── an endpoint ─────> as an address of that workload, but past the workload's own waypoint
//!                          ── none ────────────> refused
//! any other address ───────────────────────────> plain, unchanged
//! ```
//! An endpoint that has only a host name needs it resolved first ([`Need::Dns`]). What the mesh knows to take HBONE never
//! gets anything else, and what needs a feature that is not there is refused, with the reason in the access log.
//!
//! # Layout
//! - this file: the tree above.
//! - `waypoint`: whether a waypoint comes first, and what if it is missing.

mod waypoint;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::lb::{self, Choice, EndpointSet, Purpose, Random};
use mesh_model::service::IpFamilies;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{Service, Workload};
use mesh_state::{Destination, View};
use mesh_tls::ExpectedPeers;
use mesh_types::{
    Authority, NamespacedHostname, NetworkAddress, NextHop, OrigDst, Strng, WorkloadUid, ports,
};

use waypoint::First;
pub use waypoint::{Via, WaypointTrouble};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The workload that connects.
    pub client: &'a Workload,
    /// Where it wants to go.
    pub to: OrigDst,
    /// Endpoints that were just tried in vain; another one is taken where there is one.
    pub avoid: &'a [WorkloadUid],
    /// Host names that were resolved for this connection.
    pub names: &'a Names,
    /// The destination's waypoint was tried in vain, as often as is worth it.
    pub waypoint_unreachable: bool,
}

/// What host names stand for.
pub type Names = BTreeMap<Strng, Resolved>;

/// What a host name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// These addresses.
    Addresses(Arc<[IpAddr]>),
    /// Nothing; why.
    Failed(Strng),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do this.
    Plan(Plan),
    /// Find this out first, and ask again, with the same chance.
    Need(Need),
}

/// What must be known before there is a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// What this host name stands for.
    Dns(Strng),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// The mesh does not know the address: the connection goes on as it is.
    Passthrough(NextHop),
    /// The mesh knows the destination, which takes plain connections only.
    Plain(Target),
    /// Through a tunnel.
    Tunnel {
        /// The far proxy, or the waypoint.
        target: Target,
        /// What the CONNECT request asks for.
        authority: Authority,
        /// Who must be there.
        expected: ExpectedPeers,
    },
}

/// Where a connection goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address that is dialled.
    pub next: NextHop,
    /// The workload there; `None` where a service without endpoints of its own passes connections on unchanged.
    pub workload: Option<Arc<Workload>>,
    /// The service that was asked for.
    pub service: Option<Arc<Service>>,
    /// How the destination's waypoint comes into it.
    pub via: Via,
}

/// Why a connection goes nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It asked for a port of its own proxy.
    #[error("{0} is a port of the proxy itself")]
    SelfCall(SocketAddr),
    /// The service has no such port.
    #[error("service {service} has no port {port}")]
    UnknownPort {
        /// The service.
        service: NamespacedHostname,
        /// The port that was asked for.
        port: u16,
    },
    /// The service has no endpoint that could be taken.
    #[error("service {0} has no healthy endpoint within reach")]
    NoHealthyEndpoint(NamespacedHostname),
    /// The workload has no address that its service may use.
    #[error("workload {0} has no address of the families that its service uses")]
    NoAddress(WorkloadUid),
    /// The workload has only a host name, and that stands for nothing.
    #[error("workload {workload}: {error}")]
    Unresolved {
        /// The workload.
        workload: WorkloadUid,
        /// Why its host name stands for nothing.
        error: Strng,
    },
    /// The workload is in another network.
    #[error(
        "workload {workload} is in network {network:?}, and crossing networks is not supported by this version"
    )]
    OtherNetwork {
        /// The workload.
        workload: WorkloadUid,
        /// Its network.
        network: Strng,
    },
    /// The waypoint that the destination must be reached through is missing.
    #[error("waypoint {waypoint} {why}; going past it would evade its policies")]
    NoWaypoint {
        /// The waypoint.
        waypoint: Strng,
        /// What is wrong with it.
        why: WaypointTrouble,
    },
}

/// Answers the question.
///
/// # Errors
/// Says why the connection is to be closed.
pub fn plan(view: &View, question: &Question<'_>, random: &mut impl Random) -> Result<Answer, Refused> {
    match decide(view, question, random) {
        Ok(plan) => Ok(Answer::Plan(plan)),
        Err(Stop::Need(need)) => Ok(Answer::Need(need)),
        Err(Stop::Refused(refused)) => Err(refused),
    }
}

/// Why there is no plan: never, or not yet.
#[derive(Debug)]
enum Stop {
    Refused(Refused),
    Need(Need),
}

fn decide(view: &View, question: &Question<'_>, random: &mut impl Random) -> Result<Plan, Stop> {
    let Question { client, to, .. } = *question;
    if is_self_call(client, to.addr()) {
        return Err(Refused::SelfCall(to.addr()).into());
    }
    let address = NetworkAddress::new(client.network.clone(), to.ip());
    match view.destination(&address, client.namespace()) {
        None => Ok(Plan::Passthrough(NextHop::new(to.addr()))),
        Some(Destination::Workload(workload)) => to_workload(view, question, workload, random),
        Some(Destination::Service(service)) => to_service(view, question, service, random),
    }
}

/// A connection to one of the proxy's own ports in the client's pod. Without this the proxy would dial itself.
fn is_self_call(client: &Workload, to: SocketAddr) -> bool {
    let own = to.ip().is_loopback() || to.ip().is_unspecified() || client.addresses.contains(&to.ip());
    own && PROXY_PORTS.contains(&to.port())
}

fn to_workload(
    view: &View,
    question: &Question<'_>,
    workload: Arc<Workload>,
    random: &mut impl Random,
) -> Result<Plan, Stop> {
    let via = match waypoint::of_workload(view, question, &workload, random)? {
        First::Waypoint(plan) => return Ok(*plan),
        First::Destination(via) => via,
    };
    let address = SocketAddr::new(question.to.ip(), question.to.port());
    direct(question, workload, address, None, via)
}

fn to_service(
    view: &View,
    question: &Question<'_>,
    service: Arc<Service>,
    random: &mut impl Random,
) -> Result<Plan, Stop> {
    let via = match waypoint::of_service(view, question, &service, random)? {
        First::Waypoint(plan) => return Ok(*plan),
        First::Destination(via) => via,
    };
    let port = question.to.port();
    let endpoints = view.endpoints(&service);
    match pick(question, &service, endpoints, port, Purpose::Connect, random)? {
        Picked::Original => Ok(Plan::Plain(Target {
            next: NextHop::new(question.to.addr()),
            workload: None,
            service: Some(service),
            via,
        })),
        Picked::Endpoint { workload, port } => {
            let ip = reachable_address(question, &workload, service.ip_families, random)?;
            direct(question, workload, SocketAddr::new(ip, port), Some(service), via)
        }
    }
}

/// To the workload itself, at this address.
fn direct(
    question: &Question<'_>,
    workload: Arc<Workload>,
    address: SocketAddr,
    service: Option<Arc<Service>>,
    via: Via,
) -> Result<Plan, Stop> {
    check_network(question.client, &workload)?;
    if workload.tunnel_protocol == TunnelProtocol::None {
        // A host name can stand for whatever its owner likes.
        if is_self_call(question.client, address) {
            return Err(Refused::SelfCall(address).into());
        }
        return Ok(Plan::Plain(Target {
            next: NextHop::new(address),
            workload: Some(workload),
            service,
            via,
        }));
    }
    let others = service.iter().flat_map(|s| s.subject_alt_names.iter().cloned());
    Ok(Plan::Tunnel {
        expected: ExpectedPeers::identity_or(&workload.identity, others),
        authority: Authority::from(address),
        target: Target {
            next: NextHop::new(SocketAddr::new(address.ip(), ports::HBONE)),
            workload: Some(workload),
            service,
            via,
        },
    })
}

enum Picked {
    Endpoint { workload: Arc<Workload>, port: u16 },
    Original,
}

/// Picks an endpoint; one to be avoided only where there is no other.
fn pick(
    question: &Question<'_>,
    service: &Service,
    endpoints: &EndpointSet,
    port: u16,
    purpose: Purpose,
    random: &mut impl Random,
) -> Result<Picked, Refused> {
    let request = lb::Request {
        client: question.client,
        service,
        port,
        purpose,
        avoid: question.avoid,
    };
    let choice = lb::pick(&request, endpoints, random).map_err(|e| match e {
        lb::NoEndpoint::UnknownPort(port) => Refused::UnknownPort {
            service: service.hostname.clone(),
            port,
        },
        lb::NoEndpoint::NoneUsable => Refused::NoHealthyEndpoint(service.hostname.clone()),
    })?;
    Ok(match choice {
        Choice::Original => Picked::Original,
        Choice::Endpoint {
            endpoint,
            target_port,
        } => Picked::Endpoint {
            workload: endpoint.workload.clone(),
            port: target_port,
        },
    })
}

/// An address of the workload: one of its own, else one that its host name stands for.
fn reachable_address(
    question: &Question<'_>,
    workload: &Workload,
    families: IpFamilies,
    random: &mut impl Random,
) -> Result<IpAddr, Stop> {
    check_network(question.client, workload)?;
    let requested = question.to.ip();
    if let Some(ip) = lb::choose_address(workload, families, requested) {
        return Ok(ip);
    }
    let none = || Refused::NoAddress(workload.uid.clone());
    if workload.hostname.is_empty() || !workload.addresses.is_empty() {
        return Err(none().into());
    }
    match question.names.get(&workload.hostname) {
        None => Err(Stop::Need(Need::Dns(workload.hostname.clone()))),
        Some(Resolved::Addresses(addresses)) => {
            let ip = lb::choose_resolved(addresses, families, requested, random);
            ip.ok_or_else(|| none().into())
        }
        Some(Resolved::Failed(error)) => Err(Stop::Refused(Refused::Unresolved {
            workload: workload.uid.clone(),
            error: error.clone(),
        })),
    }
}

fn check_network(client: &Workload, workload: &Workload) -> Result<(), Refused> {
    if workload.network == client.network {
        return Ok(());
    }
    Err(Refused::OtherNetwork {
        workload: workload.uid.clone(),
        network: workload.network.clone(),
    })
}

// === impl Plan ===

impl Plan {
    /// Whether this may still be done. Connecting takes time, and meanwhile an address can pass to a workload of the
    /// mesh, or what is there can join it: a plain connection that was right when it was begun must not be used then. A
    /// tunnel needs no second look, it names who must be there.
    #[must_use]
    pub fn still_holds(&self, view: &View, client: &Workload) -> bool {
        match self {
            Self::Passthrough(next) => {
                let address = NetworkAddress::new(client.network.clone(), next.addr().ip());
                view.destination(&address, client.namespace()).is_none()
            }
            Self::Plain(target) => target.workload.as_ref().is_none_or(|planned| {
                let now = view.workload_by_uid(&planned.uid);
                now.is_some_and(|w| w.tunnel_protocol == TunnelProtocol::None)
            }),
            Self::Tunnel { .. } => true,
        }
    }

    /// Whether somebody of the mesh is there by now: where connecting in the clear failed, a tunnel may do. Such a pod may have kept
    /// whoever comes in the clear out for a while, just so that they notice.
    #[must_use]
    pub fn is_overtaken(&self, view: &View, client: &Workload) -> bool {
        match self {
            Self::Passthrough(_) => !self.still_holds(view, client),
            Self::Plain(target) => target.workload.as_ref().is_some_and(|planned| {
                let now = view.workload_by_uid(&planned.uid);
                now.is_some_and(|w| w.tunnel_protocol != TunnelProtocol::None)
            }),
            Self::Tunnel { .. } => false,
        }
    }

    /// What is dialled, and who is there.
    #[must_use]
    pub fn next(&self) -> NextHop {
        match self {
            Self::Passthrough(next) => *next,
            Self::Plain(target) | Self::Tunnel { target, .. } => target.next,
        }
    }

    /// The destination as far as the mesh knows it.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Passthrough(_) => None,
            Self::Plain(target) | Self::Tunnel { target, .. } => Some(target),
        }
    }
}

// === impl Refused ===

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Refused {
    /// The closed reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SelfCall(_) => "self_call",
            Self::UnknownPort { .. } => "unknown_port",
            Self::NoHealthyEndpoint(_) => "no_healthy_endpoint",
            Self::NoAddress(_) => "no_address",
            Self::Unresolved { .. } => "unresolved",
            Self::OtherNetwork { .. } => "other_network",
            Self::NoWaypoint { .. } => "no_waypoint",
        }
    }

    /// The endpoint to blame, where another one may do better.
    #[must_use]
    pub fn endpoint(&self) -> Option<&WorkloadUid> {
        match self {
            Self::Unresolved { workload, .. } | Self::NoAddress(workload) => Some(workload),
            _ => None,
        }
    }
}

/// Ports that belong to the proxy in every pod.
pub const PROXY_PORTS: [u16; 3] = [ports::OUTBOUND, ports::INBOUND_PLAINTEXT, ports::HBONE];

#[cfg(test)]
mod tests;
