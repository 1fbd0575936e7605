//! Does a waypoint come first?
//!
//! ```text
//! bound to none ───────────────────────────────────> the destination
//! the client is one of its waypoints ──────────────> the destination
//! one of its waypoints has an endpoint ────────────> a tunnel to that endpoint, for the address that was asked for
//! none has, and every binding says `fail_open` ────> the destination, and the access log says so
//! one has an endpoint that is not ready ───────────> a tunnel to that one
//! none has ────────────────────────────────────────> refused
//! ```
//! Upstream goes directly to the destination where the waypoint is missing, and so evades its policies.
//!
//! An endpoint that is not ready is better than none: what may not go past the waypoint would be refused, and readiness is
//! news that is late, or wrong for a moment (docs/decisions/waypoint-readiness.md).

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::lb::{self, EndpointSet, Purpose, Random};
use mesh_model::service::IpFamilies;
use mesh_model::workload::HealthStatus;
use mesh_model::{GatewayDestination, GatewayRef, Service, Workload};
use mesh_state::{Destination, View};
use mesh_tls::ExpectedPeers;
use mesh_types::{Authority, NextHop, Strng};

use super::{Picked, Plan, Question, Refused, Stop, Target, check_network, pick, reachable_address};

/// How the destination's waypoint comes into a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// There is none, or the client is it.
    Nothing,
    /// It is what is dialled.
    Waypoint {
        /// Where it cannot be reached, the destination may be reached without it.
        fail_open: bool,
    },
    /// An endpoint of it that is not ready is dialled: none is ready, and nothing may go past it.
    UnreadyWaypoint {
        /// Which one.
        waypoint: Strng,
    },
    /// The destination is dialled without it: it is missing, and the binding allows that.
    Past {
        /// Which one.
        waypoint: Strng,
        /// What is wrong with it.
        why: WaypointTrouble,
    },
}

impl Via {
    /// Whether what is dialled is a waypoint.
    #[must_use]
    pub fn is_waypoint(&self) -> bool {
        matches!(self, Self::Waypoint { .. } | Self::UnreadyWaypoint { .. })
    }

    /// What the log says where what is dialled fails: that a waypoint was not ready either.
    #[must_use]
    pub fn explained(&self, error: Cow<'static, str>) -> Cow<'static, str> {
        match self {
            Self::UnreadyWaypoint { waypoint } => {
                let why = WaypointTrouble::NotReady;
                format!("waypoint {waypoint} {why}; one that is not was tried: {error}").into()
            }
            Self::Nothing | Self::Waypoint { .. } | Self::Past { .. } => error,
        }
    }
}

/// What is wrong with a waypoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WaypointTrouble {
    /// There is no such service or workload.
    #[error("is not known")]
    Unknown,
    /// Nothing behind it is healthy and takes tunnels on its port.
    #[error("has no endpoint that is ready")]
    NotReady,
    /// Its endpoints were dialled in vain.
    #[error("cannot be reached")]
    Unreachable,
    /// It is in another network.
    #[error("is in another network, and crossing networks is not supported by this version")]
    OtherNetwork,
}

/// What comes first.
pub(super) enum First {
    /// A waypoint, by this plan.
    Waypoint(Box<Plan>),
    /// The destination itself.
    Destination(Via),
}

/// For a connection to a workload's own address.
pub(super) fn of_workload(
    view: &View,
    question: &Question<'_>,
    workload: &Workload,
    random: &mut impl Random,
) -> Result<First, Stop> {
    let Some(gateway) = &workload.waypoint else {
        return Ok(First::Destination(Via::Nothing));
    };
    if is_behind(view, gateway, question.client) {
        return Ok(First::Destination(Via::Nothing));
    }
    through_one_of(view, question, &[gateway], None, random)
}

/// For a connection to a service.
pub(super) fn of_service(
    view: &View,
    question: &Question<'_>,
    service: &Arc<Service>,
    random: &mut impl Random,
) -> Result<First, Stop> {
    let weighted = service.weighted_waypoints.iter().map(|w| &w.gateway);
    let mut bound = service.waypoint.iter().chain(weighted);
    // All of them, drawn or not: what comes from a waypoint has been judged.
    if bound.any(|gateway| is_behind(view, gateway, question.client)) {
        return Ok(First::Destination(Via::Nothing));
    }
    let candidates: Vec<_> = lb::waypoints(service, random).collect();
    through_one_of(view, question, &candidates, Some(service), random)
}

/// Through the first that can be had.
fn through_one_of(
    view: &View,
    question: &Question<'_>,
    candidates: &[&GatewayRef],
    service: Option<&Arc<Service>>,
    random: &mut impl Random,
) -> Result<First, Stop> {
    let Some(drawn) = candidates.first() else {
        return Ok(First::Destination(Via::Nothing));
    };
    let fail_open = candidates.iter().all(|gateway| gateway.fail_open);
    let first = |members, random: &mut _| first_endpoint(view, question, candidates, members, random);
    let through = |endpoint: Endpoint, via| {
        let plan = endpoint.plan(question, service, via);
        Ok(First::Waypoint(Box::new(plan)))
    };
    let why = match question.waypoint_unreachable && fail_open {
        true => WaypointTrouble::Unreachable,
        false => match first(Members::Ready, random)? {
            Ok((_, endpoint)) => return through(endpoint, Via::Waypoint { fail_open }),
            Err(why) => why,
        },
    };
    let name = |gateway: &GatewayRef| Strng::from(gateway.destination.to_string());
    if fail_open {
        let waypoint = name(drawn);
        return Ok(First::Destination(Via::Past { waypoint, why }));
    }
    match first(Members::Unready, random)? {
        Ok((gateway, endpoint)) => {
            let waypoint = name(gateway);
            through(endpoint, Via::UnreadyWaypoint { waypoint })
        }
        Err(_) => {
            let waypoint = name(drawn);
            Err(Refused::NoWaypoint { waypoint, why }.into())
        }
    }
}

/// An endpoint of the first that has one of these; else what is wrong with the first.
fn first_endpoint<'g>(
    view: &View,
    question: &Question<'_>,
    candidates: &[&'g GatewayRef],
    members: Members,
    random: &mut impl Random,
) -> Result<Result<(&'g GatewayRef, Endpoint), WaypointTrouble>, Stop> {
    let mut trouble = None;
    for gateway in candidates {
        match to_endpoint(view, question, gateway, members, random) {
            Ok(endpoint) => return Ok(Ok((gateway, endpoint))),
            Err(Missing::Trouble(why)) => trouble = trouble.or(Some(why)),
            Err(Missing::Stop(stop)) => return Err(stop),
        }
    }
    Ok(Err(trouble.unwrap_or(WaypointTrouble::NotReady)))
}

/// Which of those behind a waypoint are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Members {
    Ready,
    Unready,
}

/// An endpoint of a waypoint.
struct Endpoint {
    workload: Arc<Workload>,
    address: SocketAddr,
    also_expected: Vec<Strng>,
}

/// Why a waypoint has none.
enum Missing {
    Trouble(WaypointTrouble),
    Stop(Stop),
}

fn to_endpoint(
    view: &View,
    question: &Question<'_>,
    gateway: &GatewayRef,
    members: Members,
    random: &mut impl Random,
) -> Result<Endpoint, Missing> {
    let not_ready = || Missing::Trouble(WaypointTrouble::NotReady);
    let (workload, port, families, also_expected) = match resolve(view, gateway, question.client) {
        None => return Err(Missing::Trouble(WaypointTrouble::Unknown)),
        Some(Destination::Workload(workload)) => {
            let ready = workload.status == HealthStatus::Healthy;
            if ready != (members == Members::Ready) {
                return Err(not_ready());
            }
            (workload, gateway.hbone_port, IpFamilies::Automatic, Vec::new())
        }
        Some(Destination::Service(front)) => {
            let unready: EndpointSet;
            let endpoints = match members {
                Members::Ready => view.endpoints(&front),
                Members::Unready => {
                    unready = view.leaving(&front).collect();
                    &unready
                }
            };
            let (port, purpose) = (gateway.hbone_port, Purpose::Gateway);
            match pick(question, &front, endpoints, port, purpose, random) {
                Ok(Picked::Endpoint { workload, port }) => {
                    (workload, port, front.ip_families, front.subject_alt_names.clone())
                }
                Ok(Picked::Original) | Err(_) => return Err(not_ready()),
            }
        }
    };
    if check_network(question.client, &workload).is_err() {
        return Err(Missing::Trouble(WaypointTrouble::OtherNetwork));
    }
    match reachable_address(question, &workload, families, random) {
        Ok(ip) => Ok(Endpoint {
            workload,
            address: SocketAddr::new(ip, port),
            also_expected,
        }),
        Err(need @ Stop::Need(_)) => Err(Missing::Stop(need)),
        Err(Stop::Refused(_)) => Err(not_ready()),
    }
}

impl Endpoint {
    /// A tunnel to the waypoint, which is told the address that the client asked for.
    fn plan(self, question: &Question<'_>, service: Option<&Arc<Service>>, via: Via) -> Plan {
        Plan::Tunnel {
            expected: ExpectedPeers::identity_or(&self.workload.identity, self.also_expected),
            authority: Authority::from(question.to.addr()),
            target: Target {
                next: NextHop::new(self.address),
                workload: Some(self.workload),
                service: service.cloned(),
                via,
            },
        }
    }
}

/// Whether the client is this gateway: a member of its service, ready or not, or the workload at its address.
fn is_behind(view: &View, gateway: &GatewayRef, client: &Workload) -> bool {
    match resolve(view, gateway, client) {
        None => false,
        Some(Destination::Workload(workload)) => workload.uid == client.uid,
        Some(Destination::Service(service)) => client.services.contains_key(&service.hostname),
    }
}

fn resolve(view: &View, gateway: &GatewayRef, client: &Workload) -> Option<Destination> {
    match &gateway.destination {
        GatewayDestination::Hostname(name) => view.service_by_name(name).cloned().map(Destination::Service),
        GatewayDestination::Address(address) => view.destination(address, client.namespace()),
    }
}

#[cfg(test)]
mod tests;
