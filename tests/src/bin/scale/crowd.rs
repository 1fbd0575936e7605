//! The cluster's objects: what a cluster of this size has, as an API server sends it, and their changes.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::cluster::Kubectl;
use mesh_kube::write::Part;
use mesh_kube::{Access, KubeClient, KubeError, ObjectName, Resource, Selection};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How large the cluster is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pods: usize,
    services: usize,
    namespaces: usize,
    nodes: usize,
    proxies: usize,
}

/// The objects that were made.
#[derive(Debug)]
pub(crate) struct Crowd {
    client: KubeClient,
    size: Size,
}

impl Size {
    /// A cluster of ordinary proportions: 50 pods a Service, five Services a namespace, 100 pods a node.
    pub(crate) fn of(pods: usize, proxies: usize) -> Self {
        let services = pods.div_ceil(50);
        Self {
            pods,
            services,
            namespaces: services.div_ceil(5),
            nodes: pods.div_ceil(100).max(proxies),
            proxies,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pods,
            services,
            namespaces,
            nodes,
            proxies: _,
        } = self;
        write!(
            f,
            "{pods} pods, {services} Services, {namespaces} namespaces, {nodes} nodes"
        )
    }
}

impl Crowd {
    /// Makes everything, and waits until Kubernetes' own controllers are done with it.
    pub(crate) async fn make(kubeconfig: &Path, size: Size) -> Result<Self> {
        let access = Access::Kubeconfig {
            path: Some(kubeconfig.to_owned()),
            context: None,
        };
        let client = KubeClient::connect(&access).await?;
        let crowd = Self { client, size };
        let root = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE}});
        crowd.create(&NAMESPACES, "", root).await?;
        crowd.each(size.namespaces, Self::make_namespace).await?;
        crowd.each(size.nodes, Self::make_node).await?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ZTUNNEL}});
        crowd.create(&ACCOUNTS, ROOT_NAMESPACE, account).await?;
        crowd.each(size.services, Self::make_account).await?;
        crowd.each(size.proxies, Self::make_proxy).await?;
        crowd.each(size.pods, Self::make_pod).await?;
        // Last: their EndpointSlices are then written once.
        crowd.each(size.services, Self::make_service).await?;
        crowd.slices_are_complete().await?;
        Ok(crowd)
    }

    /// The name of a pod's resource on xDS.
    pub(crate) fn resource(&self, pod: usize) -> String {
        format!("Kubernetes//Pod/{}/{}", self.namespace_of(pod), name(pod))
    }

    /// A pod's kubelet says that it is not ready any more.
    pub(crate) async fn make_unready(&self, pod: usize) -> Result<()> {
        let name = ObjectName::new(self.namespace_of(pod), name(pod));
        let patch = json!({"status": {"conditions": conditions(false)}});
        let patched = self.client.merge_patch(&PODS, &name, Part::Status, &patch);
        patched.await.with_context(|| name.to_string())
    }

    /// Does something for each number, some of them at a time.
    async fn each<F>(&self, count: usize, make: fn(Arc<Self>, usize) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let all = Arc::new(Self {
            client: self.client.clone(),
            size: self.size,
        });
        let mut under_way = JoinSet::new();
        for number in 0..count {
            if under_way.len() >= AT_ONCE {
                under_way.join_next().await.context("a task")???;
            }
            under_way.spawn(make(all.clone(), number));
        }
        while let Some(made) = under_way.join_next().await {
            made??;
        }
        Ok(())
    }

    async fn make_namespace(self: Arc<Self>, number: usize) -> Result<()> {
        let labels =
            json!({"istio.io/dataplane-mode": "ambient", "kubernetes.io/metadata.name": namespace(number)});
        let metadata = json!({"name": namespace(number), "labels": labels});
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.create(&NAMESPACES, "", object).await
    }

    async fn make_node(self: Arc<Self>, number: usize) -> Result<()> {
        let zone = format!("west-{}", number % 3);
        let labels = json!({
            "kubernetes.io/hostname": node(number),
            "kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": "west",
            "topology.kubernetes.io/zone": zone,
        });
        let metadata = json!({"name": node(number), "labels": labels});
        let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata});
        self.create(&NODES, "", object).await
    }

    async fn make_account(self: Arc<Self>, service: usize) -> Result<()> {
        let metadata = json!({"name": application(service)});
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
        self.create(&ACCOUNTS, &namespace(service % self.size.namespaces), object)
            .await
    }

    async fn make_service(self: Arc<Self>, service: usize) -> Result<()> {
        let ports = json!([
            {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"},
            {"name": "metrics", "port": 9090, "targetPort": 9090},
        ]);
        let object = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": application(service), "labels": {"app": application(service)}},
            "spec": {"selector": {"app": application(service)}, "ports": ports},
        });
        self.create(&SERVICES, &namespace(service % self.size.namespaces), object)
            .await
    }

    /// The pod of a node proxy, whom a stream's token is bound to. It shares the node's network.
    async fn make_proxy(self: Arc<Self>, number: usize) -> Result<()> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": proxy(number), "labels": {"app": ZTUNNEL}},
            "spec": {
                "nodeName": node(number),
                "hostNetwork": true,
                "serviceAccountName": ZTUNNEL,
                "automountServiceAccountToken": false,
                "containers": [{"name": "ztunnel", "image": "registry.example.com/ztunnel:1"}],
            },
        });
        self.create(&PODS, ROOT_NAMESPACE, object).await
    }

    async fn make_pod(self: Arc<Self>, number: usize) -> Result<()> {
        let namespace = self.namespace_of(number);
        let service = number % self.size.services;
        let at = node(number % self.size.nodes);
        self.create(&PODS, &namespace, pod(number, service, &at)).await?;
        let object = ObjectName::new(namespace, name(number));
        let patch = json!({"status": status(number)});
        let patched = self.client.merge_patch(&PODS, &object, Part::Status, &patch);
        patched.await.with_context(|| object.to_string())
    }

    async fn create(&self, resource: &Resource, namespace: &str, object: Value) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.client.create::<Value>(resource, namespace, &object).await {
                Ok(_) => return Ok(()),
                // A namespace is usable a moment after it was made.
                Err(KubeError::Forbidden(_) | KubeError::Busy(_)) if began.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(e) => return Err(e).with_context(|| format!("{} {}", resource.kind, object["metadata"])),
            }
        }
    }

    fn namespace_of(&self, pod: usize) -> String {
        namespace(pod % self.size.services % self.size.namespaces)
    }

    async fn slices_are_complete(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            let slices: Vec<Slice> = self.client.list(&Selection::all(SLICES.clone())).await?;
            let ready = slices.iter().flat_map(|slice| &slice.endpoints);
            let ready = ready.filter(|endpoint| endpoint.conditions.ready).count();
            if ready >= self.size.pods {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "EndpointSlices have {ready} of {} pods",
                self.size.pods
            );
            sleep(Duration::from_secs(2)).await;
        }
    }
}

#[derive(Debug, Deserialize)]
struct Slice {
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    conditions: EndpointConditions,
}

#[derive(Debug, Deserialize)]
struct EndpointConditions {
    #[serde(default)]
    ready: bool,
}

/// A token of a node proxy's pod, as its kubelet would ask for it.
pub(crate) fn token(kubectl: &Kubectl, number: usize) -> Result<String> {
    let pod = proxy(number);
    let whose = [
        "create",
        "token",
        ZTUNNEL,
        "-n",
        ROOT_NAMESPACE,
        "--audience",
        "istio-ca",
    ];
    let bound = ["--bound-object-kind", "Pod", "--bound-object-name", &pod];
    Ok(kubectl.run(&[&whose[..], &bound].concat())?.trim().to_owned())
}

/// As a Deployment's ReplicaSet makes it.
fn pod(number: usize, service: usize, at: &str) -> Value {
    let application = application(service);
    let hash = format!("{:x}", 0x6b0000 + service);
    let probe = json!({"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10});
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(number),
            "generateName": format!("{application}-{hash}-"),
            "labels": {
                "app": application,
                "app.kubernetes.io/name": application,
                "app.kubernetes.io/version": "1.0.3",
                "pod-template-hash": hash,
            },
            "annotations": {
                "ambient.istio.io/redirection": "enabled",
                "prometheus.io/scrape": "true",
                "prometheus.io/port": "9090",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": format!("{application}-{hash}"),
                "uid": "7d0f9b4c-3f0e-4c63-9f51-0a6a4a6a9d11",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "nodeName": at,
            "serviceAccountName": application,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "main",
                "image": "registry.example.com/shop/application:1.0.3",
                "args": ["--listen", "0.0.0.0:8080", "--log-level", "info"],
                "env": [
                    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "DATABASE", "value": "postgres://database.data.svc.cluster.local:5432/shop"},
                ],
                "ports": [{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9090}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "readinessProbe": probe,
                "livenessProbe": probe,
            }],
        },
    })
}

/// As its kubelet writes it.
fn status(number: usize) -> Value {
    let [_, a, b, c] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let address = format!("10.{}.{b}.{c}", 128 + a);
    json!({
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "192.0.2.1",
        "hostIPs": [{"ip": "192.0.2.1"}],
        "startTime": TIME,
        "conditions": conditions(true),
        "containerStatuses": [{
            "name": "main",
            "image": "registry.example.com/shop/application:1.0.3",
            "imageID": "registry.example.com/shop/application@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
            "containerID": format!("containerd://{number:064x}"),
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": TIME}},
        }],
    })
}

fn conditions(ready: bool) -> Value {
    let condition = |kind: &str, holds: bool| {
        let holds = if holds { "True" } else { "False" };
        json!({"type": kind, "status": holds, "lastTransitionTime": TIME})
    };
    json!([
        condition("PodReadyToStartContainers", true),
        condition("Initialized", true),
        condition("Ready", ready),
        condition("ContainersReady", ready),
        condition("PodScheduled", true),
    ])
}

fn name(pod: usize) -> String {
    format!("application-{pod:05}")
}

fn application(service: usize) -> String {
    format!("application-{service:03}")
}

fn namespace(number: usize) -> String {
    format!("team-{number:03}")
}

pub(crate) fn node(number: usize) -> String {
    format!("node-{number:04}.west.example.com")
}

pub(crate) fn proxy(number: usize) -> String {
    format!("{ZTUNNEL}-{number:02}")
}

pub(crate) const ROOT_NAMESPACE: &str = "istio-system";
const ZTUNNEL: &str = "ztunnel";
const TIME: &str = "2026-01-01T00:00:00Z";
const AT_ONCE: usize = 24;
const PATIENCE: Duration = Duration::from_secs(300);
static NAMESPACES: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");
static NODES: Resource = Resource::cluster_wide("", "v1", "nodes", "Node");
static ACCOUNTS: Resource = Resource::namespaced("", "v1", "serviceaccounts", "ServiceAccount");
static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");
static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
static SLICES: Resource = Resource::namespaced("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
