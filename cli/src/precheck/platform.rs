//! Which platform a cluster is, and what the charts have to be told of it: where CNI's files are.

use super::{Facts, Wanted};
use crate::check::Checks;

/// What the charts know by `global.platform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Platform {
    name: &'static str,
    /// The charts see it by themselves.
    seen: bool,
}

/// Judges.
pub(super) fn judge(facts: &Facts, wanted: &Wanted<'_>, checks: &mut Checks) {
    const MATTER: &str = "platform";
    let found = platform(facts);
    match (found, wanted.platform) {
        (None, "") => checks.good(MATTER, "CNI's files are where they usually are"),
        (None, told) => checks.warning(
            MATTER,
            format!("global.platform is {told}, and this cluster does not look like one"),
            "the node agent says in its log where it looks for CNI's files",
        ),
        (Some(found), told) if found.name == told || (found.seen && told.is_empty()) => {
            checks.good(MATTER, found.name);
        }
        (Some(found), _) => checks.error(
            MATTER,
            format!("this is {}, whose CNI files are elsewhere", found.name),
            format!("give --set global.platform={}", found.name),
        ),
    }
}

/// Where to look for CNI's files, if not where they usually are.
pub(super) fn platform(facts: &Facts) -> Option<Platform> {
    let version = facts.kubernetes.as_str();
    let label = |key: &str, value: &str| {
        let mut nodes = facts.nodes.iter();
        nodes.any(|node| {
            let found = node.metadata.labels.get(key);
            found.is_some_and(|found| value.is_empty() || found == value)
        })
    };
    let named = |prefix: &str| {
        facts
            .nodes
            .iter()
            .any(|node| node.metadata.name.starts_with(prefix))
    };
    let name = if facts.openshift {
        "openshift"
    } else if version.contains("-gke") {
        "gke"
    } else if version.contains("+k3s") && (named("k3d-") || label("node.kubernetes.io/instance-type", "k3d"))
    {
        "k3d"
    } else if version.contains("+k3s") {
        "k3s"
    } else if label("microk8s.io/cluster", "") {
        "microk8s"
    } else if label("minikube.k8s.io/name", "") {
        "minikube"
    } else {
        return None;
    };
    Some(Platform {
        name,
        seen: name == "gke",
    })
}
