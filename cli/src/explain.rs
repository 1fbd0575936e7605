//! What would become of a connection or a request, hop by hop, and which object says so. Pure: what ztunnel and the
//! waypoint answered goes in, steps come out.
//!
//! # Layout
//! - this file: the steps. [`answers`]: what ztunnel and the waypoint answer. [`blame`]: which PeerAuthentication refuses
//!   what comes in the clear. [`binding`]: which Gateway a waypoint is of, and what binds to it. [`network`]: what NetworkPolicies
//!   let pass.

pub mod answers;
pub mod binding;
pub mod blame;
pub mod network;

pub use answers::{Connection, Denial};
use answers::{Goes, Leg, Waypoint};
use binding::Binding;
use blame::Blame;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View, list};

/// What is known beside the two answers.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The PeerAuthentication that refuses, where one does.
    pub blame: Option<Blame>,
    /// The Gateway of the waypoint, and what binds to it.
    pub binding: Binding,
    /// What NetworkPolicies keep it from, where they are known.
    pub network: Option<Vec<String>>,
}

/// The way of a connection or a request.
#[derive(Clone, Debug)]
pub struct Explained {
    steps: Vec<Step>,
    passes: Passes,
    /// What to do, where something is known that helps.
    remedy: Option<String>,
    /// What keeps it from arriving, if the network carries NetworkPolicies out.
    network: Vec<String>,
    data: Value,
}

/// Whether it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passes {
    /// Nothing that was asked stands in its way.
    Yes,
    /// Something does.
    No,
    /// The waypoint answers it, and not with an error: nothing arrives, and nothing refuses it.
    Answered,
    /// Somebody decides who was not asked.
    Unknown(Open),
}

/// What keeps an answer open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// The waypoint decides, and was not asked.
    Waypoint,
    /// This name is resolved first, and what it resolves to decides.
    Name(String),
}

#[derive(Clone, Debug)]
struct Step {
    at: String,
    does: String,
    because: String,
}

impl Explained {
    /// Puts the answers together.
    ///
    /// # Errors
    /// Fails when one of them is not what it should be.
    pub fn of(ztunnel: &Value, waypoint: Option<&Value>, beside: Beside) -> Result<Self, serde_json::Error> {
        let Beside {
            blame,
            binding,
            network,
        } = beside;
        let connection = Connection::read(ztunnel)?;
        let answered = waypoint.map(Waypoint::deserialize).transpose()?;
        let mut steps = vec![connection.leaves(&binding)];
        steps.extend(connection.at_waypoint(answered.as_ref(), &binding));
        let passes = connection.fate(answered.as_ref());
        steps.extend(connection.at_the_end(&passes, answered.as_ref(), &binding, blame.as_ref()));
        let ended = answered.as_ref().is_some_and(Waypoint::ends);
        let refused_by = blame.filter(|_| passes == Passes::No && !(connection.leg.waypoint && ended));
        let mut data = json!({ "ztunnel": ztunnel, "waypoint": waypoint, "networkPolicies": network });
        if let Some(blame) = &refused_by {
            data["refusedBy"] = blame.data();
        }
        if connection.leg.waypoint {
            data["binding"] = binding.data();
        }
        Ok(Self {
            steps,
            passes,
            remedy: refused_by.map(|blame| blame.remedy),
            network: network.unwrap_or_default(),
            data,
        })
    }

    /// Whether it arrives.
    #[must_use]
    pub fn passes(&self) -> &Passes {
        &self.passes
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["AT", "WHAT HAPPENS", "BECAUSE OF"]);
        for step in &self.steps {
            table.row([step.at.clone(), step.does.clone(), step.because.clone()]);
        }
        let (word, line) = match &self.passes {
            Passes::Yes => ("yes", "it passes".to_owned()),
            Passes::No => ("no", "it does not pass".to_owned()),
            Passes::Answered => (
                "answered",
                "the waypoint answers it, and nothing goes on".to_owned(),
            ),
            Passes::Unknown(Open::Waypoint) => (
                "unknown",
                "whether it passes is for the waypoint to say".to_owned(),
            ),
            Passes::Unknown(Open::Name(host)) => (
                "unknown",
                format!(
                    "whether it passes depends on what {host} resolves to: ask again for one of its addresses"
                ),
            ),
        };
        table.foot(line);
        if let Some(remedy) = &self.remedy {
            table.foot(format!("what helps: {remedy}"));
        }
        if !self.network.is_empty() {
            table.foot("it does not arrive where the network carries out NetworkPolicies:");
        }
        for kept in &self.network {
            table.foot(format!("  {kept}"));
        }
        let mut data = self.data.clone();
        data["passes"] = word.into();
        View { table, data }
    }
}

impl Connection {
    /// Whether it arrives. Without the waypoint's answer nothing is known of what it does.
    fn fate(&self, waypoint: Option<&Waypoint>) -> Passes {
        let last = self.leg.last();
        let denied = last.policies.as_ref().is_some_and(|policies| !policies.allowed);
        let own = match waypoint.filter(|_| self.leg.waypoint) {
            Some(waypoint) if !waypoint.allowed => Some(Passes::No),
            Some(waypoint) => waypoint.answer.map(|status| match status {
                400.. => Passes::No,
                _ => Passes::Answered,
            }),
            None => None,
        };
        match own {
            Some(own) => own,
            None if last.goes == Goes::Refused || denied => Passes::No,
            None if self.leg.waypoint && waypoint.is_none() => Passes::Unknown(Open::Waypoint),
            None if last.goes == Goes::NeedsName => Passes::Unknown(Open::Name(last.host.clone())),
            None => Passes::Yes,
        }
    }

    /// At the client's node.
    fn leaves(&self, binding: &Binding) -> Step {
        let leg = &self.leg;
        let does = match leg.goes {
            Goes::Passthrough => format!("goes to {} as it is", self.to),
            Goes::Plain => format!("goes in the clear to {}", leg.address),
            Goes::Tunnel if leg.waypoint => {
                let whose = match binding.gateway() {
                    Some(gateway) => format!("{gateway} "),
                    None => String::new(),
                };
                format!(
                    "tunnel to the waypoint {whose}at {}, for {}",
                    leg.address, leg.authority
                )
            }
            Goes::Tunnel => format!("tunnel to {}, for {}", leg.address, leg.authority),
            Goes::NeedsName => format!("{} is resolved first", leg.host),
            Goes::Refused => "refused".to_owned(),
        };
        let mut because: Vec<String> = Vec::new();
        if !self.client_in_mesh {
            because.push("the client is outside of the mesh".to_owned());
        }
        because.extend(leg.service.as_ref().map(|service| format!("service {service}")));
        because.extend(binding.by().filter(|_| leg.waypoint).map(str::to_owned));
        because.extend(
            leg.workload
                .as_ref()
                .map(|workload| format!("workload {workload}")),
        );
        because.extend(leg.past.clone());
        because.extend(leg.unready.clone());
        if !leg.expected.is_empty() {
            because.push(format!("{} must be there", list(&leg.expected)));
        }
        if !leg.reason.is_empty() {
            because.push(leg.reason.clone());
        }
        if because.is_empty() {
            because.push(match leg.goes {
                Goes::NeedsName => "the mesh knows the workload by that name only".to_owned(),
                _ => "the mesh does not know the address".to_owned(),
            });
        }
        let at = match self.client_in_mesh {
            true => format!("ztunnel of {}", self.client),
            false => self.client.clone(),
        };
        Step::new(at, does, because.join("; "))
    }

    /// What follows the first proxy and the waypoint, as far as anything does.
    fn at_the_end(
        &self,
        passes: &Passes,
        answered: Option<&Waypoint>,
        binding: &Binding,
        blame: Option<&Blame>,
    ) -> Option<Step> {
        let (last, through) = (self.leg.last(), self.leg.waypoint);
        let step = |does: &str, because: &str| Some(Step::new(binding.waypoint(), does, because));
        match passes {
            // What follows a refusal or an answer does not happen.
            _ if through && answered.is_some_and(Waypoint::ends) => None,
            _ if last.waypoint => None,
            Passes::Unknown(Open::Name(host)) if through => step(
                &format!("{host} is resolved first"),
                "what it resolves to decides",
            ),
            Passes::No if last.goes == Goes::Refused => {
                through.then(|| step("refused", &last.reason)).flatten()
            }
            _ => last.arrives(blame),
        }
    }

    /// At the waypoint, where there is one.
    fn at_waypoint(&self, answered: Option<&Waypoint>, binding: &Binding) -> Vec<Step> {
        let at = binding.waypoint();
        match answered {
            _ if !self.leg.waypoint => Vec::new(),
            None => {
                let because = "--waypoint-url names no waypoint to ask";
                vec![Step::new(at, "not asked", because)]
            }
            Some(waypoint) => waypoint.steps(&at),
        }
    }
}

impl Leg {
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
    /// Whether nothing follows: it refuses, or answers itself.
    fn ends(&self) -> bool {
        !self.allowed || self.answer.is_some()
    }

    fn steps(&self, at: &str) -> Vec<Step> {
        let policy = self.policy.as_deref().unwrap_or("no policy matches");
        let does = if self.allowed { "allowed" } else { "denied" };
        let mut steps = vec![Step::new(at, does, policy)];
        let asks = self.asks.iter();
        steps.extend(asks.map(|ask| Step::new(at, "asks somebody else", ask)));
        if self.allowed {
            steps.push(self.routed(at));
        }
        steps
    }

    fn routed(&self, at: &str) -> Step {
        match (self.answer, &self.route, &self.path) {
            (Some(status), Some(route), _) => Step::new(at, format!("answers {status} itself"), route),
            (Some(status), None, _) => Step::new(
                at,
                format!("answers {status} itself"),
                "no rule of the routes that are there takes the request",
            ),
            (None, Some(route), _) => Step::new(at, "routed", route),
            (None, None, Some(_)) => Step::new(at, "routed", "no route: to the service itself"),
            (None, None, None) => Step::new(
                at,
                "goes on",
                "it is about a connection: METHOD PATH asks about a request",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
