//! Re-entry into private namespaces: mounts, network, process ids, IPC, host name, and users where the caller is not root.
//!
//! A lab is a process tree in namespaces of its own, so that nothing of it outlives it: when its first process ends, for
//! whatever reason, the kernel kills the rest, and with them go interfaces, rules, mounts and files. Two labs do not see
//! each other. [`mesh_net::process::reenter`] does the work.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, exit};
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use mesh_net::process::{Isolation, Privilege, ReenterError, Reentered, reenter};
use nix::mount::{MsFlags, mount};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// What the caller may do inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The machine's root.
    Root,
    /// Root of a user namespace in which other users exist too (`newuidmap`).
    UserNamespace,
    /// Root of a user namespace in which nobody else exists: programs that give up root cannot run.
    SingleUser,
}

/// Where one is, and with which rights.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// What can be done here.
    pub rights: Rights,
    /// This process's id as it is seen from outside, where `/proc` of the outside tells it.
    pub outer_pid: Option<i32>,
}

/// Runs the rest of the program inside: returns in the inner process, and never in the outer one, which exits as the
/// inner one did. Call it before any thread is started.
///
/// The outer process passes INT, TERM and HUP on. The inner one is process 1 of its namespace, to which they do nothing
/// unless it handles them.
///
/// # Errors
/// Fails in one sentence that says what the machine lacks.
pub fn enter() -> Result<Rights> {
    enter_world().map(|w| w.rights)
}

/// As [`enter`], and says where one is.
///
/// # Errors
/// Fails in one sentence that says what the machine lacks.
pub fn enter_world() -> Result<World> {
    // `/proc` is still the outer one here, and tells who this process is out there (proc(5), /proc/self).
    let outer_pid = fs::read_link("/proc/self")
        .ok()
        .and_then(|p| p.to_str()?.parse().ok());
    let rights = match reenter(&Isolation::default()).map_err(sentence)? {
        Reentered::Ended(status) => exit(code(status)),
        Reentered::Inside(Privilege::Root) => Rights::Root,
        Reentered::Inside(Privilege::UserRange) => Rights::UserNamespace,
        Reentered::Inside(Privilege::SingleUser) => Rights::SingleUser,
    };
    furnish().context("the lab's private namespaces cannot be furnished")?;
    Ok(World { rights, outer_pid })
}

/// Process 1 of a namespace does not die of signals by itself: from now on INT, TERM and HUP end it, and with it, by the
/// kernel's hand, everything that it started. Handlers, not a mask: a mask would be inherited by everything that is started.
/// `farewell` is given the exit code that shells use for the signal, and says with which one to end.
///
/// # Errors
/// Fails when handlers cannot be registered.
pub fn end_at_signals(farewell: impl Fn(i32) -> i32 + Send + 'static) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let registered = {
        let _on_runtime = runtime.enter();
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        kinds.map(|kind| signal(kind).map(|s| (kind, s)))
    };
    let [first, second, third] = registered;
    let (mut interrupt, mut terminate, mut hangup) = (first?, second?, third?);
    thread::spawn(move || {
        let kind = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.1.recv() => interrupt.0,
                _ = terminate.1.recv() => terminate.0,
                _ = hangup.1.recv() => hangup.0,
            }
        });
        exit(farewell(128 + kind.as_raw_value()));
    });
    Ok(())
}

/// A private `/run` with room for named namespaces, and a hosts file of the lab's own.
fn furnish() -> Result<()> {
    let none = None::<&str>;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .context("a private /run")?;
    for dir in ["/run/netns", "/run/lock"] {
        fs::create_dir_all(dir).with_context(|| dir.to_owned())?;
    }
    let hosts = Path::new("/run/hosts");
    fs::File::create(hosts)
        .and_then(|mut f| f.write_all(b"127.0.0.1 localhost\n"))
        .context("the lab's hosts file")?;
    if !Path::new("/etc/hosts").exists() {
        bail!("/etc/hosts is missing: the lab mounts its own over it");
    }
    mount(Some(hosts), "/etc/hosts", none, MsFlags::MS_BIND, none)
        .context("the lab's hosts file over /etc/hosts")
}

/// The error names its cause itself; a machine that forbids user namespaces is told where it does.
fn sentence(error: ReenterError) -> anyhow::Error {
    match error {
        ReenterError::NotAllowed(_) => anyhow!(
            "{error} (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns can forbid them)"
        ),
        other => anyhow!("{other}"),
    }
}

fn code(status: ExitStatus) -> i32 {
    // As shells say it: 128 and the signal's number.
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
