//! Installing, upgrading and removing the mesh: the charts that this program carries, by `helm`.
//!
//! Helm keeps the record of what belongs to a release and takes away what a new version no longer has; doing that a second
//! time here would give two truths about one installation.
//!
//! # Layout
//! - this file: what helm is told (pure). [`helm`]: running it. [`progress`]: what is told meanwhile.
//! - [`charts`]: the charts, and writing them where helm finds them.
//! - [`standing`]: whether helm may be run, and what is there where it gave up (pure). [`survey`]: whether the cluster can take
//!   it. [`steps`]: one after the other.

pub mod charts;
pub mod helm;
pub mod progress;
pub mod standing;
pub mod steps;
pub mod survey;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

pub use helm::{InstallError, output};

/// How helm is run, and on what.
#[derive(Clone, Debug, Args)]
pub struct Release {
    /// The name of the release.
    #[arg(long, value_name = "NAME", default_value = standing::DEFAULT_RELEASE)]
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
    /// Do not look first whether the cluster can take it (`lateen precheck`). Where CRDs of others are adopted, objects of
    /// others are looked for nevertheless: helm would take them, too.
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
    Install(&'a Installation, Ownership),
    /// There is one.
    Upgrade(&'a Installation, Ownership),
    /// It goes; with the hook that takes pods out of the mesh first, or without.
    Uninstall(&'a Release, Hooks),
    /// What would be installed is printed.
    Render(&'a Release, &'a Values),
    /// The same, for this version of Kubernetes.
    Objects(&'a Release, &'a Values, &'a str),
    /// What is installed is printed.
    Installed(&'a Release),
    /// The values that somebody set in a revision, or in the last one.
    Kept(&'a Release, Option<u64>),
}

/// What becomes of objects that somebody else has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// They stay whose they are; helm refuses to touch them.
    Respect,
    /// They become the release's.
    Take,
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

/// What helm is told.
#[must_use]
pub fn arguments(task: Task<'_>, target: &Target<'_>, chart: &Path) -> Vec<OsString> {
    let mut told = Told::default();
    let name = &task.release().release;
    match task {
        Task::Install(installation, ownership) => {
            told.words(["install", name]);
            told.path(chart);
            told.words(["--create-namespace"]);
            told.installation(installation, ownership);
        }
        Task::Upgrade(installation, ownership) => {
            told.words(["upgrade", name]);
            told.path(chart);
            // What was set once stays, and what a newer chart asks for anew has its default.
            told.words(["--reset-then-reuse-values"]);
            told.installation(installation, ownership);
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
            told.words(["--kube-version", version]);
            told.values(values);
        }
        Task::Installed(_) => told.words(["get", "manifest", name]),
        Task::Kept(_, revision) => {
            told.words(["get", "values", name, "--output", "yaml"]);
            if let Some(revision) = revision {
                told.words(["--revision", &revision.to_string()]);
            }
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

    fn installation(&mut self, installation: &Installation, ownership: Ownership) {
        self.values(&installation.values);
        if ownership == Ownership::Take {
            self.words(["--take-ownership"]);
        }
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
        let told = self.told("global.platform")?;
        Ok(told.as_str().unwrap_or_default().to_owned())
    }

    /// Whose CRDs of others are to be (`base.crds.adopt`).
    ///
    /// # Errors
    /// As [`Self::platform`].
    pub fn ownership(&self) -> anyhow::Result<Ownership> {
        let told = self.told("base.crds.adopt")?;
        Ok(if told == true || told == "true" {
            Ownership::Take
        } else {
            Ownership::Respect
        })
    }

    /// What the charts are told for a key, as helm takes it: the last file counts, and what is set before all of them.
    fn told(&self, key: &str) -> anyhow::Result<Value> {
        let mut told = Value::Null;
        for file in &self.files {
            let name = || format!("values {}", file.display());
            let text = std::fs::read_to_string(file).with_context(name)?;
            // An error is one line.
            let options = serde_saphyr::options! { with_snippet: false };
            let values: Value = serde_saphyr::from_str_with_options(&text, options).with_context(name)?;
            let value = key.split('.').fold(&values, |value, key| &value[key]);
            if !value.is_null() {
                told.clone_from(value);
            }
        }
        for pair in self.set.iter().flat_map(|set| set.split(',')) {
            if let Some((set, value)) = pair.split_once('=')
                && set == key
            {
                told = value.into();
            }
        }
        Ok(told)
    }
}

impl Task<'_> {
    fn release(&self) -> &Release {
        match self {
            Self::Install(installation, _) | Self::Upgrade(installation, _) => &installation.release,
            Self::Uninstall(release, _)
            | Self::Render(release, _)
            | Self::Objects(release, ..)
            | Self::Installed(release)
            | Self::Kept(release, _) => release,
        }
    }

    /// Whether nothing is changed by it.
    fn is_dry_run(&self) -> bool {
        match self {
            Self::Install(installation, _) | Self::Upgrade(installation, _) => installation.dry_run,
            Self::Uninstall(..) => false,
            Self::Render(..) | Self::Objects(..) | Self::Installed(_) | Self::Kept(..) => true,
        }
    }
}

#[cfg(test)]
mod tests;
