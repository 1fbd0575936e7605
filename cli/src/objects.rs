//! Objects of any kind: out of what helm rendered, and as a cluster has them.
//!
//! [`understood`]: those that the control plane reads, as it reads them.

pub mod understood;

use std::collections::HashMap;

use anyhow::{Context as _, anyhow};
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Selection};
use serde::Deserialize;
use serde_json::Value;

/// The objects of a text with several documents.
///
/// # Errors
/// Fails when it is no YAML.
pub fn read(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let options = serde_saphyr::options! {
        // YAML 1.2's booleans only: a namespace may be called `on`.
        strict_booleans: true,
        // An error is one line.
        with_snippet: false,
    };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
        .context("what helm has of the release is no YAML")?;
    Ok(all
        .into_iter()
        .filter(|object| object["kind"].is_string())
        .collect())
}

/// `DaemonSet istio-system/ztunnel`.
#[must_use]
pub fn shown(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = ObjectName::new(
        text(&object["metadata"]["namespace"]),
        text(&object["metadata"]["name"]),
    );
    format!("{} {name}", text(&object["kind"]))
}

/// The kinds of a cluster, asked for group by group.
#[derive(Debug)]
pub struct Kinds {
    client: KubeClient,
    known: HashMap<String, Vec<Served>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Group {
    #[serde(default)]
    resources: Vec<Served>,
}

#[derive(Clone, Debug, Deserialize)]
struct Served {
    name: String,
    kind: String,
    namespaced: bool,
}

impl Kinds {
    /// Those of a cluster; nothing is asked yet.
    #[must_use]
    pub fn of(client: &KubeClient) -> Self {
        Self {
            client: client.clone(),
            known: HashMap::new(),
        }
    }

    /// The resource of a kind; nothing where the cluster serves none.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights.
    pub async fn resource(&mut self, api_version: &str, kind: &str) -> anyhow::Result<Option<Resource>> {
        if !self.known.contains_key(api_version) {
            let served = self.ask(api_version).await?;
            self.known.insert(api_version.to_owned(), served);
        }
        // A part of an object, such as its status, is listed with the object's kind.
        let mut served = self.known[api_version]
            .iter()
            .filter(|served| !served.name.contains('/'));
        let Some(found) = served.find(|served| served.kind == kind) else {
            return Ok(None);
        };
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        Ok(Some(Resource {
            group: group.to_owned().into(),
            version: version.to_owned().into(),
            plural: found.name.clone().into(),
            kind: kind.to_owned().into(),
            namespaced: found.namespaced,
        }))
    }

    /// An object as the cluster has it; nothing where it has none. What names no namespace is looked for in `namespace`.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights.
    pub async fn live(&mut self, object: &Value, namespace: &str) -> anyhow::Result<Option<Value>> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let Some(resource) = self.resource(&api_version, &kind).await? else {
            return Ok(None);
        };
        let within = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
        let name = text(&object["metadata"]["name"]);
        let name = if resource.namespaced {
            ObjectName::new(within, name)
        } else {
            ObjectName::cluster(name)
        };
        let found = self.client.find(&resource, &name).await;
        found.with_context(|| format!("{kind} {name}"))
    }

    async fn ask(&self, api_version: &str) -> anyhow::Result<Vec<Served>> {
        let root = if api_version.contains('/') {
            "/apis"
        } else {
            "/api"
        };
        let path = format!("{root}/{api_version}");
        match self.client.text(&path).await {
            Ok(text) => {
                let group: Group = serde_json::from_str(&text).map_err(|why| anyhow!("{path}: {why}"))?;
                Ok(group.resources)
            }
            Err(KubeError::NotFound(_)) => Ok(Vec::new()),
            Err(error) => Err(error).context(path),
        }
    }
}

/// All objects of a resource, in a namespace or in all; none where the cluster does not serve it.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn list(
    client: &KubeClient,
    resource: &Resource,
    namespace: Option<&str>,
    labels: Option<&str>,
) -> anyhow::Result<Vec<Value>> {
    let selection = Selection {
        resource: resource.clone(),
        namespace: namespace.map(str::to_owned),
        field_selector: None,
        label_selector: labels.map(str::to_owned),
        metadata_only: false,
    };
    match client.list(&selection).await {
        Err(KubeError::NotFound(_)) => Ok(Vec::new()),
        found => found.with_context(|| resource.plural.to_string()),
    }
}

/// All objects of a resource; none for whoever may not read it, who is told all the rest.
pub(crate) async fn list_if_allowed(client: &KubeClient, resource: &Resource) -> anyhow::Result<Vec<Value>> {
    match list(client, resource, None, None).await {
        Err(error) if matches!(error.downcast_ref(), Some(KubeError::Forbidden(_))) => Ok(Vec::new()),
        found => found,
    }
}

/// Pods.
pub(crate) const PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
/// Namespaces.
pub(crate) const NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
/// Gateways.
pub(crate) const GATEWAYS: Resource =
    Resource::namespaced("gateway.networking.k8s.io", "v1", "gateways", "Gateway");
/// NetworkPolicies.
pub(crate) const NETWORK_POLICIES: Resource =
    Resource::namespaced("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy");

#[cfg(test)]
mod tests;
