//! Whether a cluster can take the mesh. Pure: what the cluster says of itself goes in, what is well and what is not comes
//! out.
//!
//! # Layout
//! - this file: the facts and the judgement. [`look`]: asks a cluster for the facts. [`rights`]: which rights are needed, and
//!   which of them are there. `platform`: which platform it is, and what the charts have to be told of it. `network`: what other
//!   network plugins do to the mesh's. `gateway_api`: which of its kinds are there.

mod gateway_api;
pub mod look;
mod network;
mod platform;
pub mod rights;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::check::{Checks, some};

/// What a cluster says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What `/version` says, such as `v1.34.1+k3s1`.
    pub kubernetes: String,
    /// What whoever asks may not do, and would have to.
    pub denied: Vec<Right>,
    /// Kinds that the charts have and the cluster does not serve.
    pub unserved: Vec<String>,
    /// CRDs of the groups that matter.
    pub crds: Vec<Crd>,
    /// Deployments and DaemonSets that are, or look like, parts of a mesh.
    pub parts: Vec<Part>,
    /// The names of webhooks that inject sidecars.
    pub injectors: Vec<String>,
    /// The configuration of Cilium, where that is there.
    pub cilium: Option<BTreeMap<String, String>>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Whether API groups of OpenShift are served.
    pub openshift: bool,
    /// The namespace that the mesh is to run in, where it is there.
    pub system: Option<Meta>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The namespace that the mesh is to run in.
    pub system: &'a str,
    /// The release that it is to be.
    pub release: &'a str,
    /// The platform that the charts are told; empty for none.
    pub platform: &'a str,
}

/// A right that is needed to install the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// Such as `create`.
    pub verb: &'static str,
    /// Whether it is needed for the whole cluster, and not only in the mesh's namespace.
    pub everywhere: bool,
}

/// Name, labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// The name.
    pub name: String,
    /// The namespace; empty for what is in none.
    pub namespace: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A CRD.
#[derive(Clone, Debug, Deserialize)]
pub struct Crd {
    /// Whose it is.
    pub metadata: Meta,
    /// What it defines.
    pub spec: CrdSpec,
}

/// What a CRD defines.
#[derive(Clone, Debug, Deserialize)]
pub struct CrdSpec {
    /// The API group.
    pub group: String,
    /// The kind.
    pub names: CrdNames,
    /// Its versions.
    #[serde(default)]
    pub versions: Vec<CrdVersion>,
}

/// How a kind is called.
#[derive(Clone, Debug, Deserialize)]
pub struct CrdNames {
    /// In paths.
    pub plural: String,
    /// In objects.
    pub kind: String,
}

/// A version of a kind.
#[derive(Clone, Debug, Deserialize)]
pub struct CrdVersion {
    /// Such as `v1`.
    pub name: String,
    /// Whether the API server serves it.
    #[serde(default)]
    pub served: bool,
}

/// A Deployment or a DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `Deployment` or `DaemonSet`.
    pub kind: &'static str,
    /// Its names.
    pub metadata: Meta,
}

/// A node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name and labels.
    pub metadata: Meta,
    /// What it runs.
    pub status: NodeStatus,
}

/// What a node runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// Versions.
    pub node_info: NodeInfo,
    /// How it stands.
    pub conditions: Vec<NodeCondition>,
}

/// Versions of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeInfo {
    /// Such as `v1.34.1`.
    pub kubelet_version: String,
    /// `linux` or `windows`.
    pub operating_system: String,
}

/// How a node stands.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeCondition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// Judges.
#[must_use]
pub fn precheck(facts: &Facts, wanted: &Wanted<'_>) -> Checks {
    let mut checks = Checks::default();
    kubernetes(facts, &mut checks);
    rights(facts, &mut checks);
    namespace(facts, wanted, &mut checks);
    meshes(facts, wanted, &mut checks);
    crds(facts, wanted, &mut checks);
    network::judge(facts, &mut checks);
    platform::judge(facts, wanted, &mut checks);
    gateway_api::judge(facts, &mut checks);
    nodes(facts, &mut checks);
    checks
}

fn kubernetes(facts: &Facts, checks: &mut Checks) {
    const MATTER: &str = "kubernetes";
    match minor(&facts.kubernetes) {
        Some(version) if version >= OLDEST => checks.good(MATTER, &facts.kubernetes),
        Some(_) => checks.error(
            MATTER,
            format!("version {} is older than 1.32", facts.kubernetes),
            "upgrade the cluster: the charts and their CRDs need 1.32",
        ),
        None => checks.warning(
            MATTER,
            format!("the version {:?} is not understood", facts.kubernetes),
            "make sure that it is 1.32 or later",
        ),
    }
}

fn rights(facts: &Facts, checks: &mut Checks) {
    const MATTER: &str = "rights";
    for kind in &facts.unserved {
        checks.error(
            MATTER,
            format!("the cluster has no kind {kind}, and the charts have an object of it"),
            "install its CRD first, or leave the value out that asks for it",
        );
    }
    if facts.denied.is_empty() {
        checks.good(
            MATTER,
            "you may make, read, change and delete every kind that the charts have",
        );
    }
    let same =
        |a: &Right, b: &Right| (&a.group, &a.resource, a.everywhere) == (&b.group, &b.resource, b.everywhere);
    for rights in facts.denied.chunk_by(same) {
        let verbs: Vec<&str> = rights.iter().map(|right| right.verb).collect();
        let right = &rights[0];
        let group = match right.group.as_str() {
            "" => String::new(),
            group => format!(".{group}"),
        };
        let place = if right.everywhere {
            "in the cluster"
        } else {
            "in the mesh's namespace"
        };
        checks.error(
            MATTER,
            format!(
                "you may not {} {}{group} {place}",
                verbs.join(", "),
                right.resource
            ),
            "ask for the role cluster-admin, or for these rights",
        );
    }
}

/// The node agent and ztunnel work on the host: Pod Security must let them.
fn namespace(facts: &Facts, wanted: &Wanted<'_>, checks: &mut Checks) {
    const MATTER: &str = "namespace";
    let Some(system) = &facts.system else {
        checks.good(MATTER, format!("{} will be made", wanted.system));
        return;
    };
    match system.labels.get(POD_SECURITY).map(String::as_str) {
        Some(level @ ("restricted" | "baseline")) => checks.error(
            MATTER,
            format!(
                "Namespace {}: label {POD_SECURITY}={level} keeps the node parts out",
                wanted.system
            ),
            format!(
                "kubectl label namespace {} --overwrite {POD_SECURITY}=privileged",
                wanted.system
            ),
        ),
        _ => checks.good(MATTER, format!("{} is there", wanted.system)),
    }
}

/// Other meshes, and what an earlier release of this one left.
fn meshes(facts: &Facts, wanted: &Wanted<'_>, checks: &mut Checks) {
    const MATTER: &str = "other meshes";
    let foreign = facts
        .parts
        .iter()
        .filter(|part| !part.is_of(wanted.release, wanted.system));
    let mut found = false;
    for part in foreign {
        found = true;
        let name = format!("{} {}/{}", part.kind, part.metadata.namespace, part.metadata.name);
        let release = part.metadata.annotations.get(HELM_RELEASE);
        let whose = match (part.is_ours(), release) {
            (true, Some(release)) => format!("belongs to the release {release} of this mesh"),
            _ => "belongs to an Istio".to_owned(),
        };
        // Node parts share the host's files and sockets, wherever they live.
        if part.kind == "DaemonSet" || part.metadata.namespace == wanted.system {
            checks.error(
                MATTER,
                format!("{name} {whose}, and this release has one of the same work"),
                "remove that installation first (istioctl uninstall --purge, or helm uninstall)",
            );
        } else {
            checks.warning(
                MATTER,
                format!("{name} {whose}: two control planes would claim the same namespaces"),
                "give one of them discoverySelectors, or a revision (--set global.revision=NAME)",
            );
        }
    }
    if !facts.injectors.is_empty() {
        found = true;
        checks.warning(
            MATTER,
            format!("sidecars are injected by {}", some(&facts.injectors)),
            "pods with a sidecar stay out of this mesh; take their namespaces' injection labels off",
        );
    }
    if !found {
        checks.good(MATTER, "none");
    }
}

impl Part {
    pub(crate) fn is_of(&self, release: &str, system: &str) -> bool {
        let annotation = |key: &str| self.metadata.annotations.get(key).map(String::as_str);
        annotation(HELM_RELEASE) == Some(release) && annotation(HELM_NAMESPACE) == Some(system)
    }

    /// Whether it is of this mesh, and not of an Istio.
    pub(crate) fn is_ours(&self) -> bool {
        self.metadata
            .labels
            .get(PART_OF)
            .is_some_and(|part| part == "lateen")
    }
}

/// Istio's CRDs stay whose they are.
fn crds(facts: &Facts, wanted: &Wanted<'_>, checks: &mut Checks) {
    const MATTER: &str = "crds";
    let foreign = facts.crds.iter().filter(|crd| {
        crd.spec.group.ends_with("istio.io")
            && crd.metadata.annotations.get(HELM_RELEASE).map(String::as_str) != Some(wanted.release)
    });
    let names: Vec<&str> = foreign.map(|crd| crd.metadata.name.as_str()).collect();
    if names.is_empty() {
        checks.good(MATTER, "Istio's kinds come with the charts");
    } else {
        checks.good(
            MATTER,
            format!(
                "{} of Istio's CRDs are there and are left alone: {}",
                names.len(),
                some(&names)
            ),
        );
    }
}

fn nodes(facts: &Facts, checks: &mut Checks) {
    const MATTER: &str = "nodes";
    let linux: Vec<&Node> = facts
        .nodes
        .iter()
        .filter(|node| node.status.node_info.operating_system != "windows")
        .collect();
    if linux.is_empty() {
        checks.error(
            MATTER,
            "there is no Linux node",
            "the mesh runs on Linux nodes only",
        );
        return;
    }
    let names = |nodes: Vec<&&Node>| {
        let names = nodes.iter().map(|node| node.metadata.name.clone());
        names.collect::<Vec<_>>()
    };
    let old = linux
        .iter()
        .filter(|node| minor(&node.status.node_info.kubelet_version).is_some_and(|version| version < OLDEST));
    let old = names(old.collect());
    let unready = linux.iter().filter(|node| {
        let mut conditions = node.status.conditions.iter();
        conditions.any(|condition| condition.kind == "Ready" && condition.status != "True")
    });
    let unready = names(unready.collect());
    if !old.is_empty() {
        checks.warning(
            MATTER,
            format!("the kubelet is older than 1.32 on {}", some(&old)),
            "upgrade these nodes",
        );
    }
    if !unready.is_empty() {
        checks.warning(
            MATTER,
            format!("not ready: {}", some(&unready)),
            "kubectl describe node says why; an installation waits for them",
        );
    }
    let windows = facts.nodes.len() - linux.len();
    if windows > 0 {
        checks.warning(
            MATTER,
            format!("{windows} with Windows: their pods stay out of the mesh"),
            "nothing needs to be done",
        );
    }
    if old.is_empty() && unready.is_empty() && windows == 0 {
        checks.good(MATTER, format!("{}, all ready", linux.len()));
    }
}

/// Major and minor version of `v1.34.1+k3s1`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?;
    let digits: String = minor.chars().take_while(char::is_ascii_digit).collect();
    Some((major, digits.parse().ok()?))
}

/// What the charts ask for (`kubeVersion`).
const OLDEST: (u32, u32) = (1, 32);
pub(crate) const HELM_RELEASE: &str = "meta.helm.sh/release-name";
pub(crate) const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";
pub(crate) const PART_OF: &str = "app.kubernetes.io/part-of";
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

#[cfg(test)]
mod tests;
