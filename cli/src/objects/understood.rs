//! A cluster's objects as the control plane reads them.

use anyhow::Context as _;
use controlplane_k8s_api::{Kind, Located, Object, RawObject};
use controlplane_kube::resources::{Need, WATCHED, Watched};
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource};

use super::{PODS, list_if_allowed};
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
        let listed = list_if_allowed(client, makers).await?;
        all.makers.extend(listed.into_iter().map(|mut maker| {
            maker["apiVersion"] = makers.api_version().to_string().into();
            maker["kind"] = makers.kind.to_string().into();
            maker
        }));
    }
    Ok(all)
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

const DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
const STATEFUL_SETS: Resource = Resource::namespaced("apps", "v1", "statefulsets", "StatefulSet");
const DAEMON_SETS: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");

#[cfg(test)]
mod tests;
