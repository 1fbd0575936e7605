//! How an installation stands: before helm is run, whether it may be; after helm gave up, what is there and the way back.
//! The decisions are pure.

use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use mesh_kube::{KubeClient, Resource, Selection};

use crate::check::{counted, some};
use crate::objects::shown;
use crate::precheck::{HELM_NAMESPACE, HELM_RELEASE, Meta};
use crate::verify::pods::Waiting;

/// What helm keeps of a release (its Secrets' label `status`), with the last revision's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none of this name.
    Absent,
    /// It is installed.
    Deployed(u64),
    /// The last thing that was done to it failed.
    Failed(u64),
    /// Another helm is at it, or was cut off.
    Pending(u64, Under),
}

/// What a helm is at, or was when it was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// `pending-install`.
    Install,
    /// `pending-upgrade`.
    Upgrade,
    /// `pending-rollback`.
    Rollback,
    /// `uninstalling`.
    Removal,
}

/// How a release stands, and where it could go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How the last thing that was done to it ended.
    pub state: State,
    /// The last revision that was installed to its end.
    pub good: Option<u64>,
}

/// A release by its name and namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Its name.
    pub release: &'a str,
    /// The namespace that the mesh runs in.
    pub system: &'a str,
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
pub fn obstacle(step: Step, stands: Standing, named: Named<'_>) -> Option<String> {
    let command = |what| named.command(what);
    Some(match (step, stands.state) {
        (Step::Install, State::Deployed(_)) => format!(
            "{named} is installed already: {} changes it, {} looks at it",
            command("upgrade"),
            command("verify-install")
        ),
        (Step::Install, State::Failed(_)) => format!(
            "{named} is there from an installation that failed: {} goes on with it, {} goes back",
            command("upgrade"),
            command("uninstall")
        ),
        (Step::Install | Step::Upgrade, State::Pending(revision, Under::Removal)) => format!(
            "{named} is uninstalling (revision {revision}): another helm is at it, or was cut off: wait for it, or go on with {}",
            command("uninstall")
        ),
        (Step::Install | Step::Upgrade, State::Pending(revision, under)) => format!(
            "{named} is {} (revision {revision}): another helm is at it, or was cut off: wait for it, or go back with {}{}",
            under.as_str(),
            stands
                .rollback(named)
                .map_or_else(String::new, |rollback| format!("{rollback}, or ")),
            command("uninstall")
        ),
        (Step::Upgrade, State::Absent) => format!(
            "there is no {named}: {} makes one; --release and --system name another",
            command("install")
        ),
        (Step::Uninstall, State::Absent) => {
            format!("there is no {named}; --release and --system name another")
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
    named: Named<'_>,
    there: &[String],
    waiting: &[Waiting],
) -> Aftermath {
    let Some(state) = stands.state.said() else {
        let remedy = match step {
            Step::Install | Step::Upgrade => format!(
                "nothing of the release is in the cluster, and nothing needs to be undone: {} once the cause is gone",
                named.command("install")
            ),
            Step::Uninstall => format!(
                "nothing of the release is in the cluster any more: {} lists what it left",
                named.command("uninstall")
            ),
        };
        return Aftermath {
            lines: Vec::new(),
            remedy,
        };
    };
    let mut lines = vec![
        format!("{named} is there: {state}"),
        format!(
            "in the cluster now, of the release: {} ({})",
            counted(there.len(), "object"),
            some(there)
        ),
    ];
    lines.extend(waiting.iter().map(ToString::to_string));
    Aftermath {
        lines,
        remedy: remedy(step, stands, named),
    }
}

/// The ways to go on and back, where there is something.
fn remedy(step: Step, stands: Standing, named: Named<'_>) -> String {
    let (upgrade, uninstall) = (named.command("upgrade"), named.command("uninstall"));
    let leaves = format!("{uninstall} (pods that joined the mesh leave it first)");
    let back = match (step, stands.rollback(named)) {
        (Step::Upgrade, Some(back)) => {
            format!("{back}; what ran before goes on wherever it was not replaced yet")
        }
        _ => leaves,
    };
    match (step, stands.state) {
        (Step::Uninstall, _) => {
            let Named { release, system } = named;
            format!(
                "to go on: {uninstall} again; helm uninstall {release} -n {system} --no-hooks leaves pods as they are"
            )
        }
        (_, State::Pending(..)) => format!("helm was cut off, and the release is held: to go back: {back}"),
        _ => format!("to go on once the cause is gone: {upgrade}; to go back: {back}"),
    }
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
    let kept = client.list(&selection).await;
    let kept: Vec<Kept> = kept
        .with_context(|| format!("what helm keeps of release {release} (Secrets in namespace {system})"))?;
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
        let good = kept
            .iter()
            .filter(|kept| matches!(kept.label("status"), "deployed" | "superseded"));
        Self {
            state: State::of(kept.iter().max_by_key(|kept| kept.revision())),
            good: good.map(Kept::revision).max(),
        }
    }

    /// The command that goes back, where there is something to go back to.
    fn rollback(&self, named: Named<'_>) -> Option<String> {
        let good = self.good?;
        Some(format!(
            "helm rollback {} {good} -n {}",
            named.release, named.system
        ))
    }
}

impl State {
    fn of(last: Option<&Kept>) -> Self {
        let Some(last) = last else { return Self::Absent };
        let revision = last.revision();
        match last.label("status") {
            "uninstalled" => Self::Absent,
            "failed" => Self::Failed(revision),
            "pending-install" => Self::Pending(revision, Under::Install),
            "pending-upgrade" => Self::Pending(revision, Under::Upgrade),
            "pending-rollback" => Self::Pending(revision, Under::Rollback),
            "uninstalling" => Self::Pending(revision, Under::Removal),
            _ => Self::Deployed(revision),
        }
    }

    /// In helm's words; nothing where there is no release.
    fn said(self) -> Option<String> {
        let (revision, state) = match self {
            Self::Absent => return None,
            Self::Deployed(revision) => (revision, "deployed"),
            Self::Failed(revision) => (revision, "failed"),
            Self::Pending(revision, under) => (revision, under.as_str()),
        };
        Some(format!("revision {revision}, {state}"))
    }
}

impl Under {
    fn as_str(self) -> &'static str {
        match self {
            Self::Install => "pending-install",
            Self::Upgrade => "pending-upgrade",
            Self::Rollback => "pending-rollback",
            Self::Removal => "uninstalling",
        }
    }
}

impl Named<'_> {
    /// A command of ours about this very release.
    fn command(&self, what: &str) -> String {
        let mut command = format!("lateen {what}");
        for (option, value, default) in [
            (" --release ", self.release, DEFAULT_RELEASE),
            (" --system ", self.system, DEFAULT_SYSTEM),
        ] {
            if value != default {
                command.push_str(option);
                command.push_str(value);
            }
        }
        command
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "release {} in namespace {}", self.release, self.system)
    }
}

/// What the command line means where it names none.
pub(crate) const DEFAULT_RELEASE: &str = "lateen";
pub(crate) const DEFAULT_SYSTEM: &str = "istio-system";
pub(crate) const SECRETS: Resource = Resource::namespaced("", "v1", "secrets", "Secret");

#[cfg(test)]
mod tests;
