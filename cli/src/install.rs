//! Installing, upgrading and removing the mesh: the charts that this program carries, by `helm`.
//!
//! Helm keeps the record of what belongs to a release and takes away what a new version no longer has; doing that a second
//! time here would give two truths about one installation.
//!
//! # Layout
//! - this file: what helm is told (pure), and running it.
//! - [`charts`]: the charts, and writing them where helm finds them.

pub mod charts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use clap::Args;

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
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub enum Task<'a> {
    /// There is no release yet.
    Install(&'a Installation),
    /// There is one.
    Upgrade(&'a Installation),
    /// It goes.
    Uninstall(&'a Release),
    /// What would be installed is printed.
    Render(&'a Release, &'a Values),
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
        Task::Uninstall(_) => told.words(["uninstall", name, "--wait"]),
        Task::Render(_, values) => {
            told.words(["template", name]);
            told.path(chart);
            told.values(values);
        }
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

impl Task<'_> {
    fn release(&self) -> &Release {
        match self {
            Self::Install(installation) | Self::Upgrade(installation) => &installation.release,
            Self::Uninstall(release) | Self::Render(release, _) => release,
        }
    }

    fn remedy(&self) -> &'static str {
        match self {
            Self::Install(installation) | Self::Upgrade(installation) if installation.dry_run => {
                "nothing was changed"
            }
            Self::Install(_) => {
                "what is there already is shown by `helm status` and `kubectl get events`; `lateen upgrade` goes on, \
                 `lateen uninstall` goes back"
            }
            Self::Upgrade(_) => {
                "`helm history` shows the revisions, `helm rollback` goes back to the last good one"
            }
            Self::Uninstall(_) => "what is left is shown by `helm status`; it can be asked again",
            Self::Render(..) => "nothing was changed",
        }
    }
}

#[cfg(test)]
mod tests;
