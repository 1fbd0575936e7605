//! What would become of a connection, without making it: `GET /explain`. It asks what connections ask: the same plan, and
//! at the far end the same policies.
//!
//! # Layout
//! - this file: connections that a proxy of the mesh makes. `outside`: connections of whoever has none.

mod outside;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::authz::{self, Connection, Verdict};
use mesh_model::lb::Random;
use mesh_model::service::VirtualAddress;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{GatewayDestination, GatewayRef, Service, Workload};
use mesh_runtime::admin;
use mesh_state::{StateReader, View};
use mesh_types::{Identity, NamespacedHostname, OrigDst};
use serde::Serialize;

use crate::outbound::plan::{self, Answer, Names, Need, Plan, Target, Via, WaypointTrouble, plan};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who connects: an address, or `<namespace>/<pod>`.
    pub from: Client,
    /// Where to.
    pub to: Asked,
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// The workload that has this address.
    Address(IpAddr),
    /// The Pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An address, as the application dials it.
    Address(SocketAddr),
    /// A host name that stands for a service.
    Host(String, u16),
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explained {
    /// The client's uid; its address where the mesh knows nobody there.
    pub client: String,
    /// Whether a proxy of the mesh carries what the client sends. What others send arrives in the clear, without an
    /// identity, and past every waypoint.
    pub client_in_mesh: bool,
    /// The client's address, as the other end of its connections sees it: policies may go by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<IpAddr>,
    /// Who the client proves to be; empty for one outside of the mesh.
    pub identity: String,
    /// The address that is dialled.
    pub to: SocketAddr,
    /// What is done.
    #[serde(flatten)]
    pub goes: Goes,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "goes", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Goes {
    /// As it is: the mesh does not know the address.
    Passthrough,
    /// Plain, to a destination that the mesh knows.
    Plain(Hop),
    /// Through a tunnel.
    Tunnel {
        /// Where to.
        #[serde(flatten)]
        hop: Hop,
        /// What the tunnel is asked for.
        authority: String,
        /// Who must be there.
        expected: Vec<String>,
    },
    /// A host name must be resolved first.
    NeedsName {
        /// Which.
        host: String,
    },
    /// Nowhere.
    Refused {
        /// Why.
        reason: String,
    },
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// The address that is dialled.
    pub address: SocketAddr,
    /// The service, `<namespace>/<host>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The workload's uid. Another connection may be given another one of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Where the application is; nothing of a waypoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<SocketAddr>,
    /// Whether this is the destination's waypoint, which decides about the rest.
    pub waypoint: bool,
    /// The service that the waypoint is found by, `<namespace>/<host>`; nothing of one that is bound by its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// What follows behind the waypoint, where that lets it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Box<Goes>>,
    /// Why the destination's waypoint is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<String>,
    /// Why an endpoint of the waypoint is dialled that is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unready: Option<String>,
    /// What the policies of the workload say; nothing of a waypoint, which has policies of its own, and of workloads
    /// outside of the mesh, where nobody asks them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Policies>,
}

/// What policies say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// Whether it may pass.
    pub allowed: bool,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The policy that refuses, `<namespace>/<name>`, where a single one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Answers.
///
/// # Errors
/// Says which of the two the mesh does not know.
pub fn explain(
    state: &StateReader,
    question: &Question,
    random: &mut impl Random,
) -> Result<Explained, String> {
    state.query(|view| {
        let client = question.from.find(view)?;
        let is_inside = client.as_ref().is_some_and(|client| is_in_mesh(client));
        let sender = client
            .clone()
            .unwrap_or_else(|| Arc::new(outside::stranger(&question.from)));
        let to = question.to.find(view, &sender)?;
        Ok(Explained {
            client: match &client {
                Some(client) => client.uid.to_string(),
                None => question.from.to_string(),
            },
            client_in_mesh: is_inside,
            client_address: question.from.address(&sender, to.ip()),
            identity: if is_inside {
                sender.identity.to_string()
            } else {
                String::new()
            },
            to,
            goes: match is_inside {
                true => proxied(view, &sender, to, random, Leg::First),
                false => outside::goes(view, &sender, to, random),
            },
        })
    })
}

/// Whether a proxy of the mesh carries what it sends.
fn is_in_mesh(workload: &Workload) -> bool {
    workload.tunnel_protocol == TunnelProtocol::Hbone || workload.native_tunnel
}

/// Who goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// The client.
    First,
    /// The waypoint that the client was sent to.
    Behind,
}

/// What the proxy of a client does.
fn proxied(view: &View, client: &Workload, to: SocketAddr, random: &mut impl Random, leg: Leg) -> Goes {
    let asked = plan::Question {
        client,
        to: OrigDst::new(to),
        avoid: &[],
        names: &Names::new(),
        waypoint_unreachable: false,
    };
    match plan(view, &asked, random) {
        Ok(Answer::Plan(plan)) => Goes::of(view, client, to, plan, random, leg),
        Ok(Answer::Need(Need::Dns(host))) => Goes::NeedsName {
            host: host.to_string(),
        },
        Err(refused) => Goes::Refused {
            reason: refused.to_string(),
        },
    }
}

impl Question {
    /// Out of a request of the admin server: `from` (an address, or `<namespace>/<pod>`) and `to` (`10.96.0.1:80`,
    /// `[fd00::1]:80`, `cart.shop.svc.cluster.local:80`).
    ///
    /// # Errors
    /// Names the parameter and says what is wrong with it.
    pub fn read(request: &admin::Request) -> Result<Self, String> {
        let text = |name: &str| request.query(name).filter(|text| !text.is_empty());
        let from = text("from").ok_or("from: is required: the client's address, or <namespace>/<pod>")?;
        let to = text("to").ok_or("to: is required: an address or a host name, and a port")?;
        Ok(Self {
            from: Client::read(from)
                .ok_or_else(|| format!("from: {from:?} is no address, and no <namespace>/<pod>"))?,
            to: Asked::read(to)
                .ok_or_else(|| format!("to: {to:?} is no <address>:<port>, and no <host>:<port>"))?,
        })
    }
}

impl Client {
    fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (namespace, name) = text.split_once('/')?;
        let valid = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        valid.then(|| Self::Pod {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The address that it dials `to` from: the one that was asked about, else one of the workload's, of the same family
    /// where it has one.
    fn address(&self, workload: &Workload, to: IpAddr) -> Option<IpAddr> {
        if let Self::Address(address) = self {
            return Some(*address);
        }
        let addresses = &workload.addresses;
        let same = addresses.iter().find(|address| address.is_ipv4() == to.is_ipv4());
        same.or_else(|| addresses.first()).copied()
    }

    /// The workload; nothing for an address at which the mesh knows nobody.
    fn find(&self, view: &View) -> Result<Option<Arc<Workload>>, String> {
        let mut workloads = view.workloads();
        match self {
            Self::Address(address) => {
                let found = workloads.find(|workload| workload.addresses.contains(address));
                Ok(found.cloned())
            }
            Self::Pod { namespace, name } => {
                let found = workloads
                    .find(|workload| workload.namespace() == namespace.as_str() && *workload.name == **name);
                let found = found.ok_or_else(|| format!("from: the mesh knows of no workload {self}"))?;
                Ok(Some(found.clone()))
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Pod { namespace, name } => write!(f, "{namespace}/{name}"),
        }
    }
}

impl Asked {
    fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let valid = !host.is_empty() && !host.contains(':');
        port.parse()
            .ok()
            .filter(|_| valid)
            .map(|port| Self::Host(host.to_owned(), port))
    }

    /// Of a host name the first address of its service, as the cluster's name server would say.
    fn find(&self, view: &View, client: &Workload) -> Result<SocketAddr, String> {
        match self {
            Self::Address(address) => Ok(*address),
            Self::Host(host, port) => {
                let service = view
                    .service_by_hostname(host, client.namespace())
                    .ok_or_else(|| {
                        format!("to: the mesh knows of no service {host}; ask for an address instead")
                    })?;
                let address = service.addresses.iter().find_map(|address| match address {
                    VirtualAddress::Single(address) if address.network == client.network => {
                        Some(SocketAddr::new(address.address, *port))
                    }
                    _ => None,
                });
                address.ok_or_else(|| {
                    format!("to: service {host} has no address; ask for that of one of its pods")
                })
            }
        }
    }
}

impl Goes {
    fn of(
        view: &View,
        client: &Workload,
        to: SocketAddr,
        plan: Plan,
        random: &mut impl Random,
        leg: Leg,
    ) -> Self {
        match plan {
            Plan::Passthrough(_) => Self::Passthrough,
            // Whoever takes no tunnels is outside of the mesh.
            Plan::Plain(target) => Self::Plain(Hop::to(&target)),
            Plan::Tunnel {
                target,
                authority,
                expected,
            } => {
                let mut hop = Hop::to(&target);
                match (&target.via, &target.workload) {
                    (via, Some(waypoint)) if via.is_waypoint() && leg == Leg::First => {
                        let behind = proxied(view, waypoint, to, random, Leg::Behind);
                        hop.behind = Some(Box::new(behind));
                    }
                    (via, _) if via.is_waypoint() => {}
                    (_, Some(workload)) => {
                        let application = SocketAddr::new(target.next.addr().ip(), authority.port());
                        hop = hop.judged(view, client, Some(&client.identity), workload, application);
                    }
                    (_, None) => {}
                }
                Self::Tunnel {
                    hop,
                    authority: authority.to_string(),
                    expected: expected.iter().map(ToString::to_string).collect(),
                }
            }
        }
    }
}

impl Hop {
    fn to(target: &Target) -> Self {
        let waypoint = target.via.is_waypoint();
        Self {
            address: target.next.addr(),
            service: target
                .service
                .as_ref()
                .map(|service| service.hostname.to_string()),
            workload: target.workload.as_ref().map(|workload| workload.uid.to_string()),
            destination: (!waypoint).then_some(target.next.addr()),
            waypoint,
            gateway: target.workload.as_ref().filter(|_| waypoint).and_then(|proxy| {
                let front = front_of(proxy, target.service.as_deref())?;
                Some(front.to_string())
            }),
            behind: None,
            past: match &target.via {
                Via::Past { waypoint, why } => Some(format!("waypoint {waypoint} {why}")),
                Via::Nothing | Via::Waypoint { .. } | Via::UnreadyWaypoint { .. } => None,
            },
            unready: match &target.via {
                Via::UnreadyWaypoint { waypoint } => Some(format!(
                    "waypoint {waypoint} {}, and one that is not is tried",
                    WaypointTrouble::NotReady
                )),
                Via::Nothing | Via::Waypoint { .. } | Via::Past { .. } => None,
            },
            policies: None,
        }
    }

    /// With what the workload's policies say of a connection from this client, which proves to be `source`.
    fn judged(
        mut self,
        view: &View,
        client: &Workload,
        source: Option<&Identity>,
        workload: &Workload,
        application: SocketAddr,
    ) -> Self {
        let from = client.addresses.first().copied();
        let connection = Connection {
            source,
            source_ip: from.unwrap_or_else(|| application.ip()),
            destination_ip: application.ip(),
            destination_port: application.port(),
        };
        let decision = authz::evaluate(&connection, &view.policies_for(workload));
        self.destination = Some(application);
        self.policies = Some(Policies::of(decision.verdict));
        self
    }
}

/// The service by which a waypoint's proxy was found: one that the destination is bound to, else the first that it serves.
fn front_of<'a>(proxy: &'a Workload, service: Option<&Service>) -> Option<&'a NamespacedHostname> {
    let bound = |front: &&NamespacedHostname| {
        let is_it = |gateway: &GatewayRef| matches!(&gateway.destination, GatewayDestination::Hostname(name) if name == *front);
        service.is_some_and(|service| {
            let weighted = service
                .weighted_waypoints
                .iter()
                .map(|weighted| &weighted.gateway);
            service.waypoint.iter().chain(weighted).any(is_it)
        })
    };
    let mut fronts = proxy.services.keys();
    fronts.clone().find(bound).or_else(|| fronts.next())
}

impl Policies {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow { by } => Self {
                allowed: true,
                by: by.map(|rule| rule.to_string()),
                policy: None,
                reason: None,
            },
            Verdict::Deny(reason) => Self {
                allowed: false,
                by: None,
                policy: reason.policy().map(ToString::to_string),
                reason: Some(reason.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
