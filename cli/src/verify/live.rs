//! Asks a cluster what there is of an installation.

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use mesh_kube::{Resource, Selection};
use serde_json::Value;

use super::pods::Waiting;
use super::{Observed, pods};
use crate::ask;
use crate::ask::cluster::{Asked, Pod};
use crate::objects::{Kinds, NAMESPACES, PODS, list};
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
    let agents = cluster.agents().await.unwrap_or_default();
    let mut nodes = ready(cluster, "ztunnel", &ztunnels, (ZTUNNEL, "/healthz/ready")).await;
    nodes.extend(ready(cluster, "node agent", &agents, (AGENT, "/readyz")).await);
    Ok(Observed {
        objects,
        waiting: waiting(cluster).await?,
        control_planes,
        ztunnels: ztunnels.iter().map(Pod::shown).collect(),
        clients: clients.flatten(),
        nodes,
        rootless: rootless(cluster).await?,
        system: system.to_owned(),
    })
}

/// What each of some pods says of being ready.
async fn ready(
    cluster: &Asked,
    what: &'static str,
    pods: &[Pod],
    (port, path): (u16, &str),
) -> Vec<(&'static str, String, Option<String>)> {
    let asked = stream::iter(pods).map(async |pod| {
        let page = cluster.page(pod, port, path).await;
        (what, pod.shown(), page.err().map(|why| format!("{why:#}")))
    });
    asked.buffered(AT_ONCE).collect().await
}

/// Namespaces of the mesh without its root, but those that are going away.
async fn rootless(cluster: &Asked) -> anyhow::Result<Vec<String>> {
    let client = cluster.client();
    let maps = Selection::all(CONFIG_MAPS.clone()).with_fields(format!("metadata.name={ROOT}"));
    let maps: Vec<Value> = client.list(&maps.metadata_only()).await.context("configmaps")?;
    let namespaces = list(client, &NAMESPACES, None, None).await?;
    let has = |namespace: &Value| {
        let maps = maps.iter().map(|map| &map["metadata"]);
        maps.filter(|map| map["name"] == ROOT)
            .any(|map| map["namespace"] == *namespace)
    };
    let lacking = namespaces.iter().filter(|namespace| {
        is_of_mesh(namespace, cluster.system())
            && namespace["status"]["phase"] != "Terminating"
            && !has(&namespace["metadata"]["name"])
    });
    let names = lacking.filter_map(|namespace| namespace["metadata"]["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

/// Whether proxies run there, or may: elsewhere nobody reads the root, and not every namespace has one (`discoverySelectors`).
fn is_of_mesh(namespace: &Value, system: &str) -> bool {
    let metadata = &namespace["metadata"];
    let label = |name: &str| metadata["labels"][name].as_str().filter(|value| *value != "none");
    let labels = ["istio.io/dataplane-mode", "istio.io/use-waypoint"];
    metadata["name"] == system || labels.into_iter().any(|name| label(name).is_some())
}

const ROOT: &str = "istio-ca-root-cert";
/// Ports and pages of the charts' readiness probes.
const ZTUNNEL: u16 = 15021;
const AGENT: u16 = 8000;
const AT_ONCE: usize = 16;

/// What is not ready in the mesh's namespace, and why.
///
/// # Errors
/// Fails with what is wrong with the way or our rights; not where events cannot be read.
pub async fn waiting(cluster: &Asked) -> anyhow::Result<Vec<Waiting>> {
    let ours = Some("app.kubernetes.io/part-of=lateen");
    let (client, system) = (cluster.client(), cluster.system());
    let pods = list(client, &PODS, Some(system), ours).await?;
    let mut workloads = Vec::new();
    for resource in [DEPLOYMENTS, DAEMON_SETS] {
        let mut of_kind = list(client, &resource, Some(system), ours).await?;
        // A list does not say of each object which kind it is.
        for workload in &mut of_kind {
            workload["kind"] = resource.kind.as_ref().into();
        }
        workloads.append(&mut of_kind);
    }
    if pods::waiting(&workloads, &pods, &[]).is_empty() {
        return Ok(Vec::new());
    }
    let warnings = Selection {
        resource: EVENTS,
        namespace: Some(system.to_owned()),
        field_selector: Some("type=Warning".to_owned()),
        label_selector: None,
        metadata_only: false,
    };
    // They only say more of what is known.
    let warnings: Vec<Value> = client.list(&warnings).await.unwrap_or_default();
    Ok(pods::waiting(&workloads, &pods, &warnings))
}

const EVENTS: Resource = Resource::namespaced("", "v1", "events", "Event");
pub(crate) const DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
pub(crate) const DAEMON_SETS: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");

#[cfg(test)]
mod tests;
