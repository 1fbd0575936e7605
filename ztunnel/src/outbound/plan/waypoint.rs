//! Does a waypoint come first?
//!
//! ```text
//! bound to none ───────────────────────────────────> the destination
//! the client is one of its waypoints ──────────────> the destination
//! one of its waypoints has an endpoint ────────────> a tunnel to that endpoint, for the address that was asked for
//! none has, and every binding says `fail_open` ────> the destination, and the access log says so
//! none has ────────────────────────────────────────> refused
//! ```
//! Upstream goes directly to the destination where the waypoint is missing, and so evades its policies.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_model::lb::{self, Purpose, Random};
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
    /// The destination is dialled without it: it is missing, and the binding allows that.
    Past {
        /// Which one.
        waypoint: Strng,
        /// What is wrong with it.
        why: WaypointTrouble,
    },
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
    let mut trouble = question
        .waypoint_unreachable
        .then_some(WaypointTrouble::Unreachable);
    if !(fail_open && trouble.is_some()) {
        for gateway in candidates {
            match to_endpoint(view, question, gateway, random) {
                Ok(endpoint) => {
                    return Ok(First::Waypoint(Box::new(
                        endpoint.plan(question, service, fail_open),
                    )));
                }
                Err(Missing::Trouble(why)) => trouble = trouble.or(Some(why)),
                Err(Missing::Stop(stop)) => return Err(stop),
            }
        }
    }
    let waypoint = Strng::from(drawn.destination.to_string());
    let why = trouble.unwrap_or(WaypointTrouble::NotReady);
    match fail_open {
        true => Ok(First::Destination(Via::Past { waypoint, why })),
        false => Err(Refused::NoWaypoint { waypoint, why }.into()),
    }
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
    random: &mut impl Random,
) -> Result<Endpoint, Missing> {
    let (workload, port, families, also_expected) = match resolve(view, gateway, question.client) {
        None => return Err(Missing::Trouble(WaypointTrouble::Unknown)),
        Some(Destination::Workload(workload)) if workload.status == HealthStatus::Healthy => {
            (workload, gateway.hbone_port, IpFamilies::Automatic, Vec::new())
        }
        Some(Destination::Workload(_)) => return Err(Missing::Trouble(WaypointTrouble::NotReady)),
        Some(Destination::Service(front)) => {
            match pick(
                view,
                question,
                &front,
                gateway.hbone_port,
                Purpose::Gateway,
                random,
            ) {
                Ok(Picked::Endpoint { workload, port }) => {
                    (workload, port, front.ip_families, front.subject_alt_names.clone())
                }
                Ok(Picked::Original) | Err(_) => return Err(Missing::Trouble(WaypointTrouble::NotReady)),
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
        Err(Stop::Refused(_)) => Err(Missing::Trouble(WaypointTrouble::NotReady)),
    }
}

impl Endpoint {
    /// A tunnel to the waypoint, which is told the address that the client asked for.
    fn plan(self, question: &Question<'_>, service: Option<&Arc<Service>>, fail_open: bool) -> Plan {
        Plan::Tunnel {
            expected: ExpectedPeers::identity_or(&self.workload.identity, self.also_expected),
            authority: Authority::from(question.to.addr()),
            target: Target {
                next: NextHop::new(self.address),
                workload: Some(self.workload),
                service: service.cloned(),
                via: Via::Waypoint { fail_open },
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
