//! Gateway API as its Go modules have it: the CRDs, the conformance suite, and the servers that the suite starts in pods.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use images::{Effort, Files, Image, ImageConfig};
use rcgen::generate_simple_self_signed;

use super::Cluster;
use super::tools::Tools;

/// The suite and what it needs, built.
#[derive(Clone, Debug)]
pub struct GatewayApi {
    tools: Tools,
    suite: PathBuf,
}

impl GatewayApi {
    /// Builds what is not there yet, from the modules `conformance` and `echo` in `sources` (`tests/cluster`); to be called
    /// outside the private namespaces. `say` is told before each build that takes minutes.
    ///
    /// # Errors
    /// Fails with the last lines of a build that fails.
    pub fn build(tools: &Tools, sources: &Path, say: fn(&str)) -> Result<Self> {
        let suite = tools.conformance(sources, say)?;
        tools.echo_servers(sources, say)?;
        let module = sources.join("conformance");
        crds(tools, sources)?;
        tools.once(MANIFESTS, &module, || {
            let dir = tools.module(&module, "sigs.k8s.io/gateway-api/conformance")?;
            let manifests = fs::read(dir.join("mesh/manifests.yaml")).context("the suite's pods")?;
            fs::write(tools.path(MANIFESTS), manifests).context(MANIFESTS)
        })?;
        Ok(Self {
            tools: tools.clone(),
            suite,
        })
    }

    /// The suite, a test program of Go's.
    #[must_use]
    pub fn suite(&self) -> &Path {
        &self.suite
    }

    /// Applies the CRDs of the standard channel.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn apply_crds(&self, cluster: &Cluster) -> Result<()> {
        let text = fs::read_to_string(self.tools.path(CRDS)).context(CRDS)?;
        cluster.kubectl().apply(&text).map(drop)
    }

    /// Makes the images that the suite's pods ask for, under the names that it asks for, and gives them to every node.
    ///
    /// # Errors
    /// Fails when a server was not built, or a node does not take an image.
    pub fn load_images(&self, cluster: &Cluster) -> Result<()> {
        let manifests = fs::read_to_string(self.tools.path(MANIFESTS)).context(MANIFESTS)?;
        let image = self.echo()?;
        let names = image_names(&manifests);
        if names.is_empty() {
            bail!("{MANIFESTS} names no image");
        }
        names.iter().try_for_each(|name| cluster.load(name, &image))
    }

    /// As its manifests start it: the server is what it runs, `client` is in the path, a certificate lies at its root.
    fn echo(&self) -> Result<Image> {
        let mut files = Files::base();
        files.program("/usr/local/bin/server", &self.tools.path("echo-server"))?;
        files.program("/usr/local/bin/client", &self.tools.path("echo-client"))?;
        let own = generate_simple_self_signed(["echo".to_owned()]).context("a certificate")?;
        files.make("/cert.crt", own.cert.pem());
        files.make("/cert.key", own.signing_key.serialize_pem());
        let config = ImageConfig {
            entrypoint: vec!["/usr/local/bin/server".to_owned()],
            env: vec!["PATH=/usr/local/bin".to_owned()],
            ..ImageConfig::default()
        };
        Image::with(&files, &config, Effort::Quickest)
    }
}

/// The file with the CRDs of the standard channel, of the suite's version; to be called outside the private namespaces.
///
/// # Errors
/// Fails when the module cannot be fetched.
pub fn crds(tools: &Tools, sources: &Path) -> Result<PathBuf> {
    let module = sources.join("conformance");
    tools.once(CRDS, &module, || {
        let dir = tools.module(&module, "sigs.k8s.io/gateway-api")?;
        fs::write(tools.path(CRDS), joined(&dir.join("config/crd/standard"))?).context(CRDS)
    })?;
    Ok(tools.path(CRDS))
}

/// All YAML of a folder, as one text.
fn joined(dir: &Path) -> Result<String> {
    let listed = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let mut paths = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|e| e == OsStr::new("yaml")));
    paths.sort();
    if paths.is_empty() {
        bail!("{} has no CRDs", dir.display());
    }
    let read = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
    let texts = paths.iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(texts.join("\n---\n"))
}

fn image_names(manifests: &str) -> BTreeSet<String> {
    let lines = manifests.lines().map(str::trim);
    let names = lines.filter_map(|line| line.trim_start_matches("- ").strip_prefix("image:"));
    names.map(|name| name.trim().to_owned()).collect()
}

const CRDS: &str = "gateway-api-crds.yaml";
const MANIFESTS: &str = "gateway-api-mesh.yaml";
