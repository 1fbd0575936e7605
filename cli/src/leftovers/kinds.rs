//! What is a leftover, kind by kind, and what becomes of it. Pure.

use std::collections::BTreeMap;

use mesh_kube::{ObjectName, Resource};
use serde_json::Value;

use super::{Fate, Leftover, Way};
use crate::ask::cluster::GATEWAY_NAME;
use crate::install::standing::SECRETS;
use crate::objects::GATEWAYS;
use crate::objects::PODS;
use crate::precheck::look::CRDS;
use crate::precheck::{Crd, PART_OF};
use crate::waypoint::classes::Classes;

/// Waypoints run on, with nobody to tell them anything.
pub(crate) fn gateways(all: &[Value], classes: &Classes) -> Vec<Leftover> {
    let ours = all.iter().filter(|gateway| {
        let class = gateway["spec"]["gatewayClassName"].as_str().unwrap_or_default();
        classes.is_waypoint(class)
    });
    ours.map(|gateway| {
        let what = "a waypoint; its proxies run until it is deleted";
        leftover(&GATEWAYS, gateway, what, Way::Delete, Fate::Kept)
    })
    .collect()
}

/// What people bound to the mesh. Pods of the mesh's own have such labels of their makers, with which they go.
pub(super) fn labelled(resource: &Resource, all: &[Value]) -> Vec<Leftover> {
    let labelled = all.iter().filter_map(|object| {
        let labels = object["metadata"]["labels"].as_object()?;
        let is_made =
            labels.contains_key(GATEWAY_NAME) || labels.get(PART_OF).is_some_and(|part| part == "lateen");
        let ours: Vec<&str> = LABELS
            .iter()
            .copied()
            .filter(|label| labels.contains_key(*label))
            .collect();
        if is_made || ours.is_empty() {
            return None;
        }
        let what = format!("its labels {}", ours.join(", "));
        Some(leftover(resource, object, &what, Way::Unlabel, Fate::Kept))
    });
    labelled.collect()
}

/// Pods that are done and of which nobody took off that they are in the mesh.
pub(super) fn done(pods: &[Value]) -> Vec<Leftover> {
    let done = pods.iter().filter(|pod| is_done(pod) && is_captured(pod));
    done.map(|pod| {
        let what = "its annotation ambient.istio.io/redirection; it is done";
        leftover(&PODS, pod, what, Way::Forget, Fate::Goes)
    })
    .collect()
}

/// CRDs of the charts, with what people wrote of their kinds; of those that somebody else installed, only what was written.
pub(super) fn definitions(crds: &[Crd], users: &BTreeMap<String, Vec<String>>) -> Vec<Leftover> {
    let of_the_mesh = crds.iter().filter(|crd| is_of_the_mesh(crd));
    let definitions = of_the_mesh.filter_map(|crd| {
        let objects = users.get(&crd.metadata.name).cloned().unwrap_or_default();
        let (what, fate) = match (is_ours(crd), objects.is_empty()) {
            (true, true) => ("a CRD; nobody uses it", Fate::Kept),
            (true, false) => ("a CRD", Fate::Kept),
            (false, false) => ("a CRD that stays: it is not ours", Fate::Others),
            (false, true) => return None,
        };
        Some(Leftover {
            resource: CRDS.clone(),
            name: ObjectName::cluster(&crd.metadata.name),
            what: what.to_owned(),
            objects,
            way: Way::Delete,
            fate,
        })
    });
    definitions.collect()
}

/// The root of all certificates, in the mesh's namespace.
pub(super) fn root_key(secrets: &[Value], other: Option<&str>) -> Vec<Leftover> {
    let keys = secrets
        .iter()
        .filter(|secret| secret["metadata"]["name"] == ROOT_KEY);
    keys.map(|secret| {
        let what = "the root of all certificates and its key: a new installation goes on with it";
        let (what, fate) = of(what, Fate::Kept, other);
        leftover(&SECRETS, secret, &what, Way::Delete, fate)
    })
    .collect()
}

/// What the control plane made by itself.
pub(super) fn made(
    resource: &Resource,
    all: &[Value],
    other: Option<&str>,
    is_such: impl Fn(&str) -> bool,
) -> Vec<Leftover> {
    let ours = all.iter().filter(|object| is_such(&name_of(object).name));
    ours.map(|object| {
        let (what, fate) = of("made by the control plane", Fate::Goes, other);
        leftover(resource, object, &what, Way::Delete, fate)
    })
    .collect()
}

/// What hooks of a release left where they failed.
pub(super) fn hooks(resource: &Resource, all: &[Value], release: &str, system: &str) -> Vec<Leftover> {
    let ours = all.iter().filter(|object| {
        let of = object["metadata"]["labels"]["app.kubernetes.io/instance"].as_str();
        let is_here = resource.namespaced || name_of(object).name.ends_with(&format!("-{system}"));
        // A Job's pods do not say of which release they are.
        is_here && of.is_none_or(|of| of == release)
    });
    ours.map(|object| {
        let what = "left by a hook of Helm that failed";
        leftover(resource, object, what, Way::Delete, Fate::Goes)
    })
    .collect()
}

/// Of the groups whose kinds this mesh reads, but for Gateway API's, which others read as well.
pub(super) fn is_of_the_mesh(crd: &Crd) -> bool {
    let group = crd.spec.group.as_str();
    ["istio.io", "lateen.dev"].iter().any(|ours| {
        let above = group.strip_suffix(ours);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    })
}

fn is_ours(crd: &Crd) -> bool {
    crd.metadata
        .labels
        .get(PART_OF)
        .is_some_and(|part| part == "lateen")
}

/// The versions that a CRD serves, and the first of them as a resource.
pub(super) fn resource(crd: &Crd) -> Resource {
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

/// Whether a pod never runs again.
pub(super) fn is_done(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Whether the node agent says that a pod's traffic goes through the mesh.
pub(super) fn is_captured(pod: &Value) -> bool {
    pod["metadata"]["annotations"][REDIRECTION] == "enabled"
}

pub(super) fn name_of(object: &Value) -> ObjectName {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    ObjectName::new(text("namespace"), text("name"))
}

/// What another control plane goes on with is that one's.
fn of(what: &str, fate: Fate, other: Option<&str>) -> (String, Fate) {
    match other {
        None => (what.to_owned(), fate),
        Some(other) => (format!("{what}; it stays for {other}"), Fate::Others),
    }
}

fn leftover(resource: &Resource, object: &Value, what: &str, way: Way, fate: Fate) -> Leftover {
    Leftover {
        resource: resource.clone(),
        name: name_of(object),
        what: what.to_owned(),
        objects: Vec::new(),
        way,
        fate,
    }
}

/// By which objects are bound to the mesh.
pub(super) const LABELS: [&str; 3] = [
    "istio.io/dataplane-mode",
    "istio.io/use-waypoint",
    "istio.io/use-waypoint-namespace",
];
pub(super) const REDIRECTION: &str = "ambient.istio.io/redirection";
pub(super) const ROOT_KEY: &str = "istio-ca-secret";
/// Roots of earlier authorities, and until when they are trusted.
pub(super) const ROOTS_BEFORE: &str = "lateen-trusted-roots";
pub(super) const ROOT: &str = "istio-ca-root-cert";
pub(super) const BUNDLE: &str = "istio.io:istiod-ca:root-cert";
/// Of every duty that one replica does.
pub(super) const LEASE_PREFIX: &str = "lateen-";

/// What the charts' hooks make, by their label `app.kubernetes.io/name`. Jobs go before their pods, which would be made anew.
pub(super) static HOOKS: [(Resource, &[&str]); 9] = [
    (Resource::namespaced("batch", "v1", "jobs", "Job"), &[UNENROLL]),
    (
        Resource::namespaced("apps", "v1", "deployments", "Deployment"),
        &[TEST],
    ),
    (PODS, &[UNENROLL, TEST]),
    (Resource::namespaced("", "v1", "services", "Service"), &[TEST]),
    (
        Resource::namespaced(
            "security.istio.io",
            "v1",
            "authorizationpolicies",
            "AuthorizationPolicy",
        ),
        &[TEST],
    ),
    (
        Resource::namespaced(
            "security.istio.io",
            "v1",
            "peerauthentications",
            "PeerAuthentication",
        ),
        &[TEST],
    ),
    (
        Resource::cluster_wide(
            "rbac.authorization.k8s.io",
            "v1",
            "clusterrolebindings",
            "ClusterRoleBinding",
        ),
        &[UNENROLL],
    ),
    (
        Resource::cluster_wide("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole"),
        &[UNENROLL],
    ),
    (
        Resource::namespaced("", "v1", "serviceaccounts", "ServiceAccount"),
        &[UNENROLL, TEST],
    ),
];
const UNENROLL: &str = "lateen-unenroll";
const TEST: &str = "lateen-test";
