//! What would become of a connection, without making it: `GET /explain`. It asks what connections ask: the same plan, and
//! at the far end the same policies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mesh_model::Workload;
use mesh_model::authz::{self, Connection, Verdict};
use mesh_model::lb::Random;
use mesh_model::service::VirtualAddress;
use mesh_runtime::admin;
use mesh_state::{StateReader, View};
use mesh_types::OrigDst;
use serde::Serialize;

use crate::outbound::plan::{self, Answer, Names, Need, Plan, Target, Via, plan};

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
    /// The client's uid.
    pub client: String,
    /// Who the client proves to be.
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
    /// Whether this is the destination's waypoint, which decides about the rest.
    pub waypoint: bool,
    /// Why the destination's waypoint is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<String>,
    /// What the policies of the workload say; nothing of a waypoint, which has policies of its own.
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
        let to = question.to.find(view, &client)?;
        let asked = plan::Question {
            client: &client,
            to: OrigDst::new(to),
            avoid: &[],
            names: &Names::new(),
            waypoint_unreachable: false,
        };
        Ok(Explained {
            client: client.uid.to_string(),
            identity: client.identity.to_string(),
            to,
            goes: match plan(view, &asked, random) {
                Ok(Answer::Plan(plan)) => Goes::of(view, &client, plan),
                Ok(Answer::Need(Need::Dns(host))) => Goes::NeedsName {
                    host: host.to_string(),
                },
                Err(refused) => Goes::Refused {
                    reason: refused.to_string(),
                },
            },
        })
    })
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

    fn find(&self, view: &View) -> Result<Arc<Workload>, String> {
        let mut workloads = view.workloads();
        let (found, what) = match self {
            Self::Address(address) => (
                workloads.find(|workload| workload.addresses.contains(address)),
                format!("address {address}"),
            ),
            Self::Pod { namespace, name } => (
                workloads
                    .find(|workload| workload.namespace() == namespace.as_str() && *workload.name == **name),
                format!("workload {namespace}/{name}"),
            ),
        };
        found
            .cloned()
            .ok_or_else(|| format!("from: the mesh knows of no {what}"))
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
    fn of(view: &View, client: &Workload, plan: Plan) -> Self {
        match plan {
            Plan::Passthrough(_) => Self::Passthrough,
            Plan::Plain(target) => {
                let to = target.next.addr();
                Self::Plain(Hop::of(view, client, target, to, false))
            }
            Plan::Tunnel {
                target,
                authority,
                expected,
            } => {
                let at = target.next.addr().ip();
                let application = SocketAddr::new(at, authority.port());
                Self::Tunnel {
                    hop: Hop::of(view, client, target, application, true),
                    authority: authority.to_string(),
                    expected: expected.iter().map(ToString::to_string).collect(),
                }
            }
        }
    }
}

impl Hop {
    /// `application` is what the far proxy would connect to.
    fn of(view: &View, client: &Workload, target: Target, application: SocketAddr, proved: bool) -> Self {
        let waypoint = matches!(target.via, Via::Waypoint { .. });
        let policies = target.workload.as_ref().filter(|_| !waypoint).map(|workload| {
            let connection = Connection {
                source: proved.then_some(&client.identity),
                source_ip: client
                    .addresses
                    .first()
                    .copied()
                    .unwrap_or_else(|| application.ip()),
                destination_ip: application.ip(),
                destination_port: application.port(),
            };
            Policies::of(authz::evaluate(&connection, &view.policies_for(workload)).verdict)
        });
        Self {
            address: target.next.addr(),
            service: target.service.map(|service| service.hostname.to_string()),
            workload: target.workload.map(|workload| workload.uid.to_string()),
            waypoint,
            past: match target.via {
                Via::Past { waypoint, why } => Some(format!("waypoint {waypoint} {why}")),
                Via::Nothing | Via::Waypoint { .. } => None,
            },
            policies,
        }
    }
}

impl Policies {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow { by } => Self {
                allowed: true,
                by: by.map(|rule| rule.to_string()),
                reason: None,
            },
            Verdict::Deny(reason) => Self {
                allowed: false,
                by: None,
                reason: Some(reason.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
