//! Network namespaces, held by descriptor (network_namespaces(7)).
//!
//! A namespace lives as long as a descriptor of it is open, so a [`Netns`] is a promise that the namespace is still the
//! one it was: its [`NetnsId`] cannot be given to another one meanwhile.

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use serde::{Deserialize, Serialize};

/// A network namespace. Cloning shares the descriptor.
#[derive(Clone)]
pub struct Netns {
    fd: Arc<OwnedFd>,
    id: NetnsId,
}

/// Which namespace it is, for as long as somebody holds it: the device and inode of its file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct NetnsId {
    /// `st_dev` of the namespace's file.
    pub dev: u64,
    /// `st_ino` of the namespace's file.
    pub inode: u64,
}

/// The addresses of the calling thread's network (for another one: inside [`Netns::run`]), those of its loopback too.
///
/// # Errors
/// Fails when the kernel cannot be asked.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for interface in getifaddrs()? {
        let Some(address) = interface.address else {
            continue;
        };
        if let Some(v4) = address.as_sockaddr_in() {
            addresses.push(v4.ip().into());
        } else if let Some(v6) = address.as_sockaddr_in6() {
            addresses.push(v6.ip().into());
        }
    }
    Ok(addresses)
}

// === impl Netns ===

impl Netns {
    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// Fails when `/proc` is not mounted or no descriptor is left.
    pub fn current() -> io::Result<Self> {
        Self::open(Path::new(OWN_NAMESPACE))
    }

    /// The namespace whose file stands at `path`, such as `/run/netns/<name>` or `/proc/<pid>/ns/net`.
    ///
    /// # Errors
    /// Fails when the file cannot be opened, and with `InvalidInput` when it is no network namespace's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_fd(File::open(path)?.into())
    }

    /// The namespace that a descriptor stands for.
    ///
    /// # Errors
    /// Fails with `InvalidInput` when the descriptor is no network namespace's.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        check_kind(fd.as_fd())?;
        let file = File::from(fd);
        let meta = file.metadata()?;
        let id = NetnsId {
            dev: meta.dev(),
            inode: meta.ino(),
        };
        Ok(Self {
            fd: Arc::new(file.into()),
            id,
        })
    }

    /// A new namespace, which ends when the last holder lets go. The calling thread stays where it is.
    ///
    /// # Errors
    /// Fails where the right to make one (`CAP_SYS_ADMIN`) is missing.
    pub fn create() -> io::Result<Self> {
        on_scratch_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::current()
        })
    }

    /// A new namespace that is kept at `path` until [`Netns::delete_at`], as `ip netns add` does. The file must not
    /// exist yet; its directory must.
    ///
    /// # Errors
    /// Fails where the file exists, or a right is missing; then nothing is left at `path`.
    pub fn create_at(path: &Path) -> io::Result<Self> {
        File::options().write(true).create_new(true).open(path)?;
        let made = on_scratch_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let none = None::<&str>;
            mount(Some(OWN_NAMESPACE), path, none, MsFlags::MS_BIND, none)?;
            Self::current()
        });
        if made.is_err() {
            let _ = Self::delete_at(path);
        }
        made
    }

    /// Takes the namespace away from `path`; it ends once no process, socket or descriptor holds it.
    ///
    /// # Errors
    /// Fails when the file cannot be removed. A file without a mount is removed too.
    pub fn delete_at(path: &Path) -> io::Result<()> {
        match umount2(path, MntFlags::MNT_DETACH) {
            // EINVAL: nothing is mounted there.
            Ok(()) | Err(nix::Error::EINVAL) => fs::remove_file(path),
            Err(e) => Err(e.into()),
        }
    }

    /// Which namespace this is.
    #[must_use]
    pub fn id(&self) -> NetnsId {
        self.id
    }

    /// Runs `work` with the calling thread inside this namespace, then returns to the one it was in. `work` is sync on
    /// purpose: across an await another task would find itself in a foreign namespace.
    ///
    /// Aborts the process when the return fails (or the way out of a panic fails): a thread that stays in a pod's
    /// namespace would open the next pod's sockets in the wrong one.
    ///
    /// A thread's own namespace is asked for once and remembered: nothing else may move threads that call this.
    ///
    /// # Errors
    /// Fails when the namespace cannot be entered (`CAP_SYS_ADMIN` over it is needed); `work` has not run then.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let _inside = Inside::enter(self)?;
        Ok(work())
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Netns").field(&self.id).finish()
    }
}

// === impl NetnsId ===

impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dev, self.inode)
    }
}

/// The calling thread is in another namespace; dropping it brings the thread back.
struct Inside {
    back: Option<Netns>,
}

impl Inside {
    fn enter(target: &Netns) -> io::Result<Self> {
        let home = HERE.with_borrow_mut(|here| match here {
            Some(home) => Ok(home.clone()),
            None => Netns::current().inspect(|home| *here = Some(home.clone())),
        })?;
        if home.id == target.id {
            return Ok(Self { back: None });
        }
        setns(&target.fd, CloneFlags::CLONE_NEWNET)?;
        HERE.set(Some(target.clone()));
        Ok(Self { back: Some(home) })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let Some(home) = self.back.take() else { return };
        if let Err(error) = setns(&home.fd, CloneFlags::CLONE_NEWNET) {
            tracing::error!(%error, namespace = %home.id, "a thread cannot return to its network namespace");
            std::process::abort();
        }
        HERE.set(Some(home));
    }
}

/// Forgets what the calling thread believes its namespace to be; for those who move it by other means.
pub(crate) fn forget_current() {
    HERE.set(None);
}

thread_local! {
    /// The namespace that this thread is in, once it was asked for: two system calls less for each socket made elsewhere.
    static HERE: RefCell<Option<Netns>> = const { RefCell::new(None) };
}

fn on_scratch_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns-create".into());
        let handle = thread.spawn_scoped(scope, work)?;
        match handle.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// ioctl_ns(2): the namespace file says of which kind it is.
fn check_kind(fd: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: NS_GET_NSTYPE takes no argument and writes no memory; the descriptor is borrowed, hence open.
    let kind = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) };
    if kind == libc::CLONE_NEWNET {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "not a network namespace",
    ))
}

const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";
/// `_IO(0xb7, 0x3)`, linux/nsfs.h.
const NS_GET_NSTYPE: libc::Ioctl = 0xb703;

#[cfg(test)]
mod tests;
