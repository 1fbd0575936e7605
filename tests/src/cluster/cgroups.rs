//! Cgroups for kubelets, inside the cluster's private mounts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

/// Mounts the machine's cgroups again (a new `/sys` has none), and gives the folder that is this cluster's own. Folders
/// that earlier clusters left behind, empty since their processes ended, are removed.
///
/// # Errors
/// Fails when the kernel refuses a mount.
pub(super) fn mount_all() -> Result<String> {
    let own = fs::read_to_string("/proc/self/cgroup").context("/proc/self/cgroup")?;
    let hierarchies = version_1(&own);
    let root = Path::new("/sys/fs/cgroup");
    if hierarchies.is_empty() {
        mount_at(root, "cgroup2", "")?;
    } else {
        mount_at(root, "tmpfs", "mode=755")?;
        for options in &hierarchies {
            let folder = root.join(options.trim_start_matches("none,name="));
            fs::create_dir_all(&folder)?;
            mount_at(&folder, "cgroup", options)?;
        }
    }
    for tree in trees(root, hierarchies.is_empty()) {
        remove_left_behind(&tree);
    }
    Ok(format!("{PREFIX}{:08x}", fastrand::u32(..)))
}

/// The options that mount each hierarchy of version 1, of lines such as `4:memory:/` and `1:name=systemd:/` (cgroups(7)).
fn version_1(own: &str) -> Vec<String> {
    let controllers = own.lines().filter_map(|line| line.split(':').nth(1));
    let named = |controllers: &str| match controllers.strip_prefix("name=") {
        Some(name) => format!("none,name={name}"),
        None => controllers.to_owned(),
    };
    controllers.filter(|c| !c.is_empty()).map(named).collect()
}

fn trees(root: &Path, unified: bool) -> Vec<PathBuf> {
    if unified {
        return vec![root.to_owned()];
    }
    let listed = fs::read_dir(root).into_iter().flatten().flatten();
    listed.map(|entry| entry.path()).collect()
}

/// Only empty folders can be removed, so nobody's processes are touched.
fn remove_left_behind(tree: &Path) {
    let listed = fs::read_dir(tree).into_iter().flatten().flatten();
    let ours = listed.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for folder in ours.map(|entry| entry.path()) {
        remove(&folder);
    }
}

fn remove(folder: &Path) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    // Busy: a cluster that runs. It is left alone.
    drop(fs::remove_dir(folder));
}

fn mount_at(at: &Path, kind: &str, options: &str) -> Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("mount {kind} ({options}) at {}", at.display()))
}

const PREFIX: &str = "lateen-cluster-";

#[cfg(test)]
mod tests;
