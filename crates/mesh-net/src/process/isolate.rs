//! This program again, inside namespaces of its own: with what root may do, and with nothing left behind when it ends.
//!
//! The work is done by `unshare` of util-linux (part of every Debian), which knows how to map users with `newuidmap`; a
//! process that has threads already, as every test has, could not do it for itself.
//!
//! ```text
//! program (waits, passes signals on) ── unshare ── program again: process 1 of its pid namespace
//! ```
//! Whichever of them dies, those to the right are killed, and with process 1 everything that it started.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::unistd::{Pid, geteuid, getpid};

use super::{CommandExt, mounts, set_interface_up};
use crate::netns;

/// Which namespaces are new, besides those for processes and mounts, and for users where this process is not root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Interfaces, addresses, firewall; `lo` is up inside.
    pub network: bool,
    /// System V IPC and POSIX queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
}

/// Whose rights the inner process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// The machine's root.
    Root,
    /// Root of a user namespace in which a range of users exists, so that programs can change to theirs.
    UserRange,
    /// Root of a user namespace in which nobody else exists: programs that insist on another user do not run.
    SingleUser,
}

/// Who comes back from [`reenter`].
#[derive(Debug)]
pub enum Reentered {
    /// The inner process: go on, inside.
    Inside(Privilege),
    /// The outer process: the inner one has ended, and how.
    Ended(ExitStatus),
}

/// Why there is no inner process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReenterError {
    /// Neither the rights of root nor user namespaces are to be had.
    #[error("this needs root, or a kernel that lets users make user namespaces; here {0}")]
    NotAllowed(String),
    /// `unshare` is missing or could not be started.
    #[error("unshare (package util-linux) cannot be run: {0}")]
    Unshare(#[source] io::Error),
    /// The inner process could not arrange its namespaces.
    #[error("inside the new namespaces: {what}: {source}")]
    Inside {
        /// What could not be done.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            network: true,
            ipc: true,
            uts: true,
        }
    }
}

/// Runs this program again, with the same arguments, inside new namespaces. To be called first thing in `main`: in the outer
/// process it returns when all is over, in the inner one at once.
///
/// Signals INT, TERM and HUP reach the inner process, which must handle them: as process 1 it does not die of them otherwise.
///
/// # Errors
/// Fails where namespaces cannot be had; the message says what is missing.
pub fn reenter(isolation: &Isolation) -> Result<Reentered, ReenterError> {
    if let Some(privilege) = reentered() {
        arrange(isolation)?;
        return Ok(Reentered::Inside(privilege));
    }
    let privilege = obtainable()?;
    let mut command = isolated(privilege, isolation)?;
    // A group of its own: Ctrl-C comes to the outer process alone, which passes it on once.
    command.args(std::env::args_os().skip(1)).process_group(0);
    let child = command.spawn().map_err(ReenterError::Unshare)?;
    wait_passing_signals(child)
        .map(Reentered::Ended)
        .map_err(ReenterError::Unshare)
}

/// The body of a test that needs namespaces: `in_namespaces(|| { … })` as the *whole* of a `#[test]` function runs that one
/// test again in a process of its own, inside, and passes or fails as it does there. In one process no test could have
/// namespaces to itself, and threads would see each other's.
///
/// # Panics
/// Panics when the inner test fails, or when namespaces cannot be had: nothing passes by being skipped.
pub fn in_namespaces<F: FnOnce()>(body: F) {
    if reentered().is_some() {
        arrange(&Isolation::default()).expect("new namespaces can be arranged");
        body();
        println!("{RAN_INSIDE}");
        return;
    }
    let test = test_name::<F>();
    let arguments = [test.as_str(), "--exact", "--nocapture", "--test-threads=1"];
    let ran = obtainable().and_then(|privilege| {
        let mut command = isolated(privilege, &Isolation::default())?;
        command.args(arguments).stdin(Stdio::null());
        command.output().map_err(ReenterError::Unshare)
    });
    let Output {
        status,
        stdout,
        stderr,
    } = ran.unwrap_or_else(|e| panic!("{test}: {e}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    // A name that matches no test would pass as well.
    let ran = stdout.contains(RAN_INSIDE);
    assert!(
        status.success() && ran,
        "{test}, inside, {status}:\n{stdout}\n{stderr}"
    );
}

/// Whether this very process is the inner one; its children are not.
fn reentered() -> Option<Privilege> {
    let said = std::env::var(MARKER)
        .ok()
        .filter(|_| getpid() == Pid::from_raw(1))?;
    [Privilege::Root, Privilege::UserRange, Privilege::SingleUser]
        .into_iter()
        .find(|privilege| privilege.name() == said)
}

/// The best that works here, found out by trying.
fn obtainable() -> Result<Privilege, ReenterError> {
    let mut candidates = vec![Privilege::UserRange, Privilege::SingleUser];
    if geteuid().is_root() {
        candidates.insert(0, Privilege::Root);
    }
    let mut refusal = String::new();
    for privilege in candidates {
        let mut probe = unshare(privilege, &Isolation::default());
        let tried = probe.arg("true").stdin(Stdio::null()).output();
        let tried = tried.map_err(ReenterError::Unshare)?;
        if tried.status.success() {
            return Ok(privilege);
        }
        refusal = String::from_utf8_lossy(&tried.stderr).trim().replace('\n', "; ");
    }
    Err(ReenterError::NotAllowed(refusal))
}

/// This program, inside; arguments are still to be added.
fn isolated(privilege: Privilege, isolation: &Isolation) -> Result<Command, ReenterError> {
    let program = std::env::current_exe().map_err(ReenterError::Unshare)?;
    let mut command = unshare(privilege, isolation);
    command.arg("--").arg(program).env(MARKER, privilege.name());
    command.die_with_parent();
    Ok(command)
}

fn unshare(privilege: Privilege, isolation: &Isolation) -> Command {
    let mut command = Command::new("unshare");
    command.args(privilege.arguments());
    command.args(["--mount", "--pid", "--fork", "--kill-child"]);
    let chosen = [
        (isolation.network, "--net"),
        (isolation.ipc, "--ipc"),
        (isolation.uts, "--uts"),
    ];
    command.args(chosen.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag));
    command
}

/// The inner process makes its new namespaces usable.
fn arrange(isolation: &Isolation) -> Result<(), ReenterError> {
    let inside = |what| move |source| ReenterError::Inside { what, source };
    netns::forget_current();
    mounts::make_private().map_err(inside("making mounts private"))?;
    // In a container parts of both may be covered, and the kernel then refuses new ones: the old ones, which show more
    // processes and other interfaces, do for everything that works by namespace descriptor.
    for (name, mounted) in [
        ("/proc", mounts::proc(Path::new("/proc"))),
        ("/sys", mounts::sysfs(Path::new("/sys"))),
    ] {
        if let Err(error) = mounted {
            tracing::debug!(%error, "{name} stays the outer one");
        }
    }
    if isolation.network {
        set_interface_up("lo").map_err(inside("bringing lo up"))?;
    }
    Ok(())
}

/// Waits for the child; what this process is told, the inner one is told.
fn wait_passing_signals(mut child: Child) -> io::Result<ExitStatus> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        signals.add(signal);
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
    let status = loop {
        // Asked first: the child may have ended before its signal was blocked.
        if let Some(status) = child.try_wait()? {
            break status;
        }
        match signals.wait()? {
            Signal::SIGCHLD => {}
            signal => {
                for inner in children(child.id()) {
                    let _ = kill(inner, signal);
                }
            }
        }
    };
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    Ok(status)
}

/// proc(5), `/proc/pid/task/tid/children`.
fn children(pid: u32) -> Vec<Pid> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok().map(Pid::from_raw))
        .collect()
}

/// The path of the `#[test]` function that made the closure, as the test harness knows it: a closure's type is named
/// `crate::module::function::{{closure}}`.
fn test_name<F>() -> String {
    let name = std::any::type_name::<F>();
    let name = name.trim_end_matches("::{{closure}}");
    name.split_once("::")
        .map_or(name, |(_crate, path)| path)
        .to_owned()
}

impl Privilege {
    fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::UserRange => "user-range",
            Self::SingleUser => "single-user",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Root => &[],
            // By newuidmap and newgidmap, with what /etc/subuid and /etc/subgid give this user.
            Self::UserRange => &["--user", "--map-root-user", "--map-auto"],
            Self::SingleUser => &["--user", "--map-root-user"],
        }
    }
}

/// Set for the inner process. Its children inherit the variable, but are not process 1.
const MARKER: &str = "LATEEN_REENTERED";
/// Printed once an inner test has run to its end.
const RAN_INSIDE: &str = "[ran inside new namespaces]";

#[cfg(test)]
mod tests;
