//! Where the programs under test lie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The directory that cargo put the binaries into.
#[derive(Clone, Debug)]
pub struct Products {
    dir: PathBuf,
    ztunnel: Option<PathBuf>,
}

impl Products {
    /// The products in a directory.
    ///
    /// # Errors
    /// Fails naming the first one that is missing.
    pub fn in_dir(dir: &Path) -> Result<Self> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("{} holds no products", dir.display()))?;
        for name in [
            "ztunnel",
            "lateen-waypoint",
            "lateen-controlplane",
            "lateen-cni",
            "lateen-node",
            "lab-app",
        ] {
            if !dir.join(name).is_file() {
                bail!(
                    "{} is missing: build the products first (cargo build --bins)",
                    dir.join(name).display()
                );
            }
        }
        Ok(Self { dir, ztunnel: None })
    }

    /// The products beside the running test or tool.
    ///
    /// # Errors
    /// Fails naming the first one that is missing.
    pub fn beside_me() -> Result<Self> {
        let me = std::env::current_exe().context("own path")?;
        let dir = me.parent().context("own directory")?;
        Self::in_dir(if dir.ends_with("deps") {
            dir.parent().context("target directory")?
        } else {
            dir
        })
    }

    /// The same products with another ztunnel.
    #[must_use]
    pub fn with_ztunnel(mut self, ztunnel: &Path) -> Self {
        self.ztunnel = Some(ztunnel.to_owned());
        self
    }

    /// The path of one program.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.ztunnel {
            Some(other) if name == "ztunnel" => other.clone(),
            _ => self.dir.join(name),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
