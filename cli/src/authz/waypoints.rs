//! The policies of waypoints, as their proxies show them (`authorizations` of `/config_dump`). Pure.

use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::Table;

/// A waypoint that decides before the pod's own proxy does.
#[derive(Clone, Debug)]
pub struct Waypoint {
    /// Where it is found: `<namespace>/<host>`.
    pub destination: String,
    /// What is bound to it: `Service shop/cart`.
    pub of: String,
    /// The service, `<namespace>/<host>`, where one is bound.
    pub service: Option<String>,
    /// Its proxies, those of them that are Pods.
    pub proxies: Vec<ObjectName>,
    /// What it says.
    pub said: Said,
}

/// What a waypoint says.
#[derive(Clone, Debug)]
pub enum Said {
    /// Nobody asked.
    NotAsked,
    /// It could not be asked.
    Unknown(String),
    /// These.
    Policies(Vec<Policy>),
}

/// A policy, as a waypoint shows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// `AuthorizationPolicy/shop/readers`.
    policy: String,
    action: String,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    dry_run: bool,
    targets: Vec<Target>,
    rules: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    #[serde(default)]
    service: Option<String>,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    authorizations: Vec<Policy>,
}

impl Said {
    /// What a proxy's page says.
    #[must_use]
    pub fn read(page: &Value) -> Self {
        match Page::deserialize(page) {
            Ok(page) => Self::Policies(page.authorizations),
            Err(_) => Self::Unknown("its proxy is of a version that does not show them".to_owned()),
        }
    }
}

impl Waypoint {
    /// The policies that count here: those for everything that the waypoint serves, and those for the service.
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        let all = match &self.said {
            Said::Policies(policies) => policies.as_slice(),
            Said::NotAsked | Said::Unknown(_) => &[],
        };
        all.iter().filter(|policy| {
            let mut targets = policy.targets.iter();
            targets.any(|target| target.service.is_none() || target.service == self.service)
        })
    }

    /// A row for each policy and a line for each rule; of a waypoint that says nothing why.
    pub(super) fn show(&self, table: &mut Table) {
        let Self { destination, of, .. } = self;
        let mut allows = false;
        let mut rules = Vec::new();
        for policy in self.policies() {
            allows |= policy.action == "Allow" && !policy.dry_run;
            let targets: Vec<&str> = policy.targets.iter().map(|target| target.name.as_str()).collect();
            table.row([
                format!("waypoint {destination}"),
                policy.name().to_owned(),
                policy.what_it_does(),
                targets.join(", "),
                policy.rules.len().to_string(),
            ]);
            let lines = policy.rules.iter();
            rules.extend(lines.map(|rule| format!("{}, at waypoint {destination}: {rule}", policy.name())));
        }
        match &self.said {
            Said::Policies(_) => {
                table.foot(format!("{of}: waypoint {destination} decides about requests first"));
            }
            Said::NotAsked => table.foot(format!(
                "{of} has a waypoint, {destination}, which decides first and was not asked; --waypoint-url names it"
            )),
            Said::Unknown(why) => table.foot(format!(
                "{of} has a waypoint, {destination}, which decides first; its policies are not known: {why}"
            )),
        }
        for rule in rules {
            table.foot(rule);
        }
        if allows {
            table.foot(format!(
                "there is an ALLOW policy at waypoint {destination}: what none of them there matches is denied"
            ));
        }
    }

    pub(super) fn data(&self) -> Value {
        let policies = self.policies().map(|policy| {
            let targets: Vec<&str> = policy.targets.iter().map(|target| target.name.as_str()).collect();
            json!({
                "policy": policy.policy,
                "action": policy.action,
                "provider": policy.provider,
                "onTrial": policy.dry_run,
                "targets": targets,
                "rules": policy.rules,
            })
        });
        let policies: Vec<Value> = policies.collect();
        let mut data = json!({"waypoint": self.destination, "of": self.of, "policies": policies});
        match &self.said {
            Said::Policies(_) => {}
            Said::NotAsked => data["unknown"] = "not asked".into(),
            Said::Unknown(why) => data["unknown"] = why.as_str().into(),
        }
        data
    }
}

impl Policy {
    /// `<namespace>/<name>`.
    fn name(&self) -> &str {
        self.policy
            .split_once('/')
            .map_or(self.policy.as_str(), |(_, name)| name)
    }

    fn what_it_does(&self) -> String {
        let asked = match &self.provider {
            Some(provider) => format!("{} ({provider})", self.action),
            None => self.action.clone(),
        };
        match self.dry_run {
            true => format!("{asked} (on trial)"),
            false => asked,
        }
    }
}

/// The Pod that a workload's uid is of: `Kubernetes//Pod/shop/cart-1`.
pub(super) fn pod(uid: &str) -> Option<ObjectName> {
    let mut parts = uid.rsplit('/');
    let (name, namespace, kind) = (parts.next()?, parts.next()?, parts.next()?);
    (kind == "Pod").then(|| ObjectName::new(namespace, name))
}

#[cfg(test)]
mod tests;
