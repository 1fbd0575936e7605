//! Asks a cluster for what is looked at.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use controlplane_k8s_api::service::Service;
use controlplane_k8s_api::{Kind, Located, Object, RawObject};
use controlplane_kube::resources::{Need, WATCHED, Watched};
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource};
use serde_json::Value;

use super::live::Seen;
use crate::ask;
use crate::ask::cluster::{Asked, PODS};
use crate::objects::list;
use crate::precheck::look::look as facts;
use crate::validate::{Fault, Validated};

/// Every object that the control plane reads, as it reads them.
///
/// # Errors
/// Fails with what is wrong with the way or our rights; what some objects refer to need not be readable.
pub async fn objects(client: &KubeClient) -> anyhow::Result<Validated> {
    objects_of(client, |_| true).await
}

/// The same without Secrets, which are not even asked for: what refers to one then finds none.
///
/// # Errors
/// Fails as [`objects`] does.
pub async fn objects_without_secrets(client: &KubeClient) -> anyhow::Result<Validated> {
    objects_of(client, |watched| watched.kind != Kind::Secret).await
}

async fn objects_of(client: &KubeClient, wanted: impl Fn(&Watched) -> bool) -> anyhow::Result<Validated> {
    let mut all = Validated::default();
    for watched in WATCHED.iter().filter(|watched| wanted(watched)) {
        take_all(client, watched, &mut all).await?;
    }
    for makers in [&DEPLOYMENTS, &STATEFUL_SETS, &DAEMON_SETS] {
        // A list's items say neither version nor kind.
        let listed = if_allowed(client, makers).await?;
        all.makers.extend(listed.into_iter().map(|mut maker| {
            maker["apiVersion"] = makers.api_version().to_string().into();
            maker["kind"] = makers.kind.to_string().into();
            maker
        }));
    }
    Ok(all)
}

/// The Services of a cluster, for comparison with another's.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn services(client: &KubeClient) -> anyhow::Result<Vec<Service>> {
    Ok(super::contexts::services(
        &found(client, Kind::Service, None).await?,
    ))
}

/// The objects of a kind, in a namespace or in all.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn found(client: &KubeClient, kind: Kind, namespace: Option<&str>) -> anyhow::Result<Validated> {
    let mut all = Validated::default();
    for watched in WATCHED.iter().filter(|watched| watched.kind == kind) {
        take_within(client, watched, namespace, &mut all).await?;
    }
    Ok(all)
}

/// Every PeerAuthentication, and one Pod.
///
/// # Errors
/// Fails as [`objects`] does.
pub async fn authentications(client: &KubeClient, pod: &ObjectName) -> anyhow::Result<Validated> {
    let mut all = Validated::default();
    let peers = WATCHED
        .iter()
        .filter(|watched| watched.kind == Kind::PeerAuthentication);
    for watched in peers {
        take_all(client, watched, &mut all).await?;
    }
    let found: Option<RawObject> = client.find(&PODS, pod).await.context("the pod")?;
    if let Some(Ok(object)) = found.map(|found| found.understand(Kind::Pod)) {
        take(&mut all, object);
    }
    Ok(all)
}

async fn take_all(client: &KubeClient, watched: &Watched, all: &mut Validated) -> anyhow::Result<()> {
    take_within(client, watched, None, all).await
}

async fn take_within(
    client: &KubeClient,
    watched: &Watched,
    namespace: Option<&str>,
    all: &mut Validated,
) -> anyhow::Result<()> {
    let served = client
        .served_versions(watched.group().name(), watched.plural)
        .await;
    let served = served.with_context(|| watched.plural)?;
    let Some(version) = watched.version(&served) else {
        return Ok(());
    };
    let selection = match namespace {
        Some(namespace) => watched.selection(version).in_namespace(namespace),
        None => watched.selection(version),
    };
    let found: Vec<RawObject> = match client.list(&selection).await {
        Err(KubeError::Forbidden(_)) if watched.need == Need::IfAllowed => Vec::new(),
        found => found.with_context(|| watched.plural)?,
    };
    for object in found {
        match object.understand(watched.kind) {
            Ok(object) => take(all, object),
            Err(errors) => all.faults.extend(errors.iter().map(|error| Fault {
                place: String::new(),
                ..Fault::of("", error, true)
            })),
        }
    }
    Ok(())
}

fn take(all: &mut Validated, object: Located<Object>) {
    let warnings = object.warnings.iter().map(|warning| Fault {
        place: String::new(),
        ..Fault::of("", warning, false)
    });
    all.faults.extend(warnings);
    all.objects.push((String::new(), object));
}

/// What a running mesh shows. Of proxies that do not answer nothing is known.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn look(cluster: &Asked) -> anyhow::Result<Seen> {
    let client = cluster.client();
    let mut dumps = BTreeMap::new();
    let mut listeners = Vec::new();
    let mut metrics = BTreeMap::new();
    for pod in cluster.ztunnels().await.unwrap_or_default() {
        let page = cluster.page(&pod, ask::ADMIN, "/config_dump").await;
        if let Ok(page) = page
            && let Ok(page) = serde_json::from_slice(&page)
        {
            dumps.insert(pod.node().to_owned(), page);
        }
        if let Ok(page) = cluster.page(&pod, ask::STATS, "/metrics").await {
            metrics.insert(pod.node().to_owned(), String::from_utf8_lossy(&page).into_owned());
        }
        // Older ones, and upstream's, have no such page.
        let page = cluster.page(&pod, ask::ADMIN, "/listeners").await;
        if let Ok(page) = page
            && let Ok(Value::Array(pods)) = serde_json::from_slice(&page)
        {
            listeners.extend(pods);
        }
    }
    let mut webhooks = if_allowed(client, &MUTATING).await?;
    webhooks
        .iter_mut()
        .for_each(|webhook| webhook["kind"] = MUTATING.kind.to_string().into());
    let mut validating = if_allowed(client, &VALIDATING).await?;
    validating
        .iter_mut()
        .for_each(|webhook| webhook["kind"] = VALIDATING.kind.to_string().into());
    webhooks.extend(validating);
    Ok(Seen {
        facts: facts(client, cluster.system()).await?,
        system: cluster.system().to_owned(),
        network_policies: list(client, &NETWORK_POLICIES, None, None).await?,
        pods: list(client, &PODS, None, None).await?,
        dumps,
        metrics,
        listeners,
        webhooks,
        now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
    })
}

/// All objects of a resource; none for whoever may not read it, who is told all the rest.
async fn if_allowed(client: &KubeClient, resource: &Resource) -> anyhow::Result<Vec<Value>> {
    match list(client, resource, None, None).await {
        Err(error) if matches!(error.downcast_ref(), Some(KubeError::Forbidden(_))) => Ok(Vec::new()),
        found => found,
    }
}

const DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
const STATEFUL_SETS: Resource = Resource::namespaced("apps", "v1", "statefulsets", "StatefulSet");
const DAEMON_SETS: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");
const MUTATING: Resource = Resource::cluster_wide(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
);
const VALIDATING: Resource = Resource::cluster_wide(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
);
const NETWORK_POLICIES: Resource =
    Resource::namespaced("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy");

#[cfg(test)]
mod tests;
