//! The mesh's parts in a cluster: which pods they are, and their pages through the API server.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, bail};
use http::Method;
use mesh_kube::{Access, KubeClient, ObjectName, Selection};
use serde::Deserialize;
use tokio::time::timeout;

use crate::args::Cluster;
use crate::clock::seconds;
use crate::objects::PODS;
use crate::status::absent::{Kind, Running};

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
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
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
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    running: Option<Started>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Started {
    started_at: String,
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
            client.context("no cluster can be asked (--kubeconfig and --context name one; a part that runs in none is asked by --url, where a command has that)")?;
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

    /// The namespace that the mesh itself runs in.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Every replica of the control plane that runs.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn control_planes(&self) -> anyhow::Result<Vec<Pod>> {
        self.running("app=istiod", "control plane").await
    }

    /// Every ztunnel that runs.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn ztunnels(&self) -> anyhow::Result<Vec<Pod>> {
        self.running("app=ztunnel", "ztunnel").await
    }

    /// The ztunnel of a node; of any node, where none is named.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn ztunnel(&self, node: Option<&str>) -> anyhow::Result<Pod> {
        let mut pods = self.ztunnels().await?;
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

    /// The ztunnel to ask about a client, which is named as for [`Self::ztunnel_of`]. About an address that no pod has, any
    /// can be asked: each knows the whole mesh.
    ///
    /// # Errors
    /// Fails when there is no such pod, or no ztunnel.
    pub async fn ztunnel_for(&self, client: &str) -> anyhow::Result<Pod> {
        let is_stranger = client.parse::<IpAddr>().is_ok()
            && !self
                .pods(None, None)
                .await?
                .iter()
                .any(|pod| pod.status.pod_ip == client);
        if is_stranger {
            return self.ztunnel(None).await;
        }
        self.ztunnel_of(client).await
    }

    /// The proxies of a waypoint that run.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn waypoint(&self, namespace: &str, name: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.alive(namespace, &format!("{GATEWAY_NAME}={name}")).await?;
        if pods.is_empty() {
            bail!("no proxy of waypoint {namespace}/{name} runs; lateen waypoint status says why");
        }
        Ok(pods)
    }

    /// The proxies of every waypoint that run, in all namespaces.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights.
    pub async fn waypoints(&self) -> anyhow::Result<Vec<Pod>> {
        let mut pods = self.pods(None, Some(MANAGED)).await?;
        pods.retain(|pod| pod.status.phase == "Running");
        Ok(pods)
    }

    /// Every proxy that runs, is to go on, and is a client of this mesh's control planes: ztunnels, and waypoints of all namespaces
    /// and of the revisions that are here.
    ///
    /// # Errors
    /// Fails with what is wrong with the way or our rights.
    pub async fn proxies(&self) -> anyhow::Result<Vec<Running>> {
        let ztunnels = self.alive(&self.system, "app=ztunnel").await?;
        let control_planes = self.control_planes().await?;
        let is_here = |revision: &String| {
            let mut here = control_planes.iter();
            here.any(|pod| pod.metadata.labels.get(REVISION) == Some(revision))
        };
        let is_ours = |pod: &Pod| {
            let managed = pod.metadata.labels.get(MANAGED).map(String::as_str);
            let revision = pod.metadata.annotations.get(REVISION);
            managed.is_some_and(|by| WAYPOINTS.contains(&by)) && revision.is_none_or(is_here)
        };
        let waypoints = self.waypoints().await?;
        let ztunnels = ztunnels.iter().map(|pod| (pod, Kind::Ztunnel));
        let waypoints = waypoints.iter().map(|pod| (pod, Kind::Waypoint));
        let all = ztunnels.chain(waypoints.filter(|(pod, _)| is_ours(pod)));
        Ok(all.filter_map(|(pod, kind)| pod.running(kind)).collect())
    }

    /// Every node agent that runs.
    ///
    /// # Errors
    /// Fails when there is none.
    pub async fn agents(&self) -> anyhow::Result<Vec<Pod>> {
        self.running("k8s-app=istio-cni-node", "node agent").await
    }

    /// A page of a pod.
    ///
    /// # Errors
    /// Fails when nobody answers, or not with the page.
    pub async fn page(&self, pod: &Pod, port: u16, path: &str) -> anyhow::Result<Vec<u8>> {
        self.request(Method::GET, &pod.name(), port, path).await
    }

    /// A page of a node agent. Older ones serve all of theirs where their metrics are.
    ///
    /// # Errors
    /// Fails when nobody answers, or not with the page.
    pub async fn agents_page(&self, agent: &Pod, path: &str) -> anyhow::Result<Vec<u8>> {
        match self.page(agent, super::AGENT_ADMIN_PORT, path).await {
            Ok(page) => Ok(page),
            Err(why) => {
                let older = self.page(agent, super::MONITORING, path).await;
                older.map_err(|_| why)
            }
        }
    }

    /// A page of the pod of this name.
    ///
    /// # Errors
    /// Fails when nobody answers, or not with the page.
    pub async fn page_of(&self, pod: &ObjectName, port: u16, path: &str) -> anyhow::Result<Vec<u8>> {
        self.request(Method::GET, pod, port, path).await
    }

    /// What a pod answers when it is told something.
    ///
    /// # Errors
    /// Fails when nobody answers, or it refuses.
    pub async fn post(&self, pod: &Pod, port: u16, path: &str) -> anyhow::Result<Vec<u8>> {
        self.request(Method::POST, &pod.name(), port, path).await
    }

    async fn request(
        &self,
        method: Method,
        name: &ObjectName,
        port: u16,
        path: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let asked = async {
            let stream = self.client.forward(name, port).await?;
            super::http::ask(stream, method, "localhost", path).await
        };
        let answer = timeout(super::PATIENCE, asked).await;
        let answer = answer.unwrap_or_else(|_| bail!("no answer within {} s", super::PATIENCE.as_secs()));
        answer.with_context(|| format!("{path} at port {port} of pod {name}"))
    }

    async fn running(&self, labels: &str, what: &str) -> anyhow::Result<Vec<Pod>> {
        let pods = self.alive(&self.system, labels).await?;
        if pods.is_empty() {
            bail!(
                "no {what} runs in namespace {} (label {labels}); is the mesh installed there? --system names another one",
                self.system
            );
        }
        Ok(pods)
    }

    async fn alive(&self, namespace: &str, labels: &str) -> anyhow::Result<Vec<Pod>> {
        let mut pods = self.pods(Some(namespace), Some(labels)).await?;
        pods.retain(|pod| pod.status.phase == "Running");
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
    /// Which one it is.
    #[must_use]
    pub fn name(&self) -> ObjectName {
        ObjectName::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// The node that it runs on.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.spec.node_name
    }

    /// As a proxy of that kind; nothing where no container of it runs, or it is to end.
    fn running(&self, kind: Kind) -> Option<Running> {
        let containers = self.status.container_statuses.iter();
        let started = containers.filter_map(|one| seconds(&one.state.running.as_ref()?.started_at));
        Some(Running {
            name: self.name(),
            kind,
            node: self.node().to_owned(),
            since: started
                .max()
                .filter(|_| self.metadata.deletion_timestamp.is_none())?,
        })
    }

    /// `<name>.<namespace>`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}.{}", self.metadata.name, self.metadata.namespace)
    }
}

/// Upstream's label of what is made of a Gateway.
const MANAGED: &str = "gateway.istio.io/managed";
/// What it says of waypoints, of upstream's class and of our own.
const WAYPOINTS: [&str; 2] = ["istio.io-mesh-controller", "lateen.dev-mesh-controller"];
/// What a control plane's pods are labelled with, and a waypoint's annotated.
const REVISION: &str = "istio.io/rev";
/// Upstream's label of a Gateway's pods.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

#[cfg(test)]
mod tests;
