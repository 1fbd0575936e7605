//! What would become of a connection or a request, hop by hop, and which object says so. Pure: what ztunnel and the
//! waypoint answered goes in, steps come out.

use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View, list};

/// The way of a connection or a request.
#[derive(Clone, Debug)]
pub struct Explained {
    steps: Vec<Step>,
    passes: Passes,
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
    /// Who the client proves to be.
    pub identity: String,
    to: String,
    goes: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    workload: Option<String>,
    #[serde(default)]
    waypoint: bool,
    #[serde(default)]
    past: Option<String>,
    #[serde(default)]
    policies: Option<Policies>,
    /// What the tunnel is asked for.
    #[serde(default)]
    pub authority: String,
    #[serde(default)]
    expected: Vec<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    host: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Policies {
    allowed: bool,
    #[serde(default)]
    by: Option<String>,
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
        self.expected.iter().filter_map(|identity| {
            let mut parts = identity.rsplit('/');
            let (name, sa, namespace, ns) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            (sa == "sa" && ns == "ns").then(|| ObjectName::new(namespace, name))
        })
    }

    /// Whether a waypoint decides about the rest.
    #[must_use]
    pub fn meets_waypoint(&self) -> bool {
        self.waypoint
    }
}

impl Explained {
    /// Puts the answers together.
    ///
    /// # Errors
    /// Fails when one of them is not what it should be.
    pub fn of(ztunnel: &Value, waypoint: Option<&Value>) -> Result<Self, serde_json::Error> {
        let connection = Connection::read(ztunnel)?;
        let mut steps = vec![connection.leaves()];
        let mut passes = if connection.goes == "refused" {
            Passes::No
        } else {
            Passes::Yes
        };
        if connection.waypoint {
            passes = match waypoint {
                None => {
                    steps.push(Step {
                        at: "waypoint".to_owned(),
                        does: "not asked".to_owned(),
                        because: "--waypoint-url names no waypoint to ask".to_owned(),
                    });
                    Passes::Unknown
                }
                Some(page) => {
                    let waypoint = Waypoint::deserialize(page)?;
                    let allowed = waypoint.allowed;
                    steps.extend(waypoint.steps());
                    if allowed { passes } else { Passes::No }
                }
            };
        } else if let Some(policies) = &connection.policies {
            steps.push(connection.arrives(policies));
            if !policies.allowed {
                passes = Passes::No;
            }
        }
        Ok(Self {
            steps,
            passes,
            data: json!({ "ztunnel": ztunnel, "waypoint": waypoint }),
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
        let mut data = self.data.clone();
        data["passes"] = word.into();
        View { table, data }
    }
}

impl Connection {
    /// At the client's node.
    fn leaves(&self) -> Step {
        let does = match self.goes.as_str() {
            "passthrough" => format!("goes to {} as it is", self.to),
            "plain" => format!("goes plain to {}", self.address),
            "tunnel" if self.waypoint => format!(
                "tunnel to the waypoint at {}, for {}",
                self.address, self.authority
            ),
            "tunnel" => format!("tunnel to {}, for {}", self.address, self.authority),
            "needsName" => format!("{} is resolved first", self.host),
            "refused" => "refused".to_owned(),
            other => other.to_owned(),
        };
        let mut because: Vec<String> = Vec::new();
        because.extend(self.service.as_ref().map(|service| format!("service {service}")));
        because.extend(
            self.workload
                .as_ref()
                .map(|workload| format!("workload {workload}")),
        );
        because.extend(self.past.clone());
        if !self.expected.is_empty() {
            because.push(format!("{} must be there", list(&self.expected)));
        }
        if !self.reason.is_empty() {
            because.push(self.reason.clone());
        }
        if because.is_empty() {
            because.push("the mesh does not know the address".to_owned());
        }
        Step {
            at: format!("ztunnel of {}", self.client),
            does,
            because: because.join("; "),
        }
    }

    /// At the destination's node.
    fn arrives(&self, policies: &Policies) -> Step {
        let default = if policies.allowed {
            "no ALLOW policy applies"
        } else {
            "a policy"
        };
        let because = policies.by.as_ref().or(policies.reason.as_ref());
        Step {
            at: format!(
                "ztunnel of {}",
                self.workload.as_deref().unwrap_or("the destination")
            ),
            does: if policies.allowed { "allowed" } else { "denied" }.to_owned(),
            because: because.cloned().unwrap_or_else(|| default.to_owned()),
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
