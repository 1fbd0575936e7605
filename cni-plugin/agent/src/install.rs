//! The plugin on the host: its binary, and its place in the runtime's network configuration. Installed once, and put
//! right whenever somebody else's hand undid it.
//!
//! # Layout
//! - this file: the loop that looks, carries out, and says whether pods can start through the plugin.
//! - [`plan`]: the files of the directory in, the files to be written and removed out; pure. Start here.
//! - [`disk`]: reading, writing and comparing files; what is replaced is replaced in one step.
//! - [`ending`]: whether the plugin is to be taken away when the agent stops; pure.

pub mod disk;
pub mod ending;
pub mod plan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_runtime::readiness::{BlockReady, Readiness};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::metrics::{InstallOutcome, Metrics};
use disk::DiskError;
use plan::{NotYet, Step, Wanted};

/// Where things lie, as this process sees them.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The runtime's network configurations (`/etc/cni/net.d` of the host).
    pub configurations: PathBuf,
    /// The runtime's plugins (`/opt/cni/bin` of the host).
    pub plugins: PathBuf,
    /// The plugin that is copied there.
    pub source: PathBuf,
}

/// Keeps the plugin installed. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Installer {
    paths: Paths,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    wanted: Wanted,
    paths: Paths,
    readiness: Readiness,
    metrics: Metrics,
    /// Open while pods would start without the plugin.
    not_ready: Option<BlockReady>,
    problem: Option<String>,
    installed_once: bool,
    /// It was taken away for good.
    removed: bool,
}

/// Why the plugin is not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The host's network is not configured so that the plugin could be a part of it.
    #[error(transparent)]
    NotYet(#[from] NotYet),
    /// A file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Installer {
    /// Nothing is touched before [`Self::run`].
    #[must_use]
    pub fn new(wanted: Wanted, paths: Paths, readiness: Readiness, metrics: Metrics) -> Self {
        let not_ready = Some(readiness.block(CONDITION));
        let state = State {
            wanted,
            paths: paths.clone(),
            readiness,
            metrics,
            not_ready,
            problem: None,
            installed_once: false,
            removed: false,
        };
        Self {
            paths,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Installs the plugin and keeps it installed, for ever.
    pub async fn run(&self) {
        let told = Arc::new(Notify::new());
        // Before the first look: nothing that is changed after it is missed.
        let mut watcher = self.watch(&told);
        loop {
            let changed = self.state.lock().look();
            if watcher.is_none() {
                watcher = self.watch(&told);
            }
            // Whoever rewrites the configuration without end must not keep the agent busy, nor the agent him.
            sleep(if changed { AFTER_REPAIR } else { BETWEEN_LOOKS }).await;
            // Not told in time: looked at all the same.
            let _ = timeout(UNASKED, told.notified()).await;
        }
    }

    /// Takes the plugin away from the host, for good: its place in every configuration first, then its binary. Returns
    /// what was done.
    ///
    /// # Errors
    /// Fails when a file cannot be changed.
    pub fn remove(&self) -> Result<Vec<String>, InstallError> {
        self.state.lock().remove()
    }

    /// The kernel's notifications of both directories; without them the regular look has to do.
    fn watch(&self, told: &Arc<Notify>) -> Option<RecommendedWatcher> {
        let told = told.clone();
        let notified = move |event: notify::Result<notify::Event>| {
            // Reading is no change; whatever else it is, it is looked at.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                told.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(notified).and_then(|mut watcher| {
            for directory in [&self.paths.configurations, &self.paths.plugins] {
                watcher.watch(directory, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| {
                tracing::debug!(%error, "changes of the host's CNI directories are only found by the regular look");
            })
            .ok()
    }
}

impl State {
    /// Looks once, and puts right what is not so; whether anything was.
    fn look(&mut self) -> bool {
        if self.removed {
            return false;
        }
        match self.install() {
            Ok(steps) => {
                self.problem = None;
                if let Some(condition) = self.not_ready.take() {
                    condition.ready();
                }
                self.metrics.installed(InstallOutcome::Success, !steps.is_empty());
                if steps.is_empty() {
                    return false;
                }
                match self.installed_once {
                    false => tracing::info!(?steps, "the CNI plugin is installed on the host"),
                    true => tracing::error!(
                        ?steps,
                        "somebody else changed the host's CNI configuration or plugin; it has been put right"
                    ),
                }
                self.installed_once = true;
                true
            }
            Err(error) => {
                let text = error.to_string();
                self.metrics.installed(InstallOutcome::of(&error), true);
                // It is tried again and again; it is said once.
                if self.problem.as_ref() != Some(&text) {
                    tracing::error!("the CNI plugin is not installed on the host: {text}");
                }
                self.problem = Some(text);
                if self.not_ready.is_none() {
                    self.not_ready = Some(self.readiness.block(CONDITION));
                }
                false
            }
        }
    }

    /// What was done, for people.
    fn install(&self) -> Result<Vec<String>, InstallError> {
        let mut done = Vec::new();
        // The binary first: a configuration that names a plugin which is not there stops every pod.
        if disk::copy_program(&self.paths.source, &self.paths.plugins, plan::PLUGIN)? {
            done.push(format!(
                "copied {} to {}",
                plan::PLUGIN,
                self.paths.plugins.display()
            ));
        }
        let found = disk::configurations(&self.paths.configurations)?;
        for step in plan::install(&self.wanted, &found)? {
            disk::carry_out(&self.paths.configurations, &step)?;
            done.push(said(&step));
        }
        Ok(done)
    }

    fn remove(&mut self) -> Result<Vec<String>, InstallError> {
        self.removed = true;
        let mut done = Vec::new();
        let found = disk::configurations(&self.paths.configurations)?;
        for step in plan::remove(&self.wanted, &found) {
            disk::carry_out(&self.paths.configurations, &step)?;
            done.push(said(&step));
        }
        if disk::remove_program(&self.paths.plugins, plan::PLUGIN)? {
            done.push(format!(
                "removed {} from {}",
                plan::PLUGIN,
                self.paths.plugins.display()
            ));
        }
        Ok(done)
    }
}

impl InstallOutcome {
    fn of(error: &InstallError) -> Self {
        match error {
            InstallError::Disk(DiskError::Program { .. }) => Self::CopyBinariesFailure,
            InstallError::NotYet(_) | InstallError::Disk(_) => Self::CreateCniConfigFailure,
        }
    }
}

fn said(step: &Step) -> String {
    match step {
        Step::Write { name, .. } => format!("wrote {name}"),
        Step::Remove { name } => format!("removed {name}"),
    }
}

const CONDITION: &str = "the CNI plugin on the host";
/// A change comes as a burst of events: one look for all of them.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const AFTER_REPAIR: Duration = Duration::from_secs(1);
const UNASKED: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
