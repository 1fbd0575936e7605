//! The mesh's parts in a cluster: which pods they are, and their pages through the API server.

use anyhow::{Context as _, bail};
use mesh_kube::{Access, KubeClient, ObjectName, Resource, Selection};
use serde::Deserialize;

use crate::args::Cluster;

/// A cluster that can be asked.
#[derive(Debug)]
pub struct Asked {
    client: KubeClient,
    system: String,
}

/// A pod, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
pub struct Pod {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: String,
}

impl Asked {
    /// The cluster that the command line names.
    ///
    /// # Errors
    /// Fails when there is no access to one.
    pub async fn connect(cluster: &Cluster) -> anyhow::Result<Self> {
        let access = match (&cluster.kubeconfig, &cluster.context) {
            (None, None) => Access::detect(),
            (path, context) => Access::Kubeconfig {
                path: path.clone(),
                context: context.clone(),
            },
        };
        let client = KubeClient::connect(&access).await;
        let client =
            client.context("no cluster can be asked; a part that runs elsewhere is asked by --url")?;
        Ok(Self {
            client,
            system: cluster.system.clone(),
        })
    }

    /// A cluster that is reached already.
    #[must_use]
    pub fn over(client: KubeClient, system: &str) -> Self {
        Self {
            client,
            system: system.to_owned(),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &KubeClient {
        &self.client
    }

    /// Every replica of the control plane that runs.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn control_planes(&self) -> anyhow::Result<Vec<Pod>> {
        self.running("app=istiod", "control plane").await
    }

    /// The ztunnel of a node; of any node, where none is named.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn ztunnel(&self, node: Option<&str>) -> anyhow::Result<Pod> {
        let mut pods = self.running("app=ztunnel", "ztunnel").await?;
        pods.sort_by(|a, b| a.spec.node_name.cmp(&b.spec.node_name));
        let nodes: Vec<String> = pods.iter().map(|pod| pod.spec.node_name.clone()).collect();
        let found = pods
            .into_iter()
            .find(|pod| node.is_none_or(|node| pod.spec.node_name == node));
        found.with_context(|| {
            let node = node.unwrap_or_default();
            format!(
                "no ztunnel runs on node {node:?}; there is one on {}",
                nodes.join(", ")
            )
        })
    }

    /// The ztunnel that serves a pod, which is named by its address or as `<namespace>/<name>`.
    ///
    /// # Errors
    /// Fails when there is no such pod, or no ztunnel on its node.
    pub async fn ztunnel_of(&self, pod: &str) -> anyhow::Result<Pod> {
        let all = match pod.split_once('/') {
            Some((namespace, _)) => self.pods(Some(namespace), None).await?,
            None => self.pods(None, None).await?,
        };
        let found = all.into_iter().find(|known| match pod.split_once('/') {
            Some((_, name)) => known.metadata.name == name,
            None => known.status.pod_ip == pod,
        });
        let node = found
            .with_context(|| format!("there is no pod {pod}"))?
            .spec
            .node_name;
        self.ztunnel(Some(&node)).await
    }

    /// A page of a pod.
    ///
    /// # Errors
    /// Fails when nobody answers, or not with the page.
    pub async fn page(&self, pod: &Pod, port: u16, path: &str) -> anyhow::Result<Vec<u8>> {
        let name = ObjectName::new(&pod.metadata.namespace, &pod.metadata.name);
        let asked = async {
            let stream = self.client.forward(&name, port).await?;
            super::http::get(stream, "localhost", path).await
        };
        asked
            .await
            .with_context(|| format!("{path} at port {port} of pod {name}"))
    }

    async fn running(&self, labels: &str, what: &str) -> anyhow::Result<Vec<Pod>> {
        let mut pods = self.pods(Some(&self.system), Some(labels)).await?;
        pods.retain(|pod| pod.status.phase == "Running");
        if pods.is_empty() {
            bail!(
                "no {what} runs in namespace {} (label {labels}); is the mesh installed there? --system names another one",
                self.system
            );
        }
        Ok(pods)
    }

    async fn pods(&self, namespace: Option<&str>, labels: Option<&str>) -> anyhow::Result<Vec<Pod>> {
        let selection = Selection {
            resource: PODS,
            namespace: namespace.map(str::to_owned),
            field_selector: None,
            label_selector: labels.map(str::to_owned),
            metadata_only: false,
        };
        self.client.list(&selection).await.context("the pods")
    }
}

impl Pod {
    /// `<name>.<namespace>`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}.{}", self.metadata.name, self.metadata.namespace)
    }
}

const PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");

#[cfg(test)]
mod tests;
