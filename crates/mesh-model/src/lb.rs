//! Which endpoint does this connection go to?
//!
//! Pure: the endpoints are given, and so is chance. Health is not looked at here, as [`EndpointSet`]s hold only
//! endpoints that may be taken (see [`accepts`]).
//!
//! A pick allocates nothing. It first tries a few endpoints at random and takes the first that is as good as any could
//! be, each in proportion to its capacity, which is the usual case at a cost that does not grow with the service; if
//! that finds none, it looks at all of them, twice: once for the best rank, once for the choice among that rank.

mod address;
mod endpoints;
mod waypoint;

use crate::service::{HealthPolicy, LoadBalancing, Mode, Scope};
use crate::workload::HealthStatus;
use crate::{Service, Workload};
use mesh_types::WorkloadUid;

pub use address::{choose_address, choose_resolved};
pub use endpoints::{Endpoint, EndpointSet};
pub use waypoint::{pick_waypoint, waypoints};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub client: &'a Workload,
    /// For what.
    pub service: &'a Service,
    /// On which port of the service.
    pub port: u16,
    /// What for.
    pub purpose: Purpose,
    /// Workloads that were just tried in vain: one of the others is picked where there is one.
    pub avoid: &'a [WorkloadUid],
}

/// Why an endpoint is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The client connects to the service.
    Connect,
    /// The service is a waypoint or a gateway, on whose HBONE port the client connects to something else: the port need
    /// not be the service's where the endpoint has an application tunnel, and there is no original address to pass on to.
    Gateway,
}

/// Where the connection goes.
#[derive(Clone, Copy, Debug)]
pub enum Choice<'e> {
    /// To this endpoint.
    Endpoint {
        /// The endpoint.
        endpoint: &'e Endpoint,
        /// The port there.
        target_port: u16,
    },
    /// Where it wanted to, unchanged ([`Mode::Passthrough`]).
    Original,
}

/// Why there is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// The service has no such port.
    #[error("the service has no port {0}")]
    UnknownPort(u16),
    /// No endpoint is healthy, within reach, and has the port.
    #[error("the service has no healthy endpoint within reach")]
    NoneUsable,
}

/// A source of chance.
pub trait Random {
    /// A number from 0 to below `end`; `end` is never 0.
    fn below(&mut self, end: u64) -> u64;
}

impl Random for fastrand::Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.u64(..end)
    }
}

/// Whether an endpoint with this health belongs into the service's [`EndpointSet`].
#[must_use]
pub fn accepts(service: &Service, health: HealthStatus) -> bool {
    health == HealthStatus::Healthy || service.load_balancing.health == HealthPolicy::AllowAll
}

/// Picks an endpoint.
///
/// # Errors
/// Says whether the port is wrong (the client's fault) or no endpoint is there (which may change).
pub fn pick<'e>(
    request: &Request<'_>,
    endpoints: &'e EndpointSet,
    random: &mut impl Random,
) -> Result<Choice<'e>, NoEndpoint> {
    if request.purpose == Purpose::Connect {
        if request.service.load_balancing.mode == Mode::Passthrough {
            return Ok(Choice::Original);
        }
        if request.service.ports.get(request.port).is_none() {
            return Err(NoEndpoint::UnknownPort(request.port));
        }
    }
    let picked = by_trial(request, endpoints, random).or_else(|| by_search(request, endpoints, random));
    match picked {
        Some(choice) => Ok(choice),
        // What failed once is better than nothing.
        None if !request.avoid.is_empty() => pick(
            &Request {
                avoid: &[],
                ..*request
            },
            endpoints,
            random,
        ),
        None => Err(NoEndpoint::NoneUsable),
    }
}

/// Takes one of a few endpoints drawn at random if it has the best possible rank, with a chance in proportion to its
/// capacity. What this returns is distributed exactly as what [`by_search`] returns.
fn by_trial<'e>(
    request: &Request<'_>,
    endpoints: &'e EndpointSet,
    random: &mut impl Random,
) -> Option<Choice<'e>> {
    let all = endpoints.as_slice();
    if all.is_empty() || endpoints.max_capacity() == 0 {
        return None;
    }
    (0..TRIALS).find_map(|_| {
        let endpoint = &all[random.below(all.len() as u64) as usize];
        let (rank, choice) = judge(request, endpoint)?;
        let perfect = rank == best_rank(&request.service.load_balancing);
        let taken =
            perfect && random.below(endpoints.max_capacity().into()) < endpoint.workload.capacity.into();
        taken.then_some(choice)
    })
}

/// Looks at all endpoints: what is the best rank, and the capacity of those that have it; then draws among them.
fn by_search<'e>(
    request: &Request<'_>,
    endpoints: &'e EndpointSet,
    random: &mut impl Random,
) -> Option<Choice<'e>> {
    // Endpoints without capacity are out before ranks are compared: a rank that nobody can serve hides no other.
    let judged = || {
        let judged = endpoints.as_slice().iter().map(|e| (e, judge(request, e)));
        judged
            .filter_map(|(e, judgement)| {
                judgement.map(|(rank, choice)| (rank, u64::from(e.workload.capacity), choice))
            })
            .filter(|(_, capacity, _)| *capacity > 0)
    };
    let (best, total) = judged().fold((0, 0u64), |(best, total), (rank, capacity, _)| {
        if rank > best || total == 0 {
            (rank, capacity)
        } else if rank == best {
            (best, total.saturating_add(capacity))
        } else {
            (best, total)
        }
    });
    if total == 0 {
        return None;
    }
    let mut left = random.below(total);
    judged()
        .filter(|(rank, ..)| *rank == best)
        .find_map(|(_, capacity, choice)| match left.checked_sub(capacity) {
            None => Some(choice),
            Some(rest) => {
                left = rest;
                None
            }
        })
}

/// The rank of an endpoint, the higher the better, and where the connection would go; `None` if it cannot be used.
fn judge<'e>(request: &Request<'_>, endpoint: &'e Endpoint) -> Option<(usize, Choice<'e>)> {
    if !within_reach(request.client, &endpoint.workload) || request.avoid.contains(&endpoint.workload.uid) {
        return None;
    }
    let target_port = target_port(request, endpoint)?;
    let lb = &request.service.load_balancing;
    let rank = rank(lb, request.client, &endpoint.workload);
    if lb.mode == Mode::Strict && rank != best_rank(lb) {
        return None;
    }
    Some((
        rank,
        Choice::Endpoint {
            endpoint,
            target_port,
        },
    ))
}

/// A workload with neither address nor host name is reached through its network's gateway, which serves only clients in
/// other networks.
fn within_reach(client: &Workload, workload: &Workload) -> bool {
    let has_address = !workload.addresses.is_empty() || !workload.hostname.is_empty();
    has_address || (workload.network != client.network && workload.network_gateway.is_some())
}

/// The endpoint's own mapping of the port, else the service's. A waypoint that takes tunnels on a port of its own needs
/// neither.
fn target_port(request: &Request<'_>, endpoint: &Endpoint) -> Option<u16> {
    let mapped = endpoint.ports().get(request.port).and_then(|p| p.target_port);
    let general = || {
        request
            .service
            .ports
            .get(request.port)
            .and_then(|p| p.target_port)
    };
    mapped.or_else(general).or_else(|| {
        let tunnel = endpoint.workload.application_tunnel.as_ref()?;
        (request.purpose == Purpose::Gateway && tunnel.port.is_some()).then_some(request.port)
    })
}

/// How many scopes the two share, counted from the front until the first that they do not.
///
/// A network at the front is a preference of its own kind: an endpoint in another network still counts its other scopes,
/// but one in the same network comes before all of those.
fn rank(lb: &LoadBalancing, client: &Workload, workload: &Workload) -> usize {
    if !ranked(lb) {
        return 0;
    }
    let shared = |scope: &&Scope| shares(**scope, client, workload);
    let Some((Scope::Network, rest)) = lb.preference.split_first() else {
        return lb.preference.iter().take_while(shared).count();
    };
    let rank = rest.iter().take_while(shared).count();
    match shares(Scope::Network, client, workload) {
        true => lb.preference.len() + rank,
        false => rank,
    }
}

/// The rank of an endpoint that shares everything.
fn best_rank(lb: &LoadBalancing) -> usize {
    match lb.preference.first() {
        _ if !ranked(lb) => 0,
        Some(Scope::Network) => 2 * lb.preference.len() - 1,
        _ => lb.preference.len(),
    }
}

fn ranked(lb: &LoadBalancing) -> bool {
    matches!(lb.mode, Mode::Strict | Mode::Failover)
}

fn shares(scope: Scope, client: &Workload, workload: &Workload) -> bool {
    match scope {
        Scope::Region => client.locality.region == workload.locality.region,
        Scope::Zone => client.locality.zone == workload.locality.zone,
        Scope::Subzone => client.locality.subzone == workload.locality.subzone,
        Scope::Node => client.node == workload.node,
        Scope::Cluster => client.cluster_id == workload.cluster_id,
        Scope::Network => client.network == workload.network,
    }
}

/// Enough that a service with half of its endpoints at hand rarely needs a search, and few enough to cost nothing where
/// there are none.
const TRIALS: usize = 4;

#[cfg(test)]
mod tests;
