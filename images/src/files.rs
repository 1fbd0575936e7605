//! What lies in an image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::elf;
use crate::layer::digest;

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Permission bits, such as `0o755`.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
    /// Whose it is.
    pub origin: Origin,
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Made by this project.
    Own,
    /// This machine's: the file or folder there that it comes from.
    Machine(PathBuf),
}

/// A file of this machine in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where it lies in the image.
    pub at: PathBuf,
    /// What it comes from, on this machine.
    pub from: PathBuf,
    /// `sha256:…` of what is in the image.
    pub digest: String,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of this machine, links followed.
    Copied(PathBuf),
    /// Bytes.
    Made(Vec<u8>),
    /// An empty directory.
    Directory,
}

/// The files of an image, by absolute path.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<PathBuf, File>);

impl Files {
    /// What every image has: users that can be named, a place for temporary files, and where names are looked up.
    #[must_use]
    pub fn base() -> Self {
        let mut files = Self::default();
        files.make(
            "/etc/passwd",
            "root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
        );
        files.make("/etc/group", "root:x:0:\nnobody:x:65534:\n");
        files.make("/etc/nsswitch.conf", "hosts: files dns\n");
        let tmp = File {
            mode: 0o1777,
            content: Content::Directory,
            origin: Origin::Own,
        };
        files.0.insert("/tmp".into(), tmp);
        files
    }

    /// A file of these bytes.
    pub fn make(&mut self, at: impl Into<PathBuf>, content: impl Into<Vec<u8>>) {
        self.insert(at.into(), 0o644, Content::Made(content.into()), Origin::Own);
    }

    /// A file of these bytes, which are this machine's: out of a file or a folder there.
    pub fn make_from(&mut self, at: impl Into<PathBuf>, content: impl Into<Vec<u8>>, from: &Path) {
        let origin = Origin::Machine(from.to_owned());
        self.insert(at.into(), 0o644, Content::Made(content.into()), origin);
    }

    /// A copy of a file of this machine.
    pub fn copy(&mut self, at: impl Into<PathBuf>, from: &Path, mode: u32) {
        let origin = Origin::Machine(from.to_owned());
        self.insert(at.into(), mode, Content::Copied(from.to_owned()), origin);
    }

    /// A program of ours, stripped, and the shared libraries that it needs, each where the loader looks for it.
    ///
    /// # Errors
    /// Fails when the file is missing, or needs a library that this machine does not have.
    pub fn program(&mut self, at: impl Into<PathBuf>, from: &Path) -> Result<()> {
        self.libraries_of(from)?;
        self.insert(at.into(), 0o755, Content::Made(stripped(from)?), Origin::Own);
        Ok(())
    }

    /// A program of this machine, as it is, and the shared libraries that it needs.
    ///
    /// # Errors
    /// Fails when the file is missing, or needs a library that this machine does not have.
    pub fn tool(&mut self, at: impl Into<PathBuf>, from: &Path) -> Result<()> {
        self.libraries_of(from)?;
        self.copy(at, from, 0o755);
        Ok(())
    }

    /// A program that runs on hosts of which nothing is known, so without any library; stripped, of at most `limit` bytes.
    ///
    /// # Errors
    /// Fails when the file is missing, asks for a loader, or is larger.
    pub fn static_program(
        &mut self,
        at: impl Into<PathBuf>,
        from: &Path,
        limit: Option<usize>,
    ) -> Result<()> {
        require(from)?;
        let bytes = stripped(from)?;
        suits_any_host(&bytes, limit).with_context(|| from.display().to_string())?;
        self.insert(at.into(), 0o755, Content::Made(bytes), Origin::Own);
        Ok(())
    }

    /// What is this machine's of it, sorted by path.
    ///
    /// # Errors
    /// Fails when a file cannot be read.
    pub fn carried(&self) -> Result<Vec<Carried>> {
        let mut all = Vec::new();
        for (at, file) in self.iter() {
            let Origin::Machine(from) = &file.origin else {
                continue;
            };
            let digest = match &file.content {
                Content::Made(bytes) => digest(bytes),
                Content::Copied(path) => digest(&fs::read(path).with_context(|| path.display().to_string())?),
                Content::Directory => continue,
            };
            all.push(Carried {
                at: at.to_owned(),
                from: from.clone(),
                digest,
            });
        }
        Ok(all)
    }

    /// All files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &File)> {
        self.0.iter().map(|(path, file)| (path.as_path(), file))
    }

    fn libraries_of(&mut self, program: &Path) -> Result<()> {
        for library in libraries(program)? {
            self.copy(library.clone(), &library, 0o755);
        }
        Ok(())
    }

    fn insert(&mut self, at: PathBuf, mode: u32, content: Content, origin: Origin) {
        let file = File {
            mode,
            content,
            origin,
        };
        self.0.insert(at, file);
    }
}

/// A program without its debug information, which is most of its size and which nobody reads on a node; symbols stay, so that
/// stacks have names.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let made = tempfile::NamedTempFile::new().context("a temporary file")?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").arg(made.path()).arg(program);
    let out = strip.output().context("strip (package binutils)")?;
    if !out.status.success() {
        bail!(
            "strip {}: {}",
            program.display(),
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    fs::read(made.path()).context("the stripped program")
}

fn suits_any_host(program: &[u8], limit: Option<usize>) -> Result<()> {
    if let Some(loader) = elf::interpreter(program)? {
        bail!(
            "asks for the loader {}, which a host may not have: build it with scripts/plugin.sh PROFILE, after the other products",
            loader.display()
        );
    }
    match limit {
        Some(limit) if program.len() > limit => {
            bail!("has {} bytes, of {limit} that it may have", program.len())
        }
        _ => Ok(()),
    }
}

fn require(program: &Path) -> Result<()> {
    if !fs::metadata(program).is_ok_and(|m| m.is_file()) {
        bail!("{} is not there: build it first", program.display());
    }
    Ok(())
}

/// The paths that the loader would open for a program; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    require(program)?;
    let out = Command::new("ldd").arg(program).output().context("ldd")?;
    // ldd(1) fails for what is not dynamic, and says so on one of its two outputs.
    if !out.status.success() {
        return Ok(Vec::new());
    }
    parse_ldd(&String::from_utf8_lossy(&out.stdout)).with_context(|| program.display().to_string())
}

/// Lines of `ldd`: `name => path (address)`, `path (address)`, or a name that the kernel provides.
fn parse_ldd(text: &str) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.ends_with("=> not found") {
            bail!(
                "{}: no such library on this machine",
                line.trim_end_matches("=> not found").trim()
            );
        }
        let target = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = target.split_once(" (").map_or(target, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(path.into());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests;
