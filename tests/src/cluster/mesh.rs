//! The mesh on a cluster: its images, and the command line that installs it from the charts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use images::{COMPONENTS, Image};

use super::{Cluster, Kubectl};
use crate::ip::Namespace;
use crate::products::Products;

/// Where charts say that the images are: `docker.io/lateen/ztunnel:0.1.0`.
const HUB: &str = "docker.io/lateen";
/// The version of today's charts.
pub const TAG: &str = env!("CARGO_PKG_VERSION");

/// The images that charts of a version ask for, made from the products. It takes a while: it may as well be done while the cluster
/// starts.
///
/// # Errors
/// Fails naming the product or tool that is missing.
pub fn images(products: &Products, tag: &str) -> Result<Vec<(String, Image)>> {
    let one = |component: &images::Component| {
        let image = component.quick_image(products.dir(), tag);
        Ok((
            format!("{HUB}/{}:{tag}", component.name),
            image.with_context(|| component.name)?,
        ))
    };
    COMPONENTS.iter().map(one).collect()
}

/// The command line, beside a cluster.
#[derive(Clone, Debug)]
pub struct Lateen {
    namespace: Namespace,
    program: PathBuf,
    helm: PathBuf,
    config: PathBuf,
}

impl Lateen {
    /// The command line among the products, with the rights of `kubectl`.
    #[must_use]
    pub fn beside(cluster: &Cluster, products: &Products, helm: &Path) -> Self {
        Self {
            namespace: cluster.control.namespace().clone(),
            program: products.path("lateen"),
            helm: helm.to_owned(),
            config: cluster.kubectl().config().clone(),
        }
    }

    /// Installs the mesh from the charts and waits until it runs; `values` is YAML for them.
    ///
    /// # Errors
    /// Fails with what the command, and Helm, said.
    pub fn install(&self, values: &str) -> Result<String> {
        self.with_values(&["install"], values)
    }

    /// Brings the mesh to what the charts and these values say.
    ///
    /// # Errors
    /// As [`Self::install`].
    pub fn upgrade(&self, values: &str) -> Result<String> {
        self.with_values(&["upgrade"], values)
    }

    /// What the command prints.
    ///
    /// # Errors
    /// Fails when it does, with what it wrote.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        said(self.command(arguments), arguments)
    }

    /// What Helm itself prints, for what people do without the command line.
    ///
    /// # Errors
    /// Fails when it does, with what it wrote.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.namespace.command(&self.helm);
        command.args(arguments).env("KUBECONFIG", &self.config);
        said(at_home(command), arguments)
    }

    /// What a script prints in which `lateen`, `helm` and `kubectl` are in the path, as somebody would type it.
    ///
    /// # Errors
    /// Fails where one of its commands does, with what it wrote.
    pub fn shell(&self, script: &str, kubectl: &Kubectl) -> Result<String> {
        let programs = [self.program.as_path(), &self.helm, kubectl.program()];
        let mut path: Vec<PathBuf> = programs
            .iter()
            .filter_map(|p| p.parent().map(Path::to_owned))
            .collect();
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        let path = std::env::join_paths(path).context("the path")?;
        let mut command = self.namespace.command("bash");
        command.args(["-e", "-u", "-o", "pipefail", "-c", script]);
        command.env("PATH", path).env("KUBECONFIG", &self.config);
        said(at_home(command), &[])
    }

    /// The command itself, for what runs longer.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(&self.program);
        command.args(arguments).arg("--kubeconfig").arg(&self.config);
        if let Some("install" | "upgrade" | "uninstall" | "precheck" | "verify-install") =
            arguments.first().copied()
        {
            command.arg("--helm").arg(&self.helm);
        }
        at_home(command)
    }

    fn with_values(&self, arguments: &[&str], values: &str) -> Result<String> {
        let file = tempfile::NamedTempFile::new().context("a file of values")?;
        std::fs::write(file.path(), values).context("a file of values")?;
        let path = file.path().display().to_string();
        self.run(&[arguments, &["--values", &path, "--timeout", "600"]].concat())
    }
}

/// Helm keeps its folders where nobody else's are.
fn at_home(mut command: Command) -> Command {
    for (variable, folder) in [
        ("HELM_CACHE_HOME", "/run/lateen/helm/cache"),
        ("HELM_CONFIG_HOME", "/run/lateen/helm/config"),
        ("HELM_DATA_HOME", "/run/lateen/helm/data"),
    ] {
        command.env(variable, folder);
    }
    command
}

fn said(mut command: Command, arguments: &[&str]) -> Result<String> {
    let out = command.stdin(Stdio::null()).output();
    let out = out.with_context(|| command.get_program().display().to_string())?;
    let (good, bad) = (
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr),
    );
    if !out.status.success() {
        bail!("{}: {}\n{}", arguments.join(" "), bad.trim(), good.trim());
    }
    Ok(good.into_owned())
}

/// Where Helm is: what `HELM` names, where `scripts/setup.sh` put it (`helm` in the target directory), or in the path.
#[must_use]
pub fn find_helm() -> Option<PathBuf> {
    let named = std::env::var_os("HELM").map(PathBuf::from);
    let me = std::env::current_exe().unwrap_or_default();
    // <target>/<profile>/<program>, <target>/<profile>/deps/<test>
    let targets = me
        .ancestors()
        .skip(2)
        .take(2)
        .map(|dir| dir.join("helm/bin/helm"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).map(|dir| dir.join("helm")).collect();
    named
        .into_iter()
        .chain(targets)
        .chain(path)
        .find(|program| program.is_file())
}
