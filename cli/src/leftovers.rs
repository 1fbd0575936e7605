//! What an installation leaves in a cluster when it is removed: whatever somebody may want to keep. The choice is pure.

use std::collections::BTreeMap;

use anyhow::Context as _;
use mesh_kube::{ObjectName, Resource};
use serde_json::{Value, json};

use crate::ask::cluster::{Asked, PODS};
use crate::check::{counted, some};
use crate::install::standing::SECRETS;
use crate::objects::list;
use crate::output::{Table, View};
use crate::precheck::Crd;
use crate::precheck::look::{self, CONFIG_MAPS, CRDS, NAMESPACES};
use crate::waypoint::apply::GATEWAYS;
use mesh_kube::write::Part;

/// Something that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    resource: Resource,
    name: ObjectName,
    /// Why it is kept, one line.
    why: String,
    /// How it is taken away.
    way: Way,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Delete,
    /// Only the labels that are about the mesh.
    Unlabel,
}

/// What is left in a cluster.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn find(cluster: &Asked) -> anyhow::Result<Vec<Leftover>> {
    let (client, system) = (cluster.client(), cluster.system());
    let mut left = Vec::new();
    left.extend(gateways(&list(client, &GATEWAYS, None, None).await?));
    left.extend(namespaces(&list(client, &NAMESPACES, None, None).await?));
    let mut users = BTreeMap::new();
    let crds = look::crds(client).await?;
    for crd in crds.iter().filter(|crd| is_ours(crd)) {
        let objects = list(client, &resource(crd), None, None).await?;
        let names = objects.iter().map(|object| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
            ObjectName::new(text("namespace"), text("name")).to_string()
        });
        users.insert(crd.metadata.name.clone(), names.collect());
    }
    left.extend(definitions(&crds, &users));
    let named = |name: &str| ObjectName::new(system, name);
    for (secret, why) in [
        (
            ROOT_KEY,
            "the root of all certificates and its key: a new installation goes on with it",
        ),
        (
            ROOTS_BEFORE,
            "roots of earlier authorities, and until when they are trusted",
        ),
    ] {
        if client.find::<Value>(&SECRETS, &named(secret)).await?.is_some() {
            left.push(Leftover {
                resource: SECRETS,
                name: named(secret),
                why: why.to_owned(),
                way: Way::Delete,
            });
        }
    }
    let maps = list(client, &CONFIG_MAPS, None, None).await?;
    left.extend(made(&CONFIG_MAPS, &maps, |name| name == ROOT));
    let versions = client.served_versions("certificates.k8s.io", "clustertrustbundles");
    if let Some(version) = versions.await?.into_iter().next() {
        let bundles = Resource {
            version: version.into(),
            ..BUNDLES
        };
        left.extend(made(
            &bundles,
            &list(client, &bundles, None, None).await?,
            |name| name == BUNDLE,
        ));
    }
    let leases = list(client, &LEASES, Some(system), None).await?;
    left.extend(made(&LEASES, &leases, |name| name.starts_with(LEASE_PREFIX)));
    Ok(left)
}

/// Whether some namespace or pod is in the mesh, or is to be.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn is_anybody_in_the_mesh(cluster: &Asked) -> anyhow::Result<bool> {
    let client = cluster.client();
    let enrolled = |object: &Value| object["metadata"]["labels"][LABELS[0]] == "ambient";
    let captured =
        |object: &Value| object["metadata"]["annotations"]["ambient.istio.io/redirection"] == "enabled";
    let namespaces = list(client, &NAMESPACES, None, None).await?;
    let pods = list(client, &PODS, None, None).await?;
    Ok(namespaces.iter().any(enrolled) || pods.iter().any(|pod| enrolled(pod) || captured(pod)))
}

/// Takes it away.
///
/// # Errors
/// Fails at the first that cannot be taken away, and names it.
pub async fn purge(cluster: &Asked, left: &[Leftover]) -> anyhow::Result<()> {
    let client = cluster.client();
    for left in left {
        let done = match left.way {
            Way::Delete => client.delete(&left.resource, &left.name, None).await.map(drop),
            Way::Unlabel => {
                let labels: BTreeMap<&str, Value> =
                    LABELS.iter().map(|label| (*label, Value::Null)).collect();
                let patch = json!({"metadata": {"labels": labels}});
                client
                    .merge_patch(&left.resource, &left.name, Part::Main, &patch)
                    .await
            }
        };
        done.with_context(|| format!("{}: it and what follows it is left", left.shown()))?;
    }
    Ok(())
}

/// For people and programs; `what` is what is said of it all.
#[must_use]
pub fn view(left: &[Leftover], what: &str) -> View {
    let mut table = Table::new(["OBJECT", "WHAT IT IS"]).or("nothing is left in the cluster");
    for left in left {
        table.row([left.shown(), left.why.clone()]);
    }
    if !left.is_empty() {
        table.foot(what);
    }
    let left = left.iter().map(|left| {
        json!({"kind": left.resource.kind, "namespace": left.name.namespace, "name": left.name.name, "what": left.why})
    });
    View {
        table,
        data: json!({ "objects": left.collect::<Vec<_>>() }),
    }
}

impl Leftover {
    fn shown(&self) -> String {
        format!("{} {}", self.resource.kind, self.name)
    }
}

/// Waypoints run on, with nobody to tell them anything.
fn gateways(all: &[Value]) -> Vec<Leftover> {
    let ours = all.iter().filter(|gateway| {
        let class = gateway["spec"]["gatewayClassName"].as_str().unwrap_or_default();
        crate::waypoint::CLASSES.contains(&class)
    });
    ours.map(|gateway| Leftover {
        resource: GATEWAYS,
        name: name_of(gateway),
        why: "a waypoint; its proxies run until it is deleted".to_owned(),
        way: Way::Delete,
    })
    .collect()
}

fn namespaces(all: &[Value]) -> Vec<Leftover> {
    let labelled = all.iter().filter_map(|namespace| {
        let labels = namespace["metadata"]["labels"].as_object()?;
        let ours: Vec<&str> = LABELS
            .iter()
            .copied()
            .filter(|label| labels.contains_key(*label))
            .collect();
        (!ours.is_empty()).then(|| Leftover {
            resource: NAMESPACES.clone(),
            name: name_of(namespace),
            why: format!("its labels {}", ours.join(", ")),
            way: Way::Unlabel,
        })
    });
    labelled.collect()
}

/// CRDs of the charts; those that somebody else installed are his.
fn definitions(crds: &[Crd], users: &BTreeMap<String, Vec<String>>) -> Vec<Leftover> {
    let ours = crds.iter().filter(|crd| is_ours(crd));
    ours.map(|crd| {
        let objects = users.get(&crd.metadata.name).map_or(&[][..], Vec::as_slice);
        Leftover {
            resource: CRDS.clone(),
            name: ObjectName::cluster(&crd.metadata.name),
            why: match objects {
                [] => "a CRD; nobody uses it".to_owned(),
                objects => format!(
                    "a CRD, with {}: {}",
                    counted(objects.len(), "object"),
                    some(objects)
                ),
            },
            way: Way::Delete,
        }
    })
    .collect()
}

fn is_ours(crd: &Crd) -> bool {
    crd.metadata
        .labels
        .get("app.kubernetes.io/part-of")
        .is_some_and(|part| part == "lateen")
}

/// The versions that a CRD serves, and the first of them as a resource.
fn resource(crd: &Crd) -> Resource {
    let served = crd.spec.versions.iter().find(|version| version.served);
    Resource {
        group: crd.spec.group.clone().into(),
        version: served
            .map_or_else(String::new, |version| version.name.clone())
            .into(),
        plural: crd.spec.names.plural.clone().into(),
        kind: crd.spec.names.kind.clone().into(),
        namespaced: true,
    }
}

/// What the control plane made by itself.
fn made(resource: &Resource, all: &[Value], is_such: impl Fn(&str) -> bool) -> Vec<Leftover> {
    let ours = all.iter().map(name_of).filter(|name| is_such(&name.name));
    ours.map(|name| Leftover {
        resource: resource.clone(),
        name,
        why: "made by the control plane".to_owned(),
        way: Way::Delete,
    })
    .collect()
}

fn name_of(object: &Value) -> ObjectName {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    ObjectName::new(text("namespace"), text("name"))
}

/// By which namespaces are bound to the mesh.
const LABELS: [&str; 3] = [
    "istio.io/dataplane-mode",
    "istio.io/use-waypoint",
    "istio.io/use-waypoint-namespace",
];
const ROOT_KEY: &str = "istio-ca-secret";
/// Roots of earlier authorities.
const ROOTS_BEFORE: &str = "lateen-trusted-roots";
const ROOT: &str = "istio-ca-root-cert";
const BUNDLE: &str = "istio.io:istiod-ca:root-cert";
/// Of every duty that one replica does.
const LEASE_PREFIX: &str = "lateen-";
const BUNDLES: Resource = Resource::cluster_wide(
    "certificates.k8s.io",
    "v1beta1",
    "clustertrustbundles",
    "ClusterTrustBundle",
);
static LEASES: Resource = Resource::namespaced("coordination.k8s.io", "v1", "leases", "Lease");

#[cfg(test)]
mod tests;
