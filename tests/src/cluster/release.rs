//! Which Kubernetes a cluster is made of: that of every day, or an older one that the mesh is to run on as well.

use anyhow::{Result, bail};

/// A version of Kubernetes that a module file in `tests/cluster/hyperkube` builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The oldest that the charts take.
    V1_32,
    V1_33,
    /// That of every day.
    V1_34,
}

impl Release {
    /// Every one, the oldest first.
    pub const ALL: [Self; 3] = [Self::V1_32, Self::V1_33, Self::V1_34];

    /// What `LATEEN_KUBERNETES` says, such as `1.32`; that of every day where it says nothing.
    ///
    /// # Errors
    /// Fails for one that is not known, and names those that are.
    pub fn chosen() -> Result<Self> {
        let said = std::env::var_os(SETTING).unwrap_or_default();
        Self::named(&said.to_string_lossy())
    }

    fn named(name: &str) -> Result<Self> {
        if name.is_empty() {
            return Ok(Self::V1_34);
        }
        let Some(named) = Self::ALL.into_iter().find(|release| release.minor() == name) else {
            let known = Self::ALL.map(Self::minor).join(", ");
            bail!("{SETTING}: there is no cluster of Kubernetes '{name}' here: set it to one of {known}");
        };
        Ok(named)
    }

    /// Such as `1.34`.
    #[must_use]
    pub const fn minor(self) -> &'static str {
        match self {
            Self::V1_32 => "1.32",
            Self::V1_33 => "1.33",
            Self::V1_34 => "1.34",
        }
    }

    /// The whole version: that of its module file.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::V1_32 => "1.32.2",
            Self::V1_33 => "1.33.13",
            Self::V1_34 => "1.34.4",
        }
    }

    /// Its module file in `tests/cluster/hyperkube`; the sums lie beside it.
    pub(super) const fn module_file(self) -> &'static str {
        match self {
            Self::V1_32 => "go-1.32.mod",
            Self::V1_33 => "go-1.33.mod",
            Self::V1_34 => "go.mod",
        }
    }

    /// Where its programs lie, below those of every day, which are not built anew for it.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::V1_34 => "",
            older => older.minor(),
        }
    }

    /// The version of `certificates.k8s.io` in which it has `ClusterTrustBundles`.
    pub(super) const fn trust_bundles(self) -> &'static str {
        match self {
            Self::V1_32 => "v1alpha1",
            Self::V1_33 | Self::V1_34 => "v1beta1",
        }
    }
}

/// The environment variable that chooses one; `make … KUBERNETES=1.32` sets it.
const SETTING: &str = "LATEEN_KUBERNETES";

#[cfg(test)]
mod tests;
