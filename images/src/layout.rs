//! An image as OCI writes it: blobs by digest, and an index that names it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::files::Files;
use crate::layer::{Effort, Layer, digest};

/// What a runtime is told of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// What it starts.
    pub entrypoint: Vec<String>,
    /// Who it runs as, such as `65534:65534`; empty is root.
    pub user: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Labels of the configuration, which the manifest has as annotations (OCI "Annotations").
    pub labels: Vec<(String, String)>,
}

/// An image: its blobs, and the descriptor of its manifest.
#[derive(Clone, Debug)]
pub struct Image {
    blobs: Vec<Blob>,
    manifest: Value,
}

/// Bytes that are found by their digest.
#[derive(Clone, Debug)]
pub struct Blob {
    /// `sha256:…`.
    pub digest: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

impl Image {
    /// The image of these files, for Linux on this machine's processor.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn of(files: &Files, config: &ImageConfig) -> Result<Self> {
        Self::with(files, config, Effort::Smallest)
    }

    /// As [`Self::of`], with this effort to make it small.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn with(files: &Files, config: &ImageConfig, effort: Effort) -> Result<Self> {
        let layer = Layer::of(files, effort)?;
        let annotations: serde_json::Map<_, _> = config
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        let configuration = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": config.user,
                "Env": config.env,
                "Entrypoint": config.entrypoint,
                "Labels": annotations,
            },
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
            "history": [{"created_by": "images build"}],
        });
        let configuration = Blob::of(configuration.to_string().into_bytes());
        let layer = Blob::of(layer.bytes);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": configuration.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
            "annotations": annotations,
        });
        let manifest = Blob::of(manifest.to_string().into_bytes());
        let mut descriptor = manifest.descriptor(MANIFEST);
        descriptor["platform"] = json!({"architecture": architecture(), "os": "linux"});
        Ok(Self {
            blobs: vec![configuration, layer, manifest],
            manifest: descriptor,
        })
    }

    /// The digest of its manifest: what a pod's `image@…` pins.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.manifest["digest"].as_str().unwrap_or_default()
    }

    /// Its blobs: configuration, layer, and the manifest last.
    #[must_use]
    pub fn blobs(&self) -> &[Blob] {
        &self.blobs
    }

    /// Writes it as a folder (OCI image layout). `name` is the whole reference, such as `registry/lateen/ztunnel:0.1.0`.
    ///
    /// # Errors
    /// Fails when the folder cannot be written.
    pub fn write_to(&self, dir: &Path, name: &str) -> Result<()> {
        for (path, bytes) in self.entries(name) {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            }
            fs::write(&path, bytes).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// The same as one tar, which `ctr images import`, `podman load` and `docker load` take.
    ///
    /// # Errors
    /// Never, short of a lack of memory.
    pub fn archive(&self, name: &str) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, bytes) in self.entries(name) {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &path, bytes.as_slice())
                .context("tar")?;
        }
        tar.into_inner().context("tar")
    }

    fn entries(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let mut manifest = self.manifest.clone();
        // Readers differ in which of them they look at.
        manifest["annotations"] = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": tag(name),
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
        let mut entries = vec![
            (
                "oci-layout".to_owned(),
                json!({"imageLayoutVersion": "1.0.0"}).to_string().into_bytes(),
            ),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        let blobs = self.blobs.iter();
        entries.extend(blobs.map(|blob| (blob.path(), blob.bytes.clone())));
        entries
    }
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        Self {
            digest: digest(&bytes),
            bytes,
        }
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replacen(':', "/", 1))
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.bytes.len()})
    }
}

/// What stands behind the last colon of a reference, where that is no port.
fn tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((_, tag)) if !tag.contains('/') => tag,
        _ => "latest",
    }
}

/// As Go names processors, and so OCI.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[cfg(test)]
mod tests;
