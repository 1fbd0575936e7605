//! Which policies decide about what comes to a pod, and where each does: what its ztunnel and its waypoints know goes in. Pure.
//!
//! # Layout
//! - this file: the policies of ztunnel, and all of them together. [`waypoints`]: those of waypoints.

pub mod waypoints;

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View};
use waypoints::{Said, Waypoint};

/// The policies of a pod.
#[derive(Clone, Debug)]
pub struct Checked {
    pod: String,
    policies: Vec<Policy>,
    /// Those that decide before.
    waypoints: Vec<Waypoint>,
}

/// A policy, as ztunnel shows it.
#[derive(Clone, Debug, Deserialize)]
struct Policy {
    name: String,
    namespace: String,
    scope: Scope,
    action: String,
    #[serde(default)]
    rules: Vec<Value>,
    #[serde(default, rename = "dryRun")]
    on_trial: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Scope {
    Global,
    Namespace,
    WorkloadSelector,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    workloads: Vec<Workload>,
    services: Vec<Service>,
    policies: Vec<Policy>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    uid: String,
    name: String,
    namespace: String,
    protocol: String,
    #[serde(default)]
    waypoint: Option<Gateway>,
    #[serde(default)]
    authorization_policies: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Service {
    name: String,
    namespace: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    waypoint: Option<Gateway>,
    #[serde(default)]
    endpoints: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Gateway {
    destination: String,
}

/// The policies of a pod, `<namespace>/<name>`, by the page of its node's ztunnel.
///
/// # Errors
/// Fails when the page is another one, or does not know the pod.
pub fn check(page: &Value, pod: &str) -> anyhow::Result<Checked> {
    let (namespace, name) = pod
        .split_once('/')
        .with_context(|| format!("{pod:?} is no pod: write <namespace>/<pod>"))?;
    let page = Page::deserialize(page).context("the answer is none of a ztunnel of this version; is it the ztunnel of the pod's node that --url or --file names?")?;
    let mut workloads = page.workloads.iter();
    let workload = workloads.find(|workload| workload.name == name && workload.namespace == namespace);
    let workload = workload.with_context(|| {
        format!(
            "its ztunnel does not know of pod {pod}; lateen node workloads -n {namespace} shows whom it knows"
        )
    })?;
    if workload.protocol != "HBONE" {
        return Err(anyhow!(
            "pod {pod} is not in the mesh: no policy is enforced; kubectl label namespace {namespace} \
             istio.io/dataplane-mode=ambient brings it in"
        ));
    }
    let applies = |policy: &&Policy| match policy.scope {
        Scope::Global => true,
        Scope::Namespace => policy.namespace == namespace,
        Scope::WorkloadSelector => {
            let key = format!("{}/{}", policy.namespace, policy.name);
            workload.authorization_policies.contains(&key)
        }
    };
    let mut waypoints = Vec::new();
    let own = workload.waypoint.as_ref();
    waypoints.extend(own.map(|gateway| page.waypoint(gateway, format!("Pod {pod}"), None)));
    for service in &page.services {
        if let Some(gateway) = &service.waypoint
            && service.endpoints.contains_key(&workload.uid)
        {
            let of = format!("Service {}/{}", service.namespace, service.name);
            waypoints.push(page.waypoint(gateway, of, Some(service.full_name())));
        }
    }
    Ok(Checked {
        pod: pod.to_owned(),
        policies: page.policies.iter().filter(applies).cloned().collect(),
        waypoints,
    })
}

impl Page {
    /// A waypoint, and the Pods that stand behind its service.
    fn waypoint(&self, gateway: &Gateway, of: String, service: Option<String>) -> Waypoint {
        let mut services = self.services.iter();
        let front = services.find(|front| front.full_name() == gateway.destination);
        let proxies = front.into_iter().flat_map(|front| front.endpoints.keys());
        Waypoint {
            destination: gateway.destination.clone(),
            of,
            service,
            proxies: proxies.filter_map(|uid| waypoints::pod(uid)).collect(),
            said: Said::NotAsked,
        }
    }
}

impl Service {
    /// `<namespace>/<host>`.
    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.hostname)
    }
}

impl Checked {
    /// The waypoints, to be asked.
    pub fn waypoints_mut(&mut self) -> &mut [Waypoint] {
        &mut self.waypoints
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["AT", "POLICY", "ACTION", "SCOPE", "RULES"]).or(format!(
            "no policy decides about what comes to {}: everybody may",
            self.pod
        ));
        for policy in &self.policies {
            table.row([
                "ztunnel".to_owned(),
                format!("{}/{}", policy.namespace, policy.name),
                match policy.on_trial {
                    true => format!("{} (on trial)", policy.action),
                    false => policy.action.clone(),
                },
                format!("{:?}", policy.scope),
                policy.rules.len().to_string(),
            ]);
        }
        let allows = |policy: &Policy| policy.action == "Allow" && !policy.on_trial;
        if self.policies.iter().any(allows) {
            table.foot("there is an ALLOW policy: what none of them matches is denied");
        }
        for waypoint in &self.waypoints {
            waypoint.show(&mut table);
        }
        table.foot("lateen explain FROM TO says what becomes of one connection or request");
        let policies = self.policies.iter().map(|policy| {
            json!({
                "at": "ztunnel",
                "namespace": policy.namespace,
                "name": policy.name,
                "action": policy.action,
                "scope": format!("{:?}", policy.scope),
                "rules": policy.rules,
                "onTrial": policy.on_trial,
            })
        });
        let waypoints = self.waypoints.iter().map(Waypoint::data);
        View {
            table,
            data: json!({
                "pod": self.pod,
                "policies": policies.collect::<Vec<_>>(),
                "waypoints": waypoints.collect::<Vec<_>>(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
