//! May this connection come in, and where does it go? Pure: the state, the pod and what arrived give the answer.
//!
//! The proxy connects to the pod that the request arrived at and to nothing else: whatever the authority says, the
//! address dialled is the local one of the accepted connection. An authority that means another address is refused, so
//! that the proxy is never an open relay.

use std::net::SocketAddr;
use std::sync::Arc;

use mesh_dataplane::enforce::Recheck;
use mesh_hbone::Refusal;
use mesh_model::authz::{self, Connection, Decision, DenyReason, DryRun, Verdict};
use mesh_model::{Service, Workload};
use mesh_state::View;
use mesh_types::{Authority, Identity, LocalAddr, NamespacedName, OrigDst, Peer};

use crate::local::{LocalPod, NotInMesh};
use crate::outbound::plan::PROXY_PORTS;

/// What arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The pod at which it arrived.
    pub pod: Arc<LocalPod>,
    /// Who the peer proved to be; `None` for plaintext.
    pub source: Option<Identity>,
    /// Where it comes from.
    pub peer: Peer,
}

/// The answer: what is meant, and whether policies allow it.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The pod's workload.
    pub workload: Arc<Workload>,
    /// The application.
    pub target: SocketAddr,
    /// The service that the client named, or the only one it can have meant; for telemetry.
    pub service: Option<Arc<Service>>,
    /// What must stay true while the connection is open, or why it may not be.
    pub permission: Result<Standing, Denied>,
    /// What policies on trial would have done; for the log.
    pub dry_run: Vec<DryRun>,
}

/// An admitted connection, as it is asked about again whenever the state changes.
#[derive(Clone, Debug)]
pub struct Standing {
    arrival: Arrival,
    target: SocketAddr,
}

/// A policy does not allow the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("policy rejection: {0}")]
pub struct Denied(pub DenyReason);

/// Why a connection means nothing that could be served here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The target is not this pod.
    #[error("target {target} is not this pod's address {local}")]
    NotHere {
        /// What was asked for.
        target: String,
        /// The address at which it arrived.
        local: LocalAddr,
    },
    /// The target is a service that this pod does not serve on that port.
    #[error("target {0} is no service and port of this pod")]
    NotServed(String),
    /// The target is a port of the proxy itself.
    #[error("port {0} is a port of the proxy itself")]
    SelfCall(u16),
    /// The pod is not a workload of the mesh (yet).
    #[error(transparent)]
    NotInMesh(#[from] NotInMesh),
}

/// Admits a request that came through a tunnel.
///
/// # Errors
/// Says why it is to be refused; [`Refused::refusal`] is the answer to the client.
pub fn admit(
    view: &View,
    arrival: &Arrival,
    local: LocalAddr,
    authority: &Authority,
    forwarded_host: Option<&str>,
) -> Result<Admission, Refused> {
    let workload = arrival.pod.workload(view, local.ip())?;
    let (port, named) = match authority {
        Authority::Ip(address) if address.ip() == local.ip() => (address.port(), None),
        Authority::Ip(address) => {
            return Err(Refused::NotHere {
                target: address.to_string(),
                local,
            });
        }
        Authority::Host { hostname, port } => served(view, workload, hostname, *port)
            .map(|(port, service)| (port, Some(service)))
            .ok_or_else(|| Refused::NotServed(authority.to_string()))?,
    };
    let target = SocketAddr::new(local.ip(), port);
    let service = named.or_else(|| meant(view, workload, port, forwarded_host));
    decide(view, arrival, workload, target, service)
}

/// Admits a plaintext connection that rules in the pod redirected here.
///
/// # Errors
/// Says why it is to be closed.
pub fn admit_plaintext(view: &View, arrival: &Arrival, to: OrigDst) -> Result<Admission, Refused> {
    let workload = arrival.pod.workload(view, to.ip())?;
    if !workload.addresses.contains(&to.ip()) {
        return Err(Refused::NotServed(to.to_string()));
    }
    let service = meant(view, workload, to.port(), None);
    decide(view, arrival, workload, to.addr(), service)
}

fn decide(
    view: &View,
    arrival: &Arrival,
    workload: &Arc<Workload>,
    target: SocketAddr,
    service: Option<Arc<Service>>,
) -> Result<Admission, Refused> {
    if PROXY_PORTS.contains(&target.port()) {
        return Err(Refused::SelfCall(target.port()));
    }
    let decision = ask_policies(view, arrival, workload, target);
    Ok(Admission {
        workload: workload.clone(),
        target,
        service,
        permission: permission(decision.verdict).map(|()| Standing {
            arrival: arrival.clone(),
            target,
        }),
        dry_run: decision.dry_run,
    })
}

fn ask_policies(view: &View, arrival: &Arrival, workload: &Workload, target: SocketAddr) -> Decision {
    let connection = Connection {
        source: arrival.source.as_ref(),
        source_ip: arrival.peer.ip(),
        destination_ip: target.ip(),
        destination_port: target.port(),
    };
    authz::evaluate(&connection, &view.policies_for(workload))
}

fn permission(verdict: Verdict) -> Result<(), Denied> {
    match verdict {
        Verdict::Allow { .. } => Ok(()),
        Verdict::Deny(reason) => Err(Denied(reason)),
    }
}

/// The port and service that a host name stands for at this pod. Only the pod's own services count.
fn served(view: &View, workload: &Workload, hostname: &str, port: u16) -> Option<(u16, Arc<Service>)> {
    let service = view.service_by_hostname(hostname, workload.namespace())?;
    let ports = workload.services.get(&service.hostname)?;
    let target = |ports: &mesh_model::Ports| ports.get(port).and_then(|p| p.target_port);
    let port = target(ports).or_else(|| target(&service.ports))?;
    Some((port, service.clone()))
}

/// The service for telemetry: the one that the client says it named, if this pod serves it, else the only one that this
/// pod serves on the port.
fn meant(view: &View, workload: &Workload, port: u16, forwarded_host: Option<&str>) -> Option<Arc<Service>> {
    let claimed = forwarded_host.and_then(|host| view.service_by_hostname(host, workload.namespace()));
    if let Some(service) = claimed.filter(|s| workload.services.contains_key(&s.hostname)) {
        return Some(service.clone());
    }
    let mut serving = view.services_of(workload).filter(|service| {
        let ports = workload.services.get(&service.hostname);
        ports.is_some_and(|ports| ports.iter().any(|p| p.target_port == Some(port)))
    });
    let first = serving.next()?;
    serving.next().is_none().then(|| first.clone())
}

// === impl Standing ===

impl Recheck for Standing {
    type Denial = Denied;

    /// Asks with the workload as it is now. A pod that the configuration no longer has keeps its connections: nothing
    /// says that they are forbidden, and the node agent ends them with the pod.
    fn recheck(&self, view: &View) -> Result<(), Denied> {
        let Ok(workload) = self.arrival.pod.workload(view, self.target.ip()) else {
            return Ok(());
        };
        permission(ask_policies(view, &self.arrival, workload, self.target).verdict)
    }
}

// === impl Denied, Refused ===

impl Denied {
    /// The policy to blame, where a single one is.
    #[must_use]
    pub fn policy(&self) -> Option<&NamespacedName> {
        self.0.policy()
    }
}

impl Refused {
    /// What a client of a tunnel is answered.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::NotHere { .. } | Self::NotServed(_) | Self::SelfCall(_) => Refusal::BadRequest,
            Self::NotInMesh(_) => Refusal::Unavailable,
        }
    }

    /// The closed reason, for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotHere { .. } => "not_here",
            Self::NotServed(_) => "not_served",
            Self::SelfCall(_) => "self_call",
            Self::NotInMesh(_) => "unknown_destination",
        }
    }
}

#[cfg(test)]
mod tests;
