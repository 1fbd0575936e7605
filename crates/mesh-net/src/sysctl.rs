//! Settings of network namespaces (sysctl(8)).
//!
//! Container runtimes mount `/proc/sys` read-only for whoever is not privileged as a whole, and the settings of *pods'* namespaces
//! cannot be given any other way. So they are written through a procfs that is mounted nowhere: one descriptor, which nobody else
//! sees. It takes the right that entering those namespaces takes anyway, `CAP_SYS_ADMIN`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Writes one setting of the calling thread's network namespace; `name` is its path below `/proc/sys`.
pub(crate) fn write(name: &str, value: &str) -> io::Result<()> {
    let told = fs::write(format!("/proc/sys/{name}"), value);
    match told {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => write_detached(name, value),
        told => told,
    }
}

fn write_detached(name: &str, value: &str) -> io::Result<()> {
    static PROCFS: OnceLock<OwnedFd> = OnceLock::new();
    let procfs = match PROCFS.get() {
        Some(procfs) => procfs,
        None => {
            let mounted = mount()?;
            PROCFS.get_or_init(|| mounted)
        }
    };
    // Which namespace's settings appear there is decided anew at each look-up.
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let setting = openat(procfs, format!("sys/{name}"), flags, Mode::empty())?;
    let written = rustix::io::write(&setting, value.as_bytes())?;
    match written == value.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Linux 5.2.
fn mount() -> io::Result<OwnedFd> {
    let procfs = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&procfs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&procfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

#[cfg(test)]
mod tests;
