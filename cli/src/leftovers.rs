//! What an installation leaves in a cluster when it is removed: what the mesh made by itself, which goes with it, and whatever
//! somebody may want to keep. The choice is pure.
//!
//! # Layout
//! - this file: what is there, and taking it away. `kinds`: what is a leftover, kind by kind (pure).

pub(crate) mod kinds;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_kube::write::Part;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource, Selection};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::ask::cluster::Asked;
use crate::check::{counted, some};
use crate::install::standing::SECRETS;
use crate::objects::{GATEWAYS, NAMESPACES, PODS, list};
use crate::output::{Table, View};
use crate::precheck::look::{self, CONFIG_MAPS};
use crate::precheck::{HELM_NAMESPACE, HELM_RELEASE, Part as MeshPart};
use crate::waypoint::classes::Classes;
use kinds::{HOOKS, LABELS, REDIRECTION, is_done, name_of};

/// Something that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    resource: Resource,
    name: ObjectName,
    /// What it is, one line.
    what: String,
    /// What would go with it.
    objects: Vec<String>,
    way: Way,
    fate: Fate,
}

/// How it is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Delete,
    /// Only the labels that are about the mesh.
    Unlabel,
    /// Only what the node agent said of a pod.
    Forget,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The mesh made it, and it goes with the mesh.
    Goes,
    /// Somebody may want it: it goes only when that is said.
    Kept,
    /// It is others'.
    Others,
}

/// What a release leaves in a cluster.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn find(cluster: &Asked, release: &str) -> anyhow::Result<Vec<Leftover>> {
    let (client, system) = (cluster.client(), cluster.system());
    let mut left = Vec::new();
    let gateways = list(client, &GATEWAYS, None, None).await?;
    left.extend(kinds::gateways(&gateways, &Classes::of(client).await?));
    for resource in [&NAMESPACES, &SERVICES, &PODS] {
        let all = list(client, resource, None, None).await?;
        left.extend(kinds::labelled(resource, &all));
        if *resource == PODS {
            left.extend(kinds::done(&all));
        }
    }
    let mut users = BTreeMap::new();
    let crds = look::crds(client).await?;
    for crd in crds.iter().filter(|crd| kinds::is_of_the_mesh(crd)) {
        let objects = list(client, &kinds::resource(crd), None, None).await?;
        let names = objects.iter().map(|object| name_of(object).to_string());
        users.insert(crd.metadata.name.clone(), names.collect());
    }
    left.extend(kinds::definitions(&crds, &users));
    left.extend(made(cluster, &other_parts(cluster, release).await?).await?);
    for (resource, name) in HOOKS
        .iter()
        .flat_map(|(resource, names)| names.iter().map(move |n| (resource, n)))
    {
        let within = resource.namespaced.then_some(system);
        let labels = format!("app.kubernetes.io/name={name},app.kubernetes.io/part-of=lateen");
        let all = list(client, resource, within, Some(&labels)).await?;
        left.extend(kinds::hooks(resource, &all, release, system));
    }
    Ok(left)
}

/// What the control plane made by itself. Where another one is in the cluster, what every namespace has of it is that one's too.
async fn made(cluster: &Asked, others: &[MeshPart]) -> anyhow::Result<Vec<Leftover>> {
    let (client, system) = (cluster.client(), cluster.system());
    let mut others = others.iter().filter(|part| part.kind == "Deployment");
    let shared = others.clone().next().map(shown);
    let here = others.find(|part| part.metadata.namespace == system).map(shown);
    let mut left = Vec::new();
    let mut secrets = Vec::new();
    for name in [kinds::ROOT_KEY, kinds::ROOTS_BEFORE] {
        let found = client
            .find::<Value>(&SECRETS, &ObjectName::new(system, name))
            .await;
        secrets.extend(found.with_context(|| format!("Secret {system}/{name}"))?);
    }
    left.extend(kinds::root_key(&secrets, here.as_deref()));
    let is_before = |name: &str| name == kinds::ROOTS_BEFORE;
    left.extend(kinds::made(&SECRETS, &secrets, here.as_deref(), is_before));
    let maps = Selection {
        field_selector: Some(format!("metadata.name={}", kinds::ROOT)),
        ..Selection::all(CONFIG_MAPS.clone())
    };
    let maps: Vec<Value> = client.list(&maps).await.context("configmaps")?;
    let is_root = |name: &str| name == kinds::ROOT;
    left.extend(kinds::made(&CONFIG_MAPS, &maps, shared.as_deref(), is_root));
    let versions = client.served_versions("certificates.k8s.io", "clustertrustbundles");
    if let Some(version) = versions.await?.into_iter().next() {
        let bundles = Resource {
            version: version.into(),
            ..BUNDLES
        };
        let all = list(client, &bundles, None, None).await?;
        let is_ours = |name: &str| name == kinds::BUNDLE;
        left.extend(kinds::made(&bundles, &all, shared.as_deref(), is_ours));
    }
    let leases = list(client, &LEASES, Some(system), None).await?;
    let is_duty = |name: &str| name.starts_with(kinds::LEASE_PREFIX);
    left.extend(kinds::made(&LEASES, &leases, here.as_deref(), is_duty));
    Ok(left)
}

/// Other installations of this mesh that are in the cluster, each once.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn other_releases(cluster: &Asked, release: &str) -> anyhow::Result<Vec<String>> {
    let others = other_parts(cluster, release).await?;
    let mut names: Vec<String> = others
        .iter()
        .filter(|part| part.is_ours())
        .map(|part| {
            let annotation = |key: &str| part.metadata.annotations.get(key);
            match (annotation(HELM_RELEASE), annotation(HELM_NAMESPACE)) {
                (Some(release), Some(namespace)) => format!("release {release} in namespace {namespace}"),
                _ => shown(part),
            }
        })
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Parts of meshes that are not this release's.
async fn other_parts(cluster: &Asked, release: &str) -> anyhow::Result<Vec<MeshPart>> {
    let mut parts = look::parts(cluster.client()).await?;
    parts.retain(|part| !part.is_of(release, cluster.system()));
    Ok(parts)
}

fn shown(part: &MeshPart) -> String {
    format!("{} {}/{}", part.kind, part.metadata.namespace, part.metadata.name)
}

/// Waits until no replica of a control plane is there, which would make anew what is taken away.
///
/// # Errors
/// Fails when some stay, and with what is wrong with the way or our rights.
pub async fn wait_for_control_plane(
    cluster: &Asked,
    release: &str,
    patience: Duration,
) -> anyhow::Result<()> {
    let labels = format!("app=istiod,app.kubernetes.io/instance={release}");
    let deadline = Instant::now() + patience;
    loop {
        let pods = list(cluster.client(), &PODS, Some(cluster.system()), Some(&labels)).await?;
        let running: Vec<String> = pods
            .iter()
            .filter(|pod| !is_done(pod))
            .map(|pod| name_of(pod).to_string())
            .collect();
        if running.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "the release is removed, and its control plane still runs ({}): lateen uninstall again, once it is gone, takes \
                 away what it made",
                some(&running)
            );
        }
        sleep(AGAIN).await;
    }
}

/// Pods whose traffic goes through the mesh.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn captured(cluster: &Asked) -> anyhow::Result<Vec<(String, String)>> {
    let pods: Vec<Value> = cluster
        .client()
        .list(&Selection::all(PODS.clone()).metadata_only())
        .await?;
    let captured = pods.iter().filter(|pod| kinds::is_captured(pod));
    Ok(captured
        .map(|pod| (name_of(pod).to_string(), String::new()))
        .collect())
}

/// Whether some namespace or pod is in the mesh, or is to be.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn is_anybody_in_the_mesh(cluster: &Asked) -> anyhow::Result<bool> {
    let client = cluster.client();
    let enrolled = |object: &Value| object["metadata"]["labels"][LABELS[0]] == "ambient";
    // Pods that are done have no network any more: nobody has to let go of them.
    let in_the_mesh = |pod: &Value| !is_done(pod) && (enrolled(pod) || kinds::is_captured(pod));
    let namespaces = list(client, &NAMESPACES, None, None).await?;
    let pods = list(client, &PODS, None, None).await?;
    Ok(namespaces.iter().any(enrolled) || pods.iter().any(in_the_mesh))
}

/// Takes it away.
///
/// # Errors
/// Fails at the first that cannot be taken away, and names it.
pub async fn remove(cluster: &Asked, gone: &[Leftover]) -> anyhow::Result<()> {
    for left in gone {
        match left.remove(cluster.client()).await {
            // It went meanwhile.
            Ok(()) | Err(KubeError::NotFound(_)) => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}: it and what follows it is left", left.shown()));
            }
        }
    }
    Ok(())
}

/// For people and programs: what was taken away, and what is left.
#[must_use]
pub fn view(gone: &[Leftover], left: &[Leftover], purged: bool) -> View {
    let mut table = Table::new(["OBJECT", "WHAT IT IS"]).or("nothing is left in the cluster");
    let shown = if purged {
        [gone, left].concat()
    } else {
        left.to_vec()
    };
    for left in &shown {
        table.row([left.shown(), left.said()]);
    }
    let stays = left.iter().filter(|left| left.fate == Fate::Others).count();
    if purged && !gone.is_empty() {
        table.foot(format!("{} taken away", counted(gone.len(), "object")));
    }
    if !purged && left.len() > stays {
        table.foot("left in the cluster; lateen uninstall --purge takes it, too");
    }
    if !purged && !gone.is_empty() {
        table.foot(format!(
            "{} that the mesh had made by itself taken away",
            counted(gone.len(), "object")
        ));
    }
    if stays > 0 {
        table.foot(format!("what others have stays: {}", counted(stays, "object")));
    }
    let data = |all: &[Leftover]| all.iter().map(Leftover::data).collect::<Vec<_>>();
    View {
        table,
        data: json!({ "objects": data(left), "removed": data(gone) }),
    }
}

impl Leftover {
    /// Whether it is taken away: with the mesh, or when everything is to go.
    #[must_use]
    pub fn goes(&self, purge: bool) -> bool {
        match self.fate {
            Fate::Goes => true,
            Fate::Kept => purge,
            Fate::Others => false,
        }
    }

    fn shown(&self) -> String {
        format!("{} {}", self.resource.kind, self.name)
    }

    /// What it is, with the first of what goes with it.
    fn said(&self) -> String {
        match self.objects.as_slice() {
            [] => self.what.clone(),
            objects => format!(
                "{}, with {}: {}",
                self.what,
                counted(objects.len(), "object"),
                some(objects)
            ),
        }
    }

    fn data(&self) -> Value {
        json!({
            "kind": self.resource.kind,
            "namespace": self.name.namespace,
            "name": self.name.name,
            "what": self.what,
            "objects": self.objects,
            "of": match self.fate {
                Fate::Goes => "mesh",
                Fate::Kept => "user",
                Fate::Others => "others",
            },
        })
    }

    async fn remove(&self, client: &KubeClient) -> Result<(), KubeError> {
        let patch = match self.way {
            Way::Delete => return client.delete(&self.resource, &self.name, None).await.map(drop),
            Way::Unlabel => {
                let labels: BTreeMap<&str, Value> =
                    LABELS.iter().map(|label| (*label, Value::Null)).collect();
                json!({"metadata": {"labels": labels}})
            }
            Way::Forget => json!({"metadata": {"annotations": {REDIRECTION: Value::Null}}}),
        };
        client
            .merge_patch(&self.resource, &self.name, Part::Main, &patch)
            .await
    }
}

const AGAIN: Duration = Duration::from_secs(1);
const BUNDLES: Resource = Resource::cluster_wide(
    "certificates.k8s.io",
    "v1beta1",
    "clustertrustbundles",
    "ClusterTrustBundle",
);
static LEASES: Resource = Resource::namespaced("coordination.k8s.io", "v1", "leases", "Lease");
static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");

#[cfg(test)]
mod tests;
