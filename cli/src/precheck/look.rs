//! Asks a cluster what it says of itself.

use anyhow::Context as _;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Selection};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Crd, Facts, Meta, Part, rights};
use crate::objects::NAMESPACES;

/// The facts, with the rights to whatever the charts may have.
///
/// # Errors
/// Fails where something that has to be known cannot be asked.
pub async fn look(client: &KubeClient, system: &str) -> anyhow::Result<Facts> {
    let mut facts = without_rights(client, system).await?;
    facts.denied = rights::denied(client, &rights::usual(), system).await?;
    Ok(facts)
}

/// The facts, but for the rights: which are needed, the rendered charts say.
///
/// # Errors
/// As [`look`].
pub async fn without_rights(client: &KubeClient, system: &str) -> anyhow::Result<Facts> {
    let version = client
        .text("/version")
        .await
        .context("the version of the cluster")?;
    let version: Version = serde_json::from_str(&version).context("/version")?;
    let namespace = client
        .find::<Named>(&NAMESPACES, &ObjectName::cluster(system))
        .await;
    let cilium = ObjectName::new("kube-system", "cilium-config");
    let cilium = client.find::<ConfigMap>(&CONFIG_MAPS, &cilium).await;
    Ok(Facts {
        kubernetes: version.git_version,
        denied: Vec::new(),
        unserved: Vec::new(),
        crds: crds(client).await?,
        parts: parts(client).await?,
        injectors: injectors(client).await?,
        // Who may not look there sees no Cilium; that is no reason to say nothing of all the rest.
        cilium: cilium.ok().flatten().map(|map| map.data),
        nodes: list(client, &NODES, None).await?,
        openshift: is_served(client, "config.openshift.io", "clusterversions").await?,
        system: namespace
            .context("the mesh's namespace")?
            .map(|found| found.metadata),
    })
}

/// CRDs of the groups that matter to the mesh.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn crds(client: &KubeClient) -> anyhow::Result<Vec<Crd>> {
    let mut crds: Vec<Crd> = list(client, &CRDS, None).await?;
    crds.retain(|crd| GROUPS.iter().any(|group| crd.spec.group.ends_with(group)));
    Ok(crds)
}

/// Whatever does the work of one of ours, by upstream's labels.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub(crate) async fn parts(client: &KubeClient) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (kind, resource, label) in [
        ("Deployment", &DEPLOYMENTS, "app=istiod"),
        ("DaemonSet", &DAEMONSETS, "k8s-app=istio-cni-node"),
        ("DaemonSet", &DAEMONSETS, "app=ztunnel"),
    ] {
        let found: Vec<Named> = list(client, resource, Some(label)).await?;
        parts.extend(found.into_iter().map(|found| Part {
            kind,
            metadata: found.metadata,
        }));
    }
    Ok(parts)
}

async fn injectors(client: &KubeClient) -> anyhow::Result<Vec<String>> {
    let found: Vec<Named> = list(client, &WEBHOOKS, Some("app=sidecar-injector")).await?;
    Ok(found.into_iter().map(|webhook| webhook.metadata.name).collect())
}

async fn list<T: DeserializeOwned>(
    client: &KubeClient,
    resource: &Resource,
    labels: Option<&str>,
) -> anyhow::Result<Vec<T>> {
    let selection = Selection {
        resource: resource.clone(),
        namespace: None,
        field_selector: None,
        label_selector: labels.map(str::to_owned),
        metadata_only: false,
    };
    match client.list(&selection).await {
        // An API server without the resource has none of it.
        Err(KubeError::NotFound(_)) => Ok(Vec::new()),
        found => found.with_context(|| resource.plural.to_string()),
    }
}

async fn is_served(client: &KubeClient, group: &str, plural: &str) -> anyhow::Result<bool> {
    let versions = client.served_versions(group, plural).await;
    Ok(!versions.with_context(|| group.to_owned())?.is_empty())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

#[derive(Debug, Deserialize)]
struct Named {
    metadata: Meta,
}

#[derive(Debug, Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

const GROUPS: [&str; 3] = ["istio.io", "lateen.dev", "gateway.networking.k8s.io"];
pub(crate) static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "configmaps", "ConfigMap");
static NODES: Resource = Resource::cluster_wide("", "v1", "nodes", "Node");
static DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
static DAEMONSETS: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");
pub(crate) static CRDS: Resource = Resource::cluster_wide(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
);
static WEBHOOKS: Resource = Resource::cluster_wide(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
);
#[cfg(test)]
mod tests;
