//! Makes, lists and deletes waypoints in a cluster.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_kube::write::Part;
use mesh_kube::{Apply, KubeClient, ObjectName, Resource, Selection};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Found, Wanted};

/// Makes a waypoint, or changes the one of this name.
///
/// # Errors
/// Fails with what is wrong with the way, our rights or the object; [`mesh_kube::KubeError::Owned`] when somebody else's
/// fields would be taken over and `overwrite` does not allow it.
pub async fn apply(client: &KubeClient, wanted: &Wanted, overwrite: bool) -> anyhow::Result<()> {
    let name = name(wanted);
    let how = Apply {
        manager: MANAGER,
        force: overwrite,
    };
    let applied = client
        .apply::<Value>(&GATEWAYS, &name, Part::Main, how, &wanted.gateway())
        .await;
    applied.with_context(|| {
        format!(
            "Gateway {name}: not applied (fields of somebody else's are only taken over with --overwrite)"
        )
    })?;
    Ok(())
}

/// Binds a namespace to a waypoint.
///
/// # Errors
/// Fails with what is wrong with the way, our rights or the namespace.
pub async fn enroll(client: &KubeClient, namespace: &str, waypoint: &str) -> anyhow::Result<()> {
    let patch = json!({"metadata": {"labels": {"istio.io/use-waypoint": waypoint}}});
    let name = ObjectName::cluster(namespace);
    let patched = client.merge_patch(&NAMESPACES, &name, Part::Main, &patch).await;
    patched.with_context(|| format!("Namespace {namespace}: label istio.io/use-waypoint"))
}

/// Waits until a waypoint takes traffic.
///
/// # Errors
/// Fails with what keeps it from doing so when the time is over.
pub async fn wait(client: &KubeClient, wanted: &Wanted, limit: Duration) -> anyhow::Result<()> {
    let name = name(wanted);
    let mut why = "it is not there".to_owned();
    let programmed = async {
        loop {
            match client.find::<Found>(&GATEWAYS, &name).await {
                Ok(Some(found)) if found.is_programmed() => return,
                Ok(Some(found)) => why = found.why(),
                Ok(None) => "it is not there".clone_into(&mut why),
                Err(error) => why = error.to_string(),
            }
            sleep(AGAIN).await;
        }
    };
    let waited = timeout(limit, programmed).await.is_ok();
    if !waited {
        bail!(
            "waypoint {name} takes no traffic after {} s: {why}",
            limit.as_secs()
        );
    }
    Ok(())
}

/// The waypoints of a namespace, or of all.
///
/// # Errors
/// Fails with what is wrong with the way or our rights, and where the cluster knows no Gateways.
pub async fn list(client: &KubeClient, namespace: Option<&str>) -> anyhow::Result<Vec<Found>> {
    let selection = Selection {
        resource: GATEWAYS,
        namespace: namespace.map(str::to_owned),
        field_selector: None,
        label_selector: None,
        metadata_only: false,
    };
    let found = client.list::<Found>(&selection).await;
    let mut found = found.context("Gateways (are Gateway API's CRDs installed?)")?;
    found.retain(Found::is_waypoint);
    Ok(found)
}

/// Deletes waypoints; gives the names of those that were there.
///
/// # Errors
/// Fails at the first that cannot be deleted.
pub async fn delete(client: &KubeClient, namespace: &str, names: &[String]) -> anyhow::Result<Vec<String>> {
    let mut deleted = Vec::new();
    for name in names {
        let name = ObjectName::new(namespace, name);
        let found = client.find::<Found>(&GATEWAYS, &name).await;
        match found.with_context(|| format!("Gateway {name}"))? {
            // The same command must not take an ingress away.
            Some(found) if !found.is_waypoint() => bail!("Gateway {name} is no waypoint"),
            Some(_) => {
                let gone = client.delete(&GATEWAYS, &name, None).await;
                if gone.with_context(|| format!("Gateway {name}"))? {
                    deleted.push(name.to_string());
                }
            }
            None => bail!("there is no waypoint {name}"),
        }
    }
    Ok(deleted)
}

fn name(wanted: &Wanted) -> ObjectName {
    ObjectName::new(wanted.namespace.as_deref().unwrap_or("default"), &wanted.name)
}

const MANAGER: &str = "lateen";
const AGAIN: Duration = Duration::from_millis(500);
pub(crate) const GATEWAYS: Resource =
    Resource::namespaced("gateway.networking.k8s.io", "v1", "gateways", "Gateway");
const NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");

#[cfg(test)]
mod tests;
