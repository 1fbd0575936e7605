//! How waypoints stand, and what they carry out.

use anyhow::bail;
use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Found, classes};
use crate::ask;
use crate::ask::cluster::{Asked, GATEWAY_NAME};
use crate::objects::{PODS, list};
use crate::output::{Table, View};
use crate::status::Status;
use crate::validate::or_dash;
use crate::verify::pods::why_not_ready;

/// A waypoint, and its proxies.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The Gateway.
    pub waypoint: Found,
    /// Each proxy, and what is wrong with it.
    pub proxies: Vec<(String, Option<String>)>,
}

/// What one proxy carries out.
#[derive(Clone, Debug)]
pub struct Carried {
    proxy: String,
    shown: Shown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    routes: Vec<String>,
    attached_policies: Vec<String>,
    #[serde(default)]
    not_enforced: Vec<NotEnforced>,
}

#[derive(Clone, Debug, Deserialize)]
struct NotEnforced {
    policy: String,
    reason: String,
}

impl Seen {
    /// Whether it takes traffic, by proxies that have all that they should have.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let well = self.proxies.iter().all(|(_, wrong)| wrong.is_none());
        self.waypoint.is_programmed() && well && !self.proxies.is_empty()
    }
}

impl Carried {
    /// Reads a proxy's page.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(proxy: &str, page: &Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            proxy: proxy.to_owned(),
            shown: Shown::deserialize(page)?,
        })
    }

    /// Whether it leaves a policy out.
    #[must_use]
    pub fn leaves_out(&self) -> bool {
        !self.shown.not_enforced.is_empty()
    }
}

/// Conditions and proxies, for people and programs.
#[must_use]
pub fn status(all: &[Seen]) -> View {
    let mut table = Table::new(["WAYPOINT", "WHAT", "STATUS", "WHY"]).or("there is no waypoint");
    let mut data = Vec::new();
    for seen in all {
        let name = seen.waypoint.name().to_string();
        let conditions = &seen.waypoint.status.conditions;
        if conditions.is_empty() {
            table.row([
                name.clone(),
                "Gateway".to_owned(),
                "Unknown".to_owned(),
                seen.waypoint.why(),
            ]);
        }
        for condition in conditions {
            let why = [condition.reason.as_str(), &condition.message];
            let why: Vec<&str> = why.into_iter().filter(|text| !text.is_empty()).collect();
            table.row([
                name.clone(),
                condition.kind.clone(),
                condition.status.clone(),
                or_dash(&why.join(": ")),
            ]);
        }
        if seen.proxies.is_empty() {
            table.row([
                name.clone(),
                "proxies".to_owned(),
                "False".to_owned(),
                "none is there".to_owned(),
            ]);
        }
        for (proxy, wrong) in &seen.proxies {
            let well = if wrong.is_none() { "True" } else { "False" };
            let why = wrong.as_deref().unwrap_or("in step with the control plane");
            table.row([
                name.clone(),
                format!("proxy {proxy}"),
                well.to_owned(),
                why.to_owned(),
            ]);
        }
        let conditions = conditions.iter().map(|condition| {
            json!({"type": condition.kind, "status": condition.status, "reason": condition.reason, "message": condition.message})
        });
        let proxies = seen
            .proxies
            .iter()
            .map(|(proxy, wrong)| json!({"name": proxy, "trouble": wrong}));
        data.push(json!({
            "name": name,
            "well": seen.is_well(),
            "conditions": conditions.collect::<Vec<_>>(),
            "proxies": proxies.collect::<Vec<_>>(),
        }));
    }
    View {
        table,
        data: data.into(),
    }
}

/// Routes and policies, for people and programs.
#[must_use]
pub fn routes(all: &[Carried]) -> View {
    let mut table = Table::new(["PROXY", "WHAT", "OBJECT"]).or("no proxy of this waypoint was asked");
    let mut data = Vec::new();
    for carried in all {
        let shown = &carried.shown;
        for (what, keys) in [("route", &shown.routes), ("policy", &shown.attached_policies)] {
            for key in keys {
                table.row([carried.proxy.clone(), what.to_owned(), key.clone()]);
            }
        }
        if shown.routes.is_empty() && shown.attached_policies.is_empty() {
            let nothing = "none: requests go to the services that they are for".to_owned();
            table.row([carried.proxy.clone(), "route".to_owned(), nothing]);
        }
        for left_out in &shown.not_enforced {
            table.foot(format!(
                "{}: {} is not carried out: {}",
                carried.proxy, left_out.policy, left_out.reason
            ));
        }
        let left_out = shown
            .not_enforced
            .iter()
            .map(|left_out| json!({"policy": left_out.policy, "reason": left_out.reason}));
        data.push(json!({
            "proxy": carried.proxy,
            "routes": shown.routes,
            "policies": shown.attached_policies,
            "notEnforced": left_out.collect::<Vec<_>>(),
        }));
    }
    View {
        table,
        data: data.into(),
    }
}

/// Those that are named; all where none is.
pub(super) fn named(
    mut waypoints: Vec<Found>,
    namespace: Option<&str>,
    names: &[String],
) -> anyhow::Result<Vec<Found>> {
    if names.is_empty() {
        return Ok(waypoints);
    }
    waypoints.retain(|waypoint| names.contains(&waypoint.name().name));
    let is_there = |name: &String| waypoints.iter().any(|waypoint| waypoint.name().name == *name);
    match (names.iter().find(|name| !is_there(name)), namespace) {
        (None, _) => Ok(waypoints),
        (Some(missing), Some(namespace)) => bail!(
            "there is no waypoint {}; lateen waypoint list -A shows those that there are",
            ObjectName::new(namespace, missing.as_str())
        ),
        (Some(missing), None) => {
            bail!(
                "there is no waypoint {missing} in any namespace; lateen waypoint list shows those that there are"
            )
        }
    }
}

/// The waypoints of a namespace, or those that are named, with their proxies.
///
/// # Errors
/// Fails with what is wrong with the way or our rights, and when one that is named is not there.
pub async fn look(cluster: &Asked, namespace: &str, names: &[String]) -> anyhow::Result<Vec<Seen>> {
    let client = cluster.client();
    let waypoints = classes::waypoints(client, Some(namespace)).await?;
    let waypoints = named(waypoints, Some(namespace), names)?;
    let mut clients = Vec::new();
    for pod in cluster.control_planes().await? {
        let page = cluster.page(&pod, ask::MONITORING, "/debug/syncz").await?;
        let page: Vec<Value> = serde_json::from_slice(&page)?;
        clients.extend(page);
    }
    let clients = Status::read(&clients.into())?;
    let mut all = Vec::new();
    for waypoint in waypoints {
        let label = format!("{GATEWAY_NAME}={}", waypoint.name().name);
        let pods = list(client, &PODS, Some(namespace), Some(&label)).await?;
        let proxies = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let proxies = proxies.map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let shown = format!("{name}.{namespace}");
            let wrong = why_not_ready(pod).or_else(|| clients.trouble_of(&shown));
            (name.to_owned(), wrong)
        });
        let proxies = proxies.collect();
        all.push(Seen { waypoint, proxies });
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
