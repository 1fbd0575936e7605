//! Asks a cluster what there is of an installation.

use mesh_kube::ObjectName;
use serde_json::Value;

use super::{Observed, pods};
use crate::ask;
use crate::ask::cluster::{Asked, PODS, Pod};
use crate::objects::{Kinds, list};
use crate::precheck::look::CONFIG_MAPS;
use crate::status::Status;

/// What is seen of an installation whose objects were rendered as these.
///
/// # Errors
/// Fails when the API server does not answer, or we lack rights. Parts of the mesh that do not answer are what is looked
/// for, and no error.
pub async fn observe(cluster: &Asked, rendered: Vec<Value>) -> anyhow::Result<Observed> {
    let client = cluster.client();
    let system = cluster.system();
    let mut kinds = Kinds::of(client);
    let mut objects = Vec::new();
    for object in rendered {
        let live = kinds.live(&object, system).await?;
        objects.push((object, live));
    }
    let root = ObjectName::new(system, "istio-ca-root-cert");
    let root = client.find::<Value>(&CONFIG_MAPS, &root).await?.is_some();
    let mut control_planes = Vec::new();
    let mut clients = Vec::new();
    for pod in cluster.control_planes().await.unwrap_or_default() {
        let ready = cluster.page(&pod, ask::MONITORING, "/readyz").await;
        control_planes.push((pod.shown(), ready.err().map(|why| format!("{why:#}"))));
        let page = cluster.page(&pod, ask::MONITORING, "/debug/syncz").await;
        if let Ok(page) = page
            && let Ok(Value::Array(page)) = serde_json::from_slice(&page)
        {
            clients.push(page);
        }
    }
    let clients = (!clients.is_empty()).then(|| Status::read(&clients.concat().into()).ok());
    let ztunnels = cluster.ztunnels().await.unwrap_or_default();
    Ok(Observed {
        objects,
        waiting: waiting(cluster).await?,
        control_planes,
        ztunnels: ztunnels.iter().map(Pod::shown).collect(),
        clients: clients.flatten(),
        root,
    })
}

/// Pods of the mesh's namespace that are not ready, and why.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn waiting(cluster: &Asked) -> anyhow::Result<Vec<(String, String)>> {
    let ours = Some("app.kubernetes.io/part-of=lateen");
    let pods = list(cluster.client(), &PODS, Some(cluster.system()), ours).await?;
    let waiting = pods.into_iter().filter_map(|pod| {
        let name = pod["metadata"]["name"].as_str()?;
        Some((format!("{}/{name}", cluster.system()), pods::why_not_ready(&pod)?))
    });
    Ok(waiting.collect())
}
