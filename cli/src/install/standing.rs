//! How an installation stands: before helm is run, whether it may be; after helm gave up, what is there and the way back.
//! The decisions are pure.

use serde::Deserialize;
use serde_json::Value;

use mesh_kube::{KubeClient, Resource, Selection};

use crate::check::{counted, some};
use crate::objects::shown;
use crate::precheck::{HELM_NAMESPACE, HELM_RELEASE, Meta};

/// What helm keeps of a release (its Secrets' label `status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none of this name.
    Absent,
    /// It is installed.
    Deployed,
    /// The last thing that was done to it failed.
    Failed,
    /// Another helm is at it, or was cut off.
    Pending,
}

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is installed.
    Install,
    /// It is changed.
    Upgrade,
    /// It is removed.
    Uninstall,
}

/// Why it is not done, and what is to be done instead.
#[must_use]
pub fn obstacle(step: Step, state: State, release: &str, system: &str) -> Option<String> {
    let name = format!("release {release} in namespace {system}");
    Some(match (step, state) {
        (Step::Install, State::Deployed) => {
            format!(
                "{name} is installed already: lateen upgrade changes it, lateen verify-install looks at it"
            )
        }
        (Step::Install, State::Failed) => format!(
            "{name} is there from an installation that failed: lateen upgrade goes on with it, lateen uninstall goes back"
        ),
        (Step::Install | Step::Upgrade, State::Pending) => format!(
            "{name} is being changed by another helm, or one was cut off: wait for it, or go back with helm rollback \
             {release} -n {system}, or lateen uninstall"
        ),
        (Step::Upgrade, State::Absent) => {
            format!("there is no {name}: lateen install makes one; --release and --system name another")
        }
        (Step::Uninstall, State::Absent) => {
            format!("there is no {name}; --release and --system name another")
        }
        _ => return None,
    })
}

/// An object that the release would have and somebody else has; helm would stop in the middle of them. CRDs of others are
/// left alone by the charts.
#[must_use]
pub fn conflict(rendered: &Value, live: &Value, release: &str, system: &str) -> Option<String> {
    if rendered["kind"] == "CustomResourceDefinition" {
        return None;
    }
    let annotation = |key: &str| live["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let owner = (annotation(HELM_RELEASE), annotation(HELM_NAMESPACE));
    if owner == (release, system) {
        return None;
    }
    let whose = match owner {
        ("", _) => "is there and belongs to no release".to_owned(),
        (other, namespace) => format!("is there and belongs to release {other} in namespace {namespace}"),
    };
    Some(format!("{} {whose}", shown(live)))
}

/// What is told after helm gave up: what is there, what keeps it, and the ways to go on and back.
#[must_use]
pub fn aftermath(step: Step, state: State, there: &[String], waiting: &[(String, String)]) -> Vec<String> {
    if state == State::Absent {
        return vec!["nothing of the release is in the cluster; nothing needs to be undone".to_owned()];
    }
    let mut lines = vec![format!(
        "in the cluster now, of the release: {} ({})",
        counted(there.len(), "object"),
        some(there)
    )];
    for (pod, why) in waiting {
        lines.push(format!("Pod {pod} is not ready: {why}"));
    }
    lines.push(
        match step {
            Step::Install => {
                "to go on once the cause is gone: lateen upgrade; to go back: lateen uninstall (pods that joined the mesh \
                 leave it first)"
            }
            Step::Upgrade => {
                "to go on once the cause is gone: lateen upgrade; to go back: helm rollback; what ran before goes on \
                 wherever it was not replaced yet"
            }
            Step::Uninstall => "to go on: lateen uninstall again; helm uninstall --no-hooks leaves pods as they are",
        }
        .to_owned(),
    );
    lines
}

/// What helm keeps of a release.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn state(client: &KubeClient, release: &str, system: &str) -> anyhow::Result<State> {
    let selection = Selection {
        resource: SECRETS,
        namespace: Some(system.to_owned()),
        field_selector: None,
        label_selector: Some(format!("owner=helm,name={release}")),
        metadata_only: true,
    };
    let kept: Vec<Kept> = client.list(&selection).await?;
    Ok(State::of(&kept))
}

/// A Secret in which helm keeps one revision of a release.
#[derive(Clone, Debug, Deserialize)]
pub struct Kept {
    metadata: Meta,
}

impl State {
    fn of(kept: &[Kept]) -> Self {
        let label = |kept: &Kept, key: &str| kept.metadata.labels.get(key).cloned().unwrap_or_default();
        let last = kept
            .iter()
            .max_by_key(|kept| label(kept, "version").parse::<u64>().unwrap_or(0));
        match last.map(|kept| label(kept, "status")).as_deref() {
            None | Some("uninstalled") => Self::Absent,
            Some("failed") => Self::Failed,
            Some("pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling") => {
                Self::Pending
            }
            Some(_) => Self::Deployed,
        }
    }
}

pub(crate) const SECRETS: Resource = Resource::namespaced("", "v1", "secrets", "Secret");

#[cfg(test)]
mod tests;
