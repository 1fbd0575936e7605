//! `unenroll`: takes every namespace and pod out of the mesh and waits until no pod's traffic goes through it any more. It
//! runs before an uninstallation, while agents and proxies can still let go of their pods one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh_kube::write::Part;
use mesh_kube::{Access, KubeClient, KubeError, ObjectName, Resource, Selection};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::args::UnenrollArgs;

/// Runs the command.
///
/// # Errors
/// Fails when the API server refuses, and when pods are still in the mesh after a while; it names them.
pub fn run(args: &UnenrollArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("runtime")?;
    runtime.block_on(async {
        let client = KubeClient::connect(&Access::detect())
            .await
            .context("the API server")?;
        for line in unlabel(&client).await? {
            println!("{line}");
        }
        wait(&client, args.patience).await
    })
}

/// Takes the label off whatever has it, and says off what.
async fn unlabel(client: &KubeClient) -> Result<Vec<String>> {
    let mut done = Vec::new();
    for resource in [&NAMESPACES, &PODS] {
        let selection = Selection {
            label_selector: Some(format!("{LABEL}={IN_THE_MESH}")),
            ..all(resource)
        };
        let labelled = client.list::<Meta>(&selection).await?;
        for object in labelled.iter().filter(|o| o.is_labelled()) {
            let name = object.name();
            let patch = json!({"metadata": {"labels": {LABEL: Value::Null}}});
            match client.merge_patch(resource, &name, Part::Main, &patch).await {
                Ok(()) => done.push(format!("{} {}: {LABEL} taken off", resource.kind, of(&name))),
                // It went meanwhile.
                Err(KubeError::NotFound(_)) => {}
                Err(error) => return Err(error).with_context(|| format!("{} {}", resource.kind, of(&name))),
            }
        }
    }
    Ok(done)
}

/// Until no pod that runs says that its traffic is captured. Those that are done, such as a Job's, have no network any more and
/// are nobody's to let go: what they say is taken off.
async fn wait(client: &KubeClient, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let mut captured = captured(client, None).await?;
        if !captured.is_empty() {
            let done = forget_done(client).await?;
            captured.retain(|name| !done.contains(name));
        }
        if captured.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let more = captured.len().saturating_sub(SHOWN);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let shown: Vec<_> = captured.iter().take(SHOWN).map(of).collect();
            bail!(
                "pods are still in the mesh: {}{more}; look at the logs of their nodes' agents, or go on without them: \
                 helm uninstall --no-hooks",
                shown.join(", ")
            );
        }
        sleep(LOOK).await;
    }
}

/// Pods that say that their traffic is captured; of one phase, where one is named.
async fn captured(client: &KubeClient, phase: Option<&str>) -> Result<Vec<ObjectName>> {
    let selection = Selection {
        field_selector: phase.map(|phase| format!("status.phase={phase}")),
        ..all(&PODS)
    };
    let pods = client.list::<Meta>(&selection).await?;
    let captured = pods.iter().filter(|pod| pod.is_captured());
    Ok(captured.map(Meta::name).collect())
}

/// Takes off pods that are done what is true of none of them, and says which they are.
async fn forget_done(client: &KubeClient) -> Result<Vec<ObjectName>> {
    let mut done = Vec::new();
    for phase in DONE {
        done.extend(captured(client, Some(phase)).await?);
    }
    for name in &done {
        let patch = json!({"metadata": {"annotations": {REDIRECTION: Value::Null}}});
        match client.merge_patch(&PODS, name, Part::Main, &patch).await {
            // It went meanwhile.
            Ok(()) | Err(KubeError::NotFound(_)) => {}
            Err(error) => return Err(error).with_context(|| format!("Pod {}", of(name))),
        }
    }
    Ok(done)
}

fn all(resource: &Resource) -> Selection {
    Selection {
        resource: resource.clone(),
        namespace: None,
        field_selector: None,
        label_selector: None,
        metadata_only: true,
    }
}

/// As people write it.
fn of(name: &ObjectName) -> String {
    match name.namespace.as_str() {
        "" => name.name.clone(),
        namespace => format!("{namespace}/{}", name.name),
    }
}

#[derive(Debug, Deserialize)]
struct Meta {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Meta {
    fn name(&self) -> ObjectName {
        ObjectName::new(self.metadata.namespace.as_str(), self.metadata.name.as_str())
    }

    fn is_labelled(&self) -> bool {
        self.metadata.labels.get(LABEL).is_some_and(|v| v == IN_THE_MESH)
    }

    fn is_captured(&self) -> bool {
        self.metadata
            .annotations
            .get(REDIRECTION)
            .is_some_and(|v| v == "enabled")
    }
}

static NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
const LABEL: &str = "istio.io/dataplane-mode";
const IN_THE_MESH: &str = "ambient";
const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The phases of pods that never run again.
const DONE: [&str; 2] = ["Succeeded", "Failed"];
const LOOK: Duration = Duration::from_secs(1);
const SHOWN: usize = 5;

#[cfg(test)]
mod tests;
