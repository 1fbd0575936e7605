//! The rights that an installation needs: those to every kind that was rendered, and those that helm and this program need to
//! carry it out.

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use mesh_kube::{KubeClient, Resource};
use serde_json::{Value, json};

use super::Right;
use crate::objects::Kinds;

/// What rendered objects need of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Rights.
    pub rights: Vec<Right>,
    /// Kinds that the cluster does not serve, `PodMonitor (monitoring.coreos.com/v1)`.
    pub unserved: Vec<String>,
}

/// The right to make each kind that the charts may have, for where none are rendered.
#[must_use]
pub fn usual() -> Vec<Right> {
    let mut needs = Needs::default();
    for &(group, resource, everywhere) in USUAL {
        needs.add(group, resource, &VERBS[..1], everywhere);
    }
    needs.rights
}

/// What these objects need.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn needs(rendered: &[Value], kinds: &mut Kinds) -> anyhow::Result<Needs> {
    let mut needs = Needs::default();
    for &(group, resource, verbs, everywhere) in BESIDE {
        needs.add(group, resource, verbs, everywhere);
    }
    let mut brought: Vec<(&str, &str)> = Vec::new();
    for object in rendered {
        brought.extend(defined(object));
    }
    let mut seen = Vec::new();
    for object in rendered {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if seen.contains(&(version, kind)) {
            continue;
        }
        seen.push((version, kind));
        match kinds.resource(version, kind).await? {
            Some(found) => needs.add(&found.group, &found.plural, &VERBS, !found.namespaced),
            // The same release brings it.
            None if brought.contains(&(group(version), kind)) => {}
            None => needs.unserved.push(format!("{kind} ({version})")),
        }
    }
    Ok(needs)
}

impl Needs {
    fn add(&mut self, group: &str, resource: &str, verbs: &[&'static str], everywhere: bool) {
        for verb in verbs {
            let right = Right {
                group: group.to_owned(),
                resource: resource.to_owned(),
                verb,
                everywhere,
            };
            if !self.rights.contains(&right) {
                self.rights.push(right);
            }
        }
    }
}

/// Those of these rights that whoever asks does not have.
///
/// # Errors
/// Fails with what is wrong with the way.
pub async fn denied(client: &KubeClient, rights: &[Right], system: &str) -> anyhow::Result<Vec<Right>> {
    let asked = stream::iter(rights.iter().cloned()).map(async |right| {
        let namespace = if right.everywhere { "" } else { system };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "group": right.group, "resource": right.resource, "verb": right.verb, "namespace": namespace,
            }},
        });
        let answer = client.create::<Value>(&REVIEWS, "", &review).await;
        let answer = answer.context("your rights")?;
        anyhow::Ok((answer["status"]["allowed"] != true).then_some(right))
    });
    let answers: Vec<Option<Right>> = asked.buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// The kind that a CRD defines.
fn defined(object: &Value) -> Option<(&str, &str)> {
    if object["kind"] != "CustomResourceDefinition" {
        return None;
    }
    let spec = &object["spec"];
    Some((spec["group"].as_str()?, spec["names"]["kind"].as_str()?))
}

fn group(version: &str) -> &str {
    version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// What helm does with every object of a release.
const VERBS: [&str; 4] = ["create", "get", "patch", "delete"];

/// What helm needs beside that: its records, its waiting, the namespace; and what this program looks at meanwhile.
const BESIDE: &[(&str, &str, &[&str], bool)] = &[
    ("", "namespaces", &["create", "get", "list"], true),
    (
        "",
        "secrets",
        &["create", "get", "list", "update", "delete"],
        false,
    ),
    ("", "pods", &["list", "watch"], false),
    ("apps", "replicasets", &["list"], false),
    ("batch", "jobs", &["list", "watch"], false),
];
/// Every kind of the charts with any values, by its resource.
const USUAL: &[(&str, &str, bool)] = &[
    ("", "namespaces", true),
    ("apiextensions.k8s.io", "customresourcedefinitions", true),
    ("rbac.authorization.k8s.io", "clusterroles", true),
    ("rbac.authorization.k8s.io", "clusterrolebindings", true),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        true,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        true,
    ),
    ("", "configmaps", false),
    ("", "pods", false),
    ("", "resourcequotas", false),
    ("", "secrets", false),
    ("", "serviceaccounts", false),
    ("", "services", false),
    ("apps", "daemonsets", false),
    ("apps", "deployments", false),
    ("batch", "jobs", false),
    ("networking.k8s.io", "networkpolicies", false),
    ("policy", "poddisruptionbudgets", false),
    ("rbac.authorization.k8s.io", "roles", false),
    ("rbac.authorization.k8s.io", "rolebindings", false),
];
const AT_ONCE: usize = 8;
pub(crate) static REVIEWS: Resource = Resource::cluster_wide(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
);

#[cfg(test)]
mod tests;
