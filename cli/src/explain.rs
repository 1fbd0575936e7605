//! What would become of a connection or a request, hop by hop, and which object says so. Pure: what ztunnel and the
//! waypoint answered goes in, steps come out.
//!
//! # Layout
//! - this file: the steps. [`blame`]: which PeerAuthentication refuses what comes in the clear.

pub mod blame;

use blame::Blame;
use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View, list};

/// The way of a connection or a request.
#[derive(Clone, Debug)]
pub struct Explained {
    steps: Vec<Step>,
    passes: Passes,
    /// What to do, where something is known that helps.
    remedy: Option<String>,
    data: Value,
}

/// Whether it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Nothing that was asked stands in its way.
    Yes,
    /// Something does.
    No,
    /// The waypoint decides, and was not asked.
    Unknown,
}

#[derive(Clone, Debug)]
struct Step {
    at: String,
    does: String,
    because: String,
}

/// What ztunnel answered, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    client: String,
    /// Who the client proves to be; empty for one outside of the mesh.
    pub identity: String,
    to: String,
    /// Older proxies say nothing of it.
    #[serde(default = "inside")]
    client_in_mesh: bool,
    #[serde(flatten)]
    leg: Leg,
}

/// A part of the way: to the destination, or to its waypoint and from there.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Leg {
    goes: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    destination: Option<String>,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    workload: Option<String>,
    #[serde(default)]
    waypoint: bool,
    #[serde(default)]
    behind: Option<Box<Self>>,
    #[serde(default)]
    past: Option<String>,
    #[serde(default)]
    policies: Option<Policies>,
    #[serde(default)]
    authority: String,
    #[serde(default)]
    expected: Vec<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    host: String,
}

fn inside() -> bool {
    true
}

/// A workload that a policy of the mesh keeps a connection from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The policy, as proxies are told it: `<namespace>/<name>`.
    pub policy: String,
    /// The client, where it is a workload: `<namespace>/<name>`.
    pub client: Option<ObjectName>,
    /// The workload.
    pub workload: ObjectName,
    /// Its port.
    pub port: u16,
}

#[derive(Clone, Debug, Deserialize)]
struct Policies {
    allowed: bool,
    #[serde(default)]
    by: Option<String>,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// What a waypoint answered, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waypoint {
    allowed: bool,
    #[serde(default)]
    policy: Option<String>,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    asks: Vec<String>,
}

impl Connection {
    /// Reads ztunnel's answer.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(page)
    }

    /// The waypoints that may decide, by the identities that must be there: a Gateway's proxies run as an account of its
    /// name.
    pub fn waypoints(&self) -> impl Iterator<Item = ObjectName> {
        self.leg.expected.iter().filter_map(|identity| {
            let mut parts = identity.rsplit('/');
            let (name, sa, namespace, ns) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            (sa == "sa" && ns == "ns").then(|| ObjectName::new(namespace, name))
        })
    }

    /// Whether a waypoint decides about the rest.
    #[must_use]
    pub fn meets_waypoint(&self) -> bool {
        self.leg.waypoint
    }

    /// What the tunnel is asked for.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.leg.authority
    }

    /// What refuses it at the destination's own proxy, where one policy does.
    #[must_use]
    pub fn denial(&self) -> Option<Denial> {
        let leg = self.leg.last();
        let policies = leg.policies.as_ref().filter(|policies| !policies.allowed)?;
        let (_, port) = leg.destination.as_deref()?.rsplit_once(':')?;
        Some(Denial {
            policy: policies.policy.clone()?,
            client: named(&self.client),
            workload: named(leg.workload.as_deref()?)?,
            port: port.parse().ok()?,
        })
    }
}

/// The name in a workload's uid: `Kubernetes//Pod/shop/cart-1`.
fn named(uid: &str) -> Option<ObjectName> {
    let mut parts = uid.rsplit('/');
    let (name, namespace) = (parts.next()?, parts.next()?);
    Some(ObjectName::new(namespace, name))
}

impl Explained {
    /// Puts the answers together; `blame` is the PeerAuthentication that refuses, where one does.
    ///
    /// # Errors
    /// Fails when one of them is not what it should be.
    pub fn of(
        ztunnel: &Value,
        waypoint: Option<&Value>,
        blame: Option<Blame>,
    ) -> Result<Self, serde_json::Error> {
        let connection = Connection::read(ztunnel)?;
        let mut steps = vec![connection.leaves()];
        let mut passes = Passes::Yes;
        if connection.leg.waypoint {
            let (does, because) = ("not asked", "--waypoint-url names no waypoint to ask");
            match waypoint {
                None => {
                    passes = Passes::Unknown;
                    steps.push(Step::new("waypoint", does, because));
                }
                Some(page) => {
                    let waypoint = Waypoint::deserialize(page)?;
                    if !waypoint.allowed {
                        passes = Passes::No;
                    }
                    steps.extend(waypoint.steps());
                }
            }
        }
        let last = connection.leg.last();
        if last.goes == "refused" {
            if connection.leg.waypoint {
                steps.push(Step::new("waypoint", "refused", &last.reason));
            }
            passes = Passes::No;
        } else if passes != Passes::No && !last.waypoint {
            // What follows a refusal does not happen.
            steps.extend(last.arrives(blame.as_ref()));
            if last.policies.as_ref().is_some_and(|policies| !policies.allowed) {
                passes = Passes::No;
            }
        }
        let refused_by = blame.filter(|_| passes == Passes::No);
        let mut data = json!({ "ztunnel": ztunnel, "waypoint": waypoint });
        if let Some(blame) = &refused_by {
            data["refusedBy"] = blame.data();
        }
        Ok(Self {
            steps,
            passes,
            remedy: refused_by.map(|blame| blame.remedy),
            data,
        })
    }

    /// Whether it arrives.
    #[must_use]
    pub fn passes(&self) -> Passes {
        self.passes
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["AT", "WHAT HAPPENS", "BECAUSE OF"]);
        for step in &self.steps {
            table.row([step.at.clone(), step.does.clone(), step.because.clone()]);
        }
        let (word, line) = match self.passes {
            Passes::Yes => ("yes", "it passes"),
            Passes::No => ("no", "it does not pass"),
            Passes::Unknown => ("unknown", "whether it passes is for the waypoint to say"),
        };
        table.foot(line);
        if let Some(remedy) = &self.remedy {
            table.foot(format!("what helps: {remedy}"));
        }
        let mut data = self.data.clone();
        data["passes"] = word.into();
        View { table, data }
    }
}

impl Connection {
    /// At the client's node.
    fn leaves(&self) -> Step {
        let leg = &self.leg;
        let does = match leg.goes.as_str() {
            "passthrough" => format!("goes to {} as it is", self.to),
            "plain" => format!("goes in the clear to {}", leg.address),
            "tunnel" if leg.waypoint => {
                format!("tunnel to the waypoint at {}, for {}", leg.address, leg.authority)
            }
            "tunnel" => format!("tunnel to {}, for {}", leg.address, leg.authority),
            "needsName" => format!("{} is resolved first", leg.host),
            "refused" => "refused".to_owned(),
            other => other.to_owned(),
        };
        let mut because: Vec<String> = Vec::new();
        if !self.client_in_mesh {
            because.push("the client is outside of the mesh".to_owned());
        }
        because.extend(leg.service.as_ref().map(|service| format!("service {service}")));
        because.extend(
            leg.workload
                .as_ref()
                .map(|workload| format!("workload {workload}")),
        );
        because.extend(leg.past.clone());
        if !leg.expected.is_empty() {
            because.push(format!("{} must be there", list(&leg.expected)));
        }
        if !leg.reason.is_empty() {
            because.push(leg.reason.clone());
        }
        if because.is_empty() {
            because.push("the mesh does not know the address".to_owned());
        }
        let at = match self.client_in_mesh {
            true => format!("ztunnel of {}", self.client),
            false => self.client.clone(),
        };
        Step::new(at, does, because.join("; "))
    }
}

impl Leg {
    /// What comes last: that to the destination.
    fn last(&self) -> &Self {
        self.behind.as_deref().unwrap_or(self)
    }

    /// At the destination's node; nothing where the mesh does not know the destination.
    fn arrives(&self, blame: Option<&Blame>) -> Option<Step> {
        let workload = self.workload.as_deref()?;
        let Some(policies) = &self.policies else {
            let because = "it is outside of the mesh: nobody asks policies there";
            return Some(Step::new(workload, "taken as it comes", because));
        };
        let at = format!("ztunnel of {workload}");
        if let Some(blame) = blame.filter(|_| !policies.allowed) {
            return Some(Step::new(at, "refused: it comes without mutual TLS", &blame.text));
        }
        let default = if policies.allowed {
            "no ALLOW policy applies"
        } else {
            "a policy"
        };
        let because = policies.by.as_ref().or(policies.reason.as_ref());
        let does = if policies.allowed { "allowed" } else { "denied" };
        Some(Step::new(at, does, because.map_or(default, String::as_str)))
    }
}

impl Step {
    fn new(at: impl Into<String>, does: impl Into<String>, because: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            does: does.into(),
            because: because.into(),
        }
    }
}

impl Waypoint {
    fn steps(self) -> Vec<Step> {
        let at = || "waypoint".to_owned();
        let mut steps = vec![Step {
            at: at(),
            does: if self.allowed { "allowed" } else { "denied" }.to_owned(),
            because: self.policy.unwrap_or_else(|| "no policy matches".to_owned()),
        }];
        steps.extend(self.asks.into_iter().map(|ask| Step {
            at: at(),
            does: "asks somebody else".to_owned(),
            because: ask,
        }));
        if self.allowed {
            steps.push(Step {
                at: at(),
                does: "routed".to_owned(),
                because: self
                    .route
                    .unwrap_or_else(|| "no route: to the service itself".to_owned()),
            });
        }
        steps
    }
}

#[cfg(test)]
mod tests;
