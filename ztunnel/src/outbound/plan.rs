//! Where does this connection go? Pure: the state, the client, the address it asked for, and chance give the answer.
//!
//! ```text
//! own proxy port ──────────────────────────────> refused
//! an address of a workload ── has a waypoint ──> tunnel to the waypoint, for the address
//!                          ── HBONE ───────────> tunnel to it
//!                          ── otherwise ───────> plain to it
//! an address of a service ─── has a waypoint ──> tunnel to the waypoint, for the address
//!                          ── an endpoint ─────> as an address of that workload
//!                          ── none ────────────> refused
//! any other address ───────────────────────────> plain, unchanged
//! ```
//! A client that is the destination's waypoint itself goes past it. What the mesh knows to take HBONE never gets
//! anything else, and what needs a feature that is not there is refused, with the reason in the access log.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::lb::{self, Choice, Purpose, Random};
use mesh_model::service::IpFamilies;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{GatewayDestination, GatewayRef, Service, Workload};
use mesh_state::{Destination, View};
use mesh_tls::ExpectedPeers;
use mesh_types::{
    Authority, NamespacedHostname, NetworkAddress, NextHop, OrigDst, Strng, WorkloadUid, ports,
};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The workload that connects.
    pub client: &'a Workload,
    /// Where it wants to go.
    pub to: OrigDst,
    /// Endpoints that were just tried in vain; another one is taken where there is one.
    pub avoid: &'a [WorkloadUid],
}

/// The answer.
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
    /// The workload has no address, only a host name.
    #[error(
        "workload {0} has no address of its own, and resolving its host name is not supported by this version"
    )]
    NoAddress(WorkloadUid),
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
    /// The waypoint that the destination must be reached through is not known.
    #[error("waypoint {0} is not known or has no endpoint; going past it would evade its policies")]
    NoWaypoint(String),
}

/// Answers the question.
///
/// # Errors
/// Says why the connection is to be closed.
pub fn plan(view: &View, question: &Question<'_>, random: &mut impl Random) -> Result<Plan, Refused> {
    let Question { client, to, .. } = *question;
    if is_self_call(client, to) {
        return Err(Refused::SelfCall(to.addr()));
    }
    let address = NetworkAddress::new(client.network.clone(), to.ip());
    match view.destination(&address, client.namespace()) {
        None => Ok(Plan::Passthrough(NextHop::new(to.addr()))),
        Some(Destination::Workload(workload)) => to_workload(view, question, workload, random),
        Some(Destination::Service(service)) => to_service(view, question, service, random),
    }
}

/// A connection to one of the proxy's own ports in the client's pod. Without this the proxy would dial itself.
fn is_self_call(client: &Workload, to: OrigDst) -> bool {
    let own = to.ip().is_loopback() || to.ip().is_unspecified() || client.addresses.contains(&to.ip());
    own && PROXY_PORTS.contains(&to.port())
}

fn to_workload(
    view: &View,
    question: &Question<'_>,
    workload: Arc<Workload>,
    random: &mut impl Random,
) -> Result<Plan, Refused> {
    if let Some(gateway) = &workload.waypoint
        && !is_behind(view, gateway, question.client)
    {
        return via_waypoint(view, question, gateway, None, random);
    }
    let address = SocketAddr::new(question.to.ip(), question.to.port());
    direct(question, workload, address, None)
}

fn to_service(
    view: &View,
    question: &Question<'_>,
    service: Arc<Service>,
    random: &mut impl Random,
) -> Result<Plan, Refused> {
    if let Some(gateway) = lb::pick_waypoint(&service, random)
        && !is_behind(view, gateway, question.client)
    {
        return via_waypoint(view, question, gateway, Some(&service), random);
    }
    let port = question.to.port();
    match pick(view, question, &service, port, Purpose::Connect, random)? {
        Picked::Original => Ok(Plan::Plain(Target {
            next: NextHop::new(question.to.addr()),
            workload: None,
            service: Some(service),
        })),
        Picked::Endpoint { workload, port } => {
            let ip = reachable_address(question, &workload, service.ip_families)?;
            direct(question, workload, SocketAddr::new(ip, port), Some(service))
        }
    }
}

/// To the workload itself, at this address.
fn direct(
    question: &Question<'_>,
    workload: Arc<Workload>,
    address: SocketAddr,
    service: Option<Arc<Service>>,
) -> Result<Plan, Refused> {
    check_network(question.client, &workload)?;
    if workload.tunnel_protocol == TunnelProtocol::None {
        return Ok(Plan::Plain(Target {
            next: NextHop::new(address),
            workload: Some(workload),
            service,
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
        },
    })
}

/// To a waypoint, which is told the address that the client asked for.
fn via_waypoint(
    view: &View,
    question: &Question<'_>,
    gateway: &GatewayRef,
    service: Option<&Arc<Service>>,
    random: &mut impl Random,
) -> Result<Plan, Refused> {
    let unknown = || Refused::NoWaypoint(name_of(gateway));
    let port = gateway.hbone_port;
    let (waypoint, address, others) = match resolve(view, gateway, question.client) {
        None => return Err(unknown()),
        Some(Destination::Workload(workload)) => {
            let ip = reachable_address(question, &workload, IpFamilies::Automatic)?;
            (workload, SocketAddr::new(ip, port), Vec::new())
        }
        Some(Destination::Service(front)) => {
            match pick(view, question, &front, port, Purpose::Gateway, random) {
                Ok(Picked::Endpoint { workload, port }) => {
                    let ip = reachable_address(question, &workload, front.ip_families)?;
                    (
                        workload,
                        SocketAddr::new(ip, port),
                        front.subject_alt_names.clone(),
                    )
                }
                Ok(Picked::Original) | Err(_) => return Err(unknown()),
            }
        }
    };
    check_network(question.client, &waypoint)?;
    Ok(Plan::Tunnel {
        expected: ExpectedPeers::identity_or(&waypoint.identity, others),
        authority: Authority::from(question.to.addr()),
        target: Target {
            next: NextHop::new(address),
            workload: Some(waypoint),
            service: service.cloned(),
        },
    })
}

/// Whether the client is this gateway: an endpoint of its service, or the workload at its address.
fn is_behind(view: &View, gateway: &GatewayRef, client: &Workload) -> bool {
    match resolve(view, gateway, client) {
        None => false,
        Some(Destination::Workload(workload)) => workload.uid == client.uid,
        Some(Destination::Service(service)) => view.endpoints(&service).get(&client.uid).is_some(),
    }
}

fn resolve(view: &View, gateway: &GatewayRef, client: &Workload) -> Option<Destination> {
    match &gateway.destination {
        GatewayDestination::Hostname(name) => view.service_by_name(name).cloned().map(Destination::Service),
        GatewayDestination::Address(address) => view.destination(address, client.namespace()),
    }
}

enum Picked {
    Endpoint { workload: Arc<Workload>, port: u16 },
    Original,
}

/// Picks an endpoint; one to be avoided only where there is no other.
fn pick(
    view: &View,
    question: &Question<'_>,
    service: &Service,
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
    let choice = lb::pick(&request, view.endpoints(service), random).map_err(|e| match e {
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

fn reachable_address(
    question: &Question<'_>,
    workload: &Workload,
    families: IpFamilies,
) -> Result<IpAddr, Refused> {
    check_network(question.client, workload)?;
    lb::choose_address(workload, families, question.to.ip())
        .ok_or_else(|| Refused::NoAddress(workload.uid.clone()))
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

fn name_of(gateway: &GatewayRef) -> String {
    match &gateway.destination {
        GatewayDestination::Hostname(name) => name.to_string(),
        GatewayDestination::Address(address) => address.to_string(),
    }
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

impl Refused {
    /// The closed reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SelfCall(_) => "self_call",
            Self::UnknownPort { .. } => "unknown_port",
            Self::NoHealthyEndpoint(_) => "no_healthy_endpoint",
            Self::NoAddress(_) => "no_address",
            Self::OtherNetwork { .. } => "other_network",
            Self::NoWaypoint(_) => "no_waypoint",
        }
    }
}

/// Ports that belong to the proxy in every pod.
pub const PROXY_PORTS: [u16; 3] = [ports::OUTBOUND, ports::INBOUND_PLAINTEXT, ports::HBONE];

#[cfg(test)]
mod tests;
