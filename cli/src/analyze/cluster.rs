//! Asks a cluster for what is looked at.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use controlplane_k8s_api::{Located, Object, RawObject};
use controlplane_kube::resources::{Need, WATCHED};
use mesh_kube::{KubeClient, KubeError, Resource};

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
    let mut all = Validated::default();
    for watched in WATCHED {
        let served = client
            .served_versions(watched.group().name(), watched.plural)
            .await;
        let served = served.with_context(|| watched.plural)?;
        let Some(version) = watched.version(&served) else {
            continue;
        };
        let found: Vec<RawObject> = match client.list(&watched.selection(version)).await {
            Err(KubeError::Forbidden(_)) if watched.need == Need::IfAllowed => Vec::new(),
            found => found.with_context(|| watched.plural)?,
        };
        for object in found {
            match object.understand(watched.kind) {
                Ok(object) => take(&mut all, object),
                Err(errors) => all.faults.extend(errors.iter().map(|error| Fault {
                    place: String::new(),
                    ..Fault::of("", error, true)
                })),
            }
        }
    }
    Ok(all)
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
    for pod in cluster.ztunnels().await.unwrap_or_default() {
        let page = cluster.page(&pod, ask::ADMIN, "/config_dump").await;
        if let Ok(page) = page
            && let Ok(page) = serde_json::from_slice(&page)
        {
            dumps.insert(pod.node().to_owned(), page);
        }
    }
    Ok(Seen {
        facts: facts(client, cluster.system()).await?,
        system: cluster.system().to_owned(),
        network_policies: list(client, &NETWORK_POLICIES, None, None).await?,
        pods: list(client, &PODS, None, None).await?,
        dumps,
        now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
    })
}

const NETWORK_POLICIES: Resource =
    Resource::namespaced("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy");

#[cfg(test)]
mod tests;
