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

/// How a release stands, and where it could go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How the last thing that was done to it ended.
    pub state: State,
    /// The last revision that was installed to its end.
    pub good: Option<u64>,
}

/// What is told after helm gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aftermath {
    /// What is there, and what keeps it.
    pub lines: Vec<String>,
    /// The ways to go on and back.
    pub remedy: String,
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
pub fn obstacle(step: Step, stands: Standing, release: &str, system: &str) -> Option<String> {
    let name = format!("release {release} in namespace {system}");
    Some(match (step, stands.state) {
        (Step::Install, State::Deployed) => {
            format!(
                "{name} is installed already: lateen upgrade changes it, lateen verify-install looks at it"
            )
        }
        (Step::Install, State::Failed) => format!(
            "{name} is there from an installation that failed: lateen upgrade goes on with it, lateen uninstall goes back"
        ),
        (Step::Install | Step::Upgrade, State::Pending) => format!(
            "{name} is being changed by another helm, or one was cut off: wait for it, or go back with {}lateen uninstall",
            stands
                .rollback(release, system)
                .map_or_else(String::new, |rollback| format!("{rollback}, or "))
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
pub fn aftermath(
    step: Step,
    stands: Standing,
    (release, system): (&str, &str),
    there: &[String],
    waiting: &[(String, String)],
) -> Aftermath {
    if stands.state == State::Absent {
        let remedy = match step {
            Step::Install | Step::Upgrade => {
                "nothing of the release is in the cluster, and nothing needs to be undone: lateen install once the cause is gone"
            }
            Step::Uninstall => {
                "nothing of the release is in the cluster any more: lateen uninstall lists what it left"
            }
        };
        return Aftermath {
            lines: Vec::new(),
            remedy: remedy.to_owned(),
        };
    }
    let mut lines = vec![format!(
        "in the cluster now, of the release: {} ({})",
        counted(there.len(), "object"),
        some(there)
    )];
    for (pod, why) in waiting {
        lines.push(format!("Pod {pod} is not ready: {why}"));
    }
    let remedy = match (step, stands.state) {
        (Step::Install, State::Pending) => {
            format!("helm was cut off, and the release is held: to go back: {LEAVES}")
        }
        (Step::Install, _) => {
            format!("to go on once the cause is gone: lateen upgrade; to go back: {LEAVES}")
        }
        (Step::Upgrade, state) => {
            let back = stands.rollback(release, system);
            let back = back.map_or_else(
                || LEAVES.to_owned(),
                |back| format!("{back}; what ran before goes on wherever it was not replaced yet"),
            );
            match state {
                State::Pending => format!("helm was cut off, and the release is held: to go back: {back}"),
                _ => format!("to go on once the cause is gone: lateen upgrade; to go back: {back}"),
            }
        }
        (Step::Uninstall, _) => {
            "to go on: lateen uninstall again; helm uninstall --no-hooks leaves pods as they are".to_owned()
        }
    };
    Aftermath { lines, remedy }
}

/// What helm keeps of a release.
///
/// # Errors
/// Fails with what is wrong with the way or our rights.
pub async fn standing(client: &KubeClient, release: &str, system: &str) -> anyhow::Result<Standing> {
    let selection = Selection {
        resource: SECRETS,
        namespace: Some(system.to_owned()),
        field_selector: None,
        label_selector: Some(format!("owner=helm,name={release}")),
        metadata_only: true,
    };
    let kept: Vec<Kept> = client.list(&selection).await?;
    Ok(Standing::of(&kept))
}

/// A Secret in which helm keeps one revision of a release.
#[derive(Clone, Debug, Deserialize)]
pub struct Kept {
    metadata: Meta,
}

impl Kept {
    fn label(&self, key: &str) -> &str {
        self.metadata.labels.get(key).map_or("", String::as_str)
    }

    fn revision(&self) -> u64 {
        self.label("version").parse().unwrap_or(0)
    }
}

impl Standing {
    fn of(kept: &[Kept]) -> Self {
        let last = kept.iter().max_by_key(|kept| kept.revision());
        let state = match last.map(|kept| kept.label("status")) {
            None | Some("uninstalled") => State::Absent,
            Some("failed") => State::Failed,
            Some("pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling") => {
                State::Pending
            }
            Some(_) => State::Deployed,
        };
        let good = kept
            .iter()
            .filter(|kept| matches!(kept.label("status"), "deployed" | "superseded"));
        Self {
            state,
            good: good.map(Kept::revision).max(),
        }
    }

    /// The command that goes back, where there is something to go back to.
    fn rollback(&self, release: &str, system: &str) -> Option<String> {
        let good = self.good?;
        Some(format!("helm rollback {release} {good} -n {system}"))
    }
}

const LEAVES: &str = "lateen uninstall (pods that joined the mesh leave it first)";
pub(crate) const SECRETS: Resource = Resource::namespaced("", "v1", "secrets", "Secret");

#[cfg(test)]
mod tests;
