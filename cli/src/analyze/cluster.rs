//! Asks a cluster for what is looked at.

use std::collections::BTreeMap;
use std::time::SystemTime;

use controlplane_k8s_api::Kind;
use controlplane_k8s_api::service::Service;
use mesh_kube::{KubeClient, Resource};
use serde_json::Value;

use super::live::Seen;
use crate::ask;
use crate::ask::cluster::Asked;
use crate::objects::understood::found;
use crate::objects::{NETWORK_POLICIES, PODS, list, list_if_allowed};
use crate::precheck::look::look as facts;

/// The Services of a cluster, for comparison with another's.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn services(client: &KubeClient) -> anyhow::Result<Vec<Service>> {
    Ok(super::contexts::services(
        &found(client, Kind::Service, None).await?,
    ))
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
    let mut webhooks = list_if_allowed(client, &MUTATING).await?;
    webhooks
        .iter_mut()
        .for_each(|webhook| webhook["kind"] = MUTATING.kind.to_string().into());
    let mut validating = list_if_allowed(client, &VALIDATING).await?;
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
