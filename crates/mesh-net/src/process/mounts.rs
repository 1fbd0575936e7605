//! The few mounts that a mount namespace of our own needs.

use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

const NONE: Option<&str> = None;

/// Cuts this mount namespace off from the one it was copied from: nothing mounted here shows there, or the other way.
///
/// # Errors
/// Fails without `CAP_SYS_ADMIN` over the mount namespace.
pub fn make_private() -> io::Result<()> {
    Ok(mount(
        NONE,
        "/",
        NONE,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NONE,
    )?)
}

/// An empty, writable file system in memory at `at`.
///
/// # Errors
/// As mount(2).
pub fn tmpfs(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("mode=0755"))?)
}

/// `from` (a file or a directory) also appears at `at`, which must exist.
///
/// # Errors
/// As mount(2).
pub fn bind(from: &Path, at: &Path) -> io::Result<()> {
    Ok(mount(Some(from), at, NONE, MsFlags::MS_BIND, NONE)?)
}

/// The process table of the calling process's pid namespace, at `at`.
///
/// # Errors
/// As mount(2); in a container whose own `/proc` is partly covered the kernel refuses with `EPERM`.
pub fn proc(at: &Path) -> io::Result<()> {
    Ok(mount(Some("proc"), at, Some("proc"), hardened(), NONE)?)
}

/// The devices of the calling thread's network namespace, at `at`.
///
/// # Errors
/// As mount(2).
pub fn sysfs(at: &Path) -> io::Result<()> {
    Ok(mount(Some("sysfs"), at, Some("sysfs"), hardened(), NONE)?)
}

/// Takes a mount away; whoever still uses it keeps it until done.
///
/// # Errors
/// As umount(2).
pub fn detach(at: &Path) -> io::Result<()> {
    Ok(umount2(at, MntFlags::MNT_DETACH)?)
}

fn hardened() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}
