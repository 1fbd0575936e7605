//! What each part of the mesh holds in memory: by the kubelets' account of their cgroups.

use anyhow::{Context, Result};
use lab::cluster::{Cluster, Kubectl};
use serde_json::Value;

/// A container of the mesh, in MB of a million bytes.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) container: String,
    pub(crate) rss: f64,
    /// What cannot be taken from it without harm: what it uses but for idle pages of files.
    pub(crate) working_set: f64,
}

/// All containers of the mesh's own namespace, by name; of several of one name the largest.
pub(crate) fn held(cluster: &Cluster, kubectl: &Kubectl) -> Result<Vec<Held>> {
    let mut all: Vec<Held> = Vec::new();
    for node in cluster.nodes() {
        let page = format!("/api/v1/nodes/{}/proxy/stats/summary", node.name());
        let summary: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &page])?)?;
        let pods = summary["pods"].as_array().context("pods")?;
        for pod in pods
            .iter()
            .filter(|pod| pod["podRef"]["namespace"] == "istio-system")
        {
            for container in pod["containers"].as_array().into_iter().flatten() {
                let held = of(container).with_context(|| container.to_string())?;
                match all.iter_mut().find(|other| other.container == held.container) {
                    Some(other) if other.working_set < held.working_set => *other = held,
                    Some(_) => {}
                    None => all.push(held),
                }
            }
        }
    }
    all.sort_by(|one, other| one.container.cmp(&other.container));
    Ok(all)
}

fn of(container: &Value) -> Option<Held> {
    let memory = &container["memory"];
    Some(Held {
        container: container["name"].as_str()?.to_owned(),
        rss: memory["rssBytes"].as_f64()? / MB,
        working_set: memory["workingSetBytes"].as_f64()? / MB,
    })
}

const MB: f64 = 1e6;
