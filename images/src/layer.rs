//! Files as one layer.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use crate::files::{Content, Files};

/// A compressed layer and the digest of what it holds before compression (`diff_id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The tar, compressed by gzip.
    pub bytes: Vec<u8>,
    /// `sha256:…` of the tar itself.
    pub diff_id: String,
}

/// What a layer is compressed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For a registry.
    Smallest,
    /// For a node beside, once.
    Quickest,
}

impl Layer {
    /// The layer of these files. Equal files give equal bytes.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn of(files: &Files, effort: Effort) -> Result<Self> {
        let tar = tar(files)?;
        let diff_id = digest(&tar);
        let level = match effort {
            Effort::Smallest => Compression::best(),
            Effort::Quickest => Compression::fast(),
        };
        let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), level);
        gzip.write_all(&tar).context("gzip")?;
        let bytes = gzip.finish().context("gzip")?;
        Ok(Self { bytes, diff_id })
    }
}

/// `sha256:…` of these bytes, as OCI descriptors write it.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn tar(files: &Files) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for directory in parents(files) {
        append(&mut tar, &directory, EntryType::Directory, 0o755, &[])?;
    }
    for (path, file) in files.iter() {
        match &file.content {
            Content::Directory => append(&mut tar, path, EntryType::Directory, file.mode, &[])?,
            Content::Made(bytes) => append(&mut tar, path, EntryType::Regular, file.mode, bytes)?,
            Content::Copied(from) => {
                let bytes = fs::read(from).with_context(|| from.display().to_string())?;
                append(&mut tar, path, EntryType::Regular, file.mode, &bytes)?;
            }
        }
    }
    tar.into_inner().context("tar")
}

fn append(tar: &mut Builder<Vec<u8>>, path: &Path, kind: EntryType, mode: u32, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    // Names in a layer are relative to the image's root.
    let relative = path.strip_prefix("/").unwrap_or(path);
    tar.append_data(&mut header, relative, bytes)
        .with_context(|| path.display().to_string())
}

/// Directories that the files need and that are not listed themselves, each before what lies in it.
fn parents(files: &Files) -> BTreeSet<PathBuf> {
    let listed: BTreeSet<&Path> = files.iter().map(|(path, _)| path).collect();
    let all = files.iter().flat_map(|(path, _)| path.ancestors().skip(1));
    all.filter(|parent| *parent != Path::new("/") && !listed.contains(parent))
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
