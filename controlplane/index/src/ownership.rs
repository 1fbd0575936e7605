//! Who made a Pod: the name of its Deployment or the like, for telemetry (`workload_name`).

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::core::Pod;
use mesh_types::Strng;

/// The name of what the Pod belongs to: its label, or what the naming habits of Kubernetes' controllers tell, or its own
/// name. A Pod whose name was not generated was made by hand, whatever it says of owners.
pub(crate) fn workload_name(pod: &Pod) -> Strng {
    let metadata = &pod.metadata;
    if let Some(name) = metadata.labels.get(WORKLOAD_NAME_LABEL).filter(|n| !n.is_empty()) {
        return name.clone();
    }
    let generated = metadata.generate_name.as_ref().is_some_and(|n| !n.is_empty());
    let controller = metadata.owner_references.iter().find(|o| o.controller);
    let Some(owner) = controller.filter(|_| generated) else {
        return metadata.name.clone();
    };
    let label = |name: &str| {
        metadata
            .labels
            .get(name)
            .map(Strng::as_str)
            .filter(|l| !l.is_empty())
    };
    let trimmed = match owner.kind.as_str() {
        "ReplicaSet" => [TEMPLATE_HASH_LABEL, ROLLOUT_HASH_LABEL]
            .into_iter()
            .find_map(|hash| owner.name.strip_suffix(label(hash)?)?.strip_suffix('-')),
        "ReplicationController" => label(DEPLOYMENT_CONFIG_LABEL),
        "Job" => cron_job_of(&owner.name),
        _ => None,
    };
    trimmed
        .filter(|n| !n.is_empty())
        .map_or_else(|| owner.name.clone(), Strng::from)
}

/// A CronJob calls its Jobs `<name>-<minutes since 1970>`, with 8 digits today and 10 in older versions (seconds).
fn cron_job_of(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit());
    is_time.then_some(name)
}

/// The first of these labels that has a value.
pub(crate) fn first_label(labels: &Labels, names: &[&str]) -> Option<Strng> {
    names
        .iter()
        .find_map(|n| labels.get(*n).filter(|v| !v.is_empty()).cloned())
}

pub(crate) const CANONICAL_NAME_LABELS: [&str; 3] =
    ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
pub(crate) const CANONICAL_REVISION_LABELS: [&str; 3] = [
    "service.istio.io/canonical-revision",
    "app.kubernetes.io/version",
    "version",
];
pub(crate) const DEFAULT_REVISION: &str = "latest";
pub(crate) const WORKLOAD_NAME_LABEL: &str = "service.istio.io/workload-name";
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";
/// Argo Rollouts.
const ROLLOUT_HASH_LABEL: &str = "rollouts-pod-template-hash";
/// OpenShift's DeploymentConfig.
const DEPLOYMENT_CONFIG_LABEL: &str = "deploymentconfig";

#[cfg(test)]
mod tests;
