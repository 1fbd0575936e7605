//! Makes and deletes waypoints in a cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_kube::write::Part;
use mesh_kube::{Apply, KubeClient, KubeError, ObjectName};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::classes::Classes;
use super::{Found, Wanted};
use crate::objects::{GATEWAYS, NAMESPACES};

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
    applied.map_err(|error| {
        let hint = match error {
            KubeError::Owned { .. } => ": not applied; --overwrite takes over fields of somebody else's",
            KubeError::NotFound(_) => {
                ": not applied; is there such a namespace, and are Gateway API's CRDs installed?"
            }
            _ => ": not applied",
        };
        anyhow::Error::new(error).context(format!("Gateway {name}{hint}"))
    })?;
    Ok(())
}

/// A namespace, as far as it is bound to a waypoint.
#[derive(Clone, Debug, Deserialize)]
pub struct Home {
    metadata: HomeMetadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HomeMetadata {
    name: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// How a namespace stands to a waypoint of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is bound to it.
    Bound,
    /// It is bound to none.
    Free,
    /// It is bound to another one, or says that it wants none; as its labels say it.
    Otherwise(String),
}

impl Home {
    /// How it stands to the waypoint of this name.
    #[must_use]
    pub fn binding(&self, waypoint: &str) -> Binding {
        let Some(name) = self.label(USE_WAYPOINT) else {
            return Binding::Free;
        };
        let elsewhere = self
            .label(USE_WAYPOINT_NAMESPACE)
            .filter(|&namespace| namespace != self.metadata.name);
        match elsewhere {
            None if name == waypoint => Binding::Bound,
            None => Binding::Otherwise(format!("{USE_WAYPOINT}={name}")),
            Some(namespace) => Binding::Otherwise(format!(
                "{USE_WAYPOINT}={name}, {USE_WAYPOINT_NAMESPACE}={namespace}"
            )),
        }
    }

    /// Whether its pods are in the mesh.
    #[must_use]
    pub fn is_in_the_mesh(&self) -> bool {
        self.label(DATAPLANE_MODE) == Some("ambient")
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.get(key).map(String::as_str)
    }
}

/// A namespace that may be bound to a waypoint of its own.
///
/// # Errors
/// Fails when it is bound to another one and `overwrite` does not allow to change that, and with what is wrong with the way,
/// our rights or the namespace.
pub async fn home(
    client: &KubeClient,
    namespace: &str,
    waypoint: &str,
    overwrite: bool,
) -> anyhow::Result<Home> {
    let home = client
        .get::<Home>(&NAMESPACES, &ObjectName::cluster(namespace))
        .await;
    let home = home.with_context(|| format!("Namespace {namespace}"))?;
    match home.binding(waypoint) {
        Binding::Otherwise(labels) if !overwrite => {
            bail!("Namespace {namespace} is labelled {labels}; --overwrite binds it to {waypoint} instead")
        }
        _ => Ok(home),
    }
}

/// Binds a namespace to a waypoint of its own.
///
/// # Errors
/// As [`home`], and when somebody else changes the namespace at the same time.
pub async fn enroll(
    client: &KubeClient,
    namespace: &str,
    waypoint: &str,
    overwrite: bool,
) -> anyhow::Result<()> {
    let home = home(client, namespace, waypoint, overwrite).await?;
    if home.binding(waypoint) == Binding::Bound {
        return Ok(());
    }
    let patch = json!({"metadata": {
        "resourceVersion": home.metadata.resource_version,
        "labels": {USE_WAYPOINT: waypoint, USE_WAYPOINT_NAMESPACE: Value::Null},
    }});
    let name = ObjectName::cluster(namespace);
    let patched = client.merge_patch(&NAMESPACES, &name, Part::Main, &patch).await;
    patched.with_context(|| format!("Namespace {namespace}: label {USE_WAYPOINT}"))
}

/// Whether a waypoint takes traffic now.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn is_programmed(client: &KubeClient, wanted: &Wanted) -> anyhow::Result<bool> {
    let name = name(wanted);
    let found = client.find::<Found>(&GATEWAYS, &name).await;
    let found = found.with_context(|| format!("Gateway {name}"))?;
    Ok(found.is_some_and(|found| found.is_programmed()))
}

/// Waits until a waypoint takes traffic. What keeps it from doing so is told when it changes.
///
/// # Errors
/// Fails with what keeps it from doing so when the time is over.
pub async fn wait(
    client: &KubeClient,
    wanted: &Wanted,
    limit: Duration,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<()> {
    let name = name(wanted);
    let mut why = String::new();
    let programmed = async {
        loop {
            let now = match client.find::<Found>(&GATEWAYS, &name).await {
                Ok(Some(found)) if found.is_programmed() => return,
                Ok(Some(found)) => found.why(),
                Ok(None) => "it is not there".to_owned(),
                Err(error) => error.to_string(),
            };
            if now != why {
                tell(&format!("waypoint {name} takes no traffic yet: {now}"));
                why = now;
            }
            sleep(AGAIN).await;
        }
    };
    let waited = timeout(limit, programmed).await.is_ok();
    if !waited {
        bail!(
            "waypoint {name} takes no traffic after {} s: {why}; lateen waypoint status -n {} {} shows its proxies",
            limit.as_secs(),
            name.namespace,
            name.name
        );
    }
    Ok(())
}

/// Deletes waypoints; gives the names of those that were there.
///
/// # Errors
/// Fails at the first that cannot be deleted.
pub async fn delete(client: &KubeClient, namespace: &str, names: &[String]) -> anyhow::Result<Vec<String>> {
    let mut deleted = Vec::new();
    let classes = Classes::of(client).await?;
    for name in names {
        let name = ObjectName::new(namespace, name);
        let found = client.find::<Found>(&GATEWAYS, &name).await;
        match found.with_context(|| format!("Gateway {name}"))? {
            // The same command must not take an ingress away.
            Some(found) if !classes.is_waypoint(found.class()) => bail!("Gateway {name} is no waypoint"),
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

const USE_WAYPOINT: &str = "istio.io/use-waypoint";
const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
const MANAGER: &str = "lateen";
const AGAIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
