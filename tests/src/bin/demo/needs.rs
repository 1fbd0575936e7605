//! What the mesh itself cannot do without. Programs that are only shown may be missing (see [`crate::programs`]).

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Everything is there.
///
/// # Errors
/// Fails in one sentence that names the missing programs, and the command that installs them on Debian.
pub(crate) fn check() -> Result<()> {
    let missing: Vec<_> = NEEDS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    bail!(
        "this machine lacks {}: apt-get install -y --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    )
}

/// A program on the path, in an administrator's path, or at the place that is named.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.starts_with('/') {
        return Some(PathBuf::from(program)).filter(|p| p.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let administrators = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let dirs: Vec<_> = std::env::split_paths(&path).chain(administrators).collect();
    dirs.iter()
        .map(|dir: &PathBuf| Path::new(dir).join(program))
        .find(|p| p.is_file())
}

/// Program and Debian package; programs of one package stand together.
const NEEDS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("curl", "curl"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("/usr/lib/cni/host-local", "containernetworking-plugins"),
];
