//! Installing, upgrading and removing the mesh: the charts that this program carries, by `helm`.
//!
//! Helm keeps the record of what belongs to a release and takes away what a new version no longer has; doing that a second
//! time here would give two truths about one installation.
//!
//! # Layout
//! - this file: what helm is told (pure), and running it.
//! - [`charts`]: the charts, and writing them where helm finds them.
//! - [`standing`]: whether helm may be run, and what is there where it gave up (pure). [`steps`]: one after the other.

pub mod charts;
pub mod standing;
pub mod steps;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

/// How helm is run, and on what.
#[derive(Clone, Debug, Args)]
pub struct Release {
    /// The name of the release.
    #[arg(long, value_name = "NAME", default_value = "lateen")]
    pub release: String,
    /// The program that does it.
    #[arg(long, value_name = "PATH", default_value = "helm")]
    pub helm: PathBuf,
}

/// What the charts are given.
#[derive(Clone, Debug, Default, Args)]
pub struct Values {
    /// A file of values; the last one counts.
    #[arg(long = "values", short = 'f', value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// A value, such as global.platform=gke.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// How an installation goes on.
#[derive(Clone, Debug, Args)]
pub struct Installation {
    /// The release.
    #[command(flatten)]
    pub release: Release,
    /// What the charts are given.
    #[command(flatten)]
    pub values: Values,
    /// Do not wait until everything runs.
    #[arg(long)]
    pub no_wait: bool,
    /// For how many seconds to wait.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub timeout: u64,
    /// Ask the cluster whether it would take all of it, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not look first whether the cluster can take it (`lateen precheck`).
    #[arg(long)]
    pub skip_checks: bool,
}

/// How it is removed.
#[derive(Clone, Debug, Args)]
pub struct Removal {
    /// The release.
    #[command(flatten)]
    pub release: Release,
    /// Take away what stays otherwise: CRDs with everything of their kinds, waypoints, the root of the certificates.
    #[arg(long)]
    pub purge: bool,
}

/// What is looked at.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The release.
    #[command(flatten)]
    pub release: Release,
    /// What the charts would be given, where nothing is installed yet.
    #[command(flatten)]
    pub values: Values,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// There is no release yet.
    Install(&'a Installation),
    /// There is one.
    Upgrade(&'a Installation),
    /// It goes; with the hook that takes pods out of the mesh first, or without.
    Uninstall(&'a Release, Hooks),
    /// What would be installed is printed.
    Render(&'a Release, &'a Values),
    /// The objects among those, which helm keeps a record of: without hooks, and for this version of Kubernetes.
    Objects(&'a Release, &'a Values, &'a str),
    /// What is installed is printed.
    Installed(&'a Release),
}

/// Whether the hook of a removal runs. It needs an image that can be pulled, which is what a failed installation may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// Pods are taken out of the mesh first.
    Run,
    /// Nobody is in it.
    Skip,
}

/// Where.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    /// The namespace.
    pub system: &'a str,
    /// The kubeconfig, where one is named.
    pub kubeconfig: Option<&'a Path>,
    /// Its context, where one is named.
    pub context: Option<&'a str>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no helm.
    #[error(
        "{0}: cannot be run ({1}); charts are rendered and installed by helm: https://helm.sh/docs/intro/install, or name \
         another place with --helm PATH"
    )]
    NoHelm(String, std::io::Error),
    /// The charts cannot be written down for helm.
    #[error("the charts cannot be written down for helm: {0}")]
    Charts(#[from] std::io::Error),
    /// Helm says no; it said why.
    #[error("helm gave up ({status}); {remedy}")]
    Helm {
        /// How it ended.
        status: ExitStatus,
        /// What is there now, and the way back.
        remedy: &'static str,
    },
}

/// Does it. Helm writes to this process's own output.
///
/// # Errors
/// Fails when helm is not there, or says no.
pub fn run(task: Task<'_>, target: &Target<'_>) -> Result<(), InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let helm = task.release().helm.as_path();
    let status = Command::new(helm).args(arguments(task, target, &chart)).status();
    let status = status.map_err(|error| InstallError::NoHelm(helm.display().to_string(), error))?;
    match status.success() {
        true => Ok(()),
        false => Err(InstallError::Helm {
            status,
            remedy: task.remedy(),
        }),
    }
}

/// Does it, and gives what helm prints.
///
/// # Errors
/// Fails when helm is not there, or says no.
pub fn output(task: Task<'_>, target: &Target<'_>) -> Result<String, InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let helm = task.release().helm.as_path();
    // What it complains of is for people.
    let mut command = Command::new(helm);
    let command = command
        .args(arguments(task, target, &chart))
        .stderr(Stdio::inherit());
    let out = command.output();
    let out = out.map_err(|error| InstallError::NoHelm(helm.display().to_string(), error))?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        false => Err(InstallError::Helm {
            status: out.status,
            remedy: task.remedy(),
        }),
    }
}

/// What helm is told.
#[must_use]
pub fn arguments(task: Task<'_>, target: &Target<'_>, chart: &Path) -> Vec<OsString> {
    let mut told = Told::default();
    let name = &task.release().release;
    match task {
        Task::Install(installation) => {
            told.words(["install", name]);
            told.path(chart);
            told.words(["--create-namespace"]);
            told.installation(installation);
        }
        Task::Upgrade(installation) => {
            told.words(["upgrade", name]);
            told.path(chart);
            // What was set once stays, and what a newer chart asks for anew has its default.
            told.words(["--reset-then-reuse-values"]);
            told.installation(installation);
        }
        Task::Uninstall(_, hooks) => {
            told.words(["uninstall", name, "--wait"]);
            if hooks == Hooks::Skip {
                told.words(["--no-hooks"]);
            }
        }
        Task::Render(_, values) => {
            told.words(["template", name]);
            told.path(chart);
            told.values(values);
        }
        Task::Objects(_, values, version) => {
            told.words(["template", name]);
            told.path(chart);
            told.words(["--no-hooks", "--kube-version", version]);
            told.values(values);
        }
        Task::Installed(_) => told.words(["get", "manifest", name]),
    }
    told.words(["--namespace", target.system]);
    if let Some(kubeconfig) = target.kubeconfig {
        told.words(["--kubeconfig"]);
        told.path(kubeconfig);
    }
    if let Some(context) = target.context {
        told.words(["--kube-context", context]);
    }
    told.0
}

#[derive(Default)]
struct Told(Vec<OsString>);

impl Told {
    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn path(&mut self, path: &Path) {
        self.0.push(path.into());
    }

    fn installation(&mut self, installation: &Installation) {
        self.values(&installation.values);
        let timeout = format!("{}s", installation.timeout);
        if installation.dry_run {
            self.words(["--dry-run=server"]);
        } else if !installation.no_wait {
            self.words(["--wait", "--timeout", &timeout]);
        }
    }

    fn values(&mut self, values: &Values) {
        for file in &values.files {
            self.words(["--values"]);
            self.path(file);
        }
        for value in &values.set {
            self.words(["--set", value]);
        }
    }
}

impl Values {
    /// The platform that the charts are told (`global.platform`); empty where they are told none.
    ///
    /// # Errors
    /// Fails when a file of values cannot be read.
    pub fn platform(&self) -> anyhow::Result<String> {
        let mut platform = String::new();
        for file in &self.files {
            let name = || format!("values {}", file.display());
            let text = std::fs::read_to_string(file).with_context(name)?;
            let values: Value = serde_saphyr::from_str(&text).with_context(name)?;
            if let Some(told) = values["global"]["platform"].as_str() {
                told.clone_into(&mut platform);
            }
        }
        // As helm takes them: several in one, the last one counts, and all of them before files.
        for pair in self.set.iter().flat_map(|set| set.split(',')) {
            if let Some(("global.platform", told)) = pair.split_once('=') {
                told.clone_into(&mut platform);
            }
        }
        Ok(platform)
    }
}

impl Task<'_> {
    fn release(&self) -> &Release {
        match self {
            Self::Install(installation) | Self::Upgrade(installation) => &installation.release,
            Self::Uninstall(release, _)
            | Self::Render(release, _)
            | Self::Objects(release, ..)
            | Self::Installed(release) => release,
        }
    }

    fn is_dry_run(&self) -> bool {
        match self {
            Self::Install(installation) | Self::Upgrade(installation) => installation.dry_run,
            Self::Uninstall(..) => false,
            Self::Render(..) | Self::Objects(..) | Self::Installed(_) => true,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Install(installation) | Self::Upgrade(installation) if installation.dry_run => {
                "nothing was changed"
            }
            Self::Install(_) => "lateen upgrade goes on, lateen uninstall goes back",
            Self::Upgrade(_) => "lateen upgrade goes on, helm rollback goes back to the last good revision",
            Self::Uninstall(..) => "what is left is shown by helm status; it can be asked again",
            Self::Render(..) | Self::Objects(..) | Self::Installed(_) => "nothing was changed",
        }
    }
}

#[cfg(test)]
mod tests;
