//! Which policies decide about what comes to a pod, and where each does: what its ztunnel knows goes in. Pure.

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View};

/// The policies of a pod.
#[derive(Clone, Debug)]
pub struct Checked {
    pod: String,
    policies: Vec<Policy>,
    /// Waypoints that decide before, and for which service.
    waypoints: Vec<(String, String)>,
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
    let page = Page::deserialize(page).context("the answer is not what this version understands")?;
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
    let of_services = page.services.iter().filter_map(|service| {
        let waypoint = service.waypoint.as_ref()?;
        let serves = service.endpoints.contains_key(&workload.uid);
        let name = format!("Service {}/{}", service.namespace, service.name);
        serves.then(|| (waypoint.destination.clone(), name))
    });
    let own = workload.waypoint.as_ref();
    let own = own.map(|waypoint| (waypoint.destination.clone(), format!("Pod {pod}")));
    Ok(Checked {
        pod: pod.to_owned(),
        policies: page.policies.iter().filter(applies).cloned().collect(),
        waypoints: own.into_iter().chain(of_services).collect(),
    })
}

impl Checked {
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
        for (waypoint, of) in &self.waypoints {
            table.foot(format!(
                "{of} has a waypoint, {waypoint}, which decides about requests: lateen waypoint routes shows its policies"
            ));
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
        let waypoints = self
            .waypoints
            .iter()
            .map(|(waypoint, of)| json!({"waypoint": waypoint, "of": of}));
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
