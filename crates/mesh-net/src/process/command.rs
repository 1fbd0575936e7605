//! Children that start in a namespace, or end with their parent.

use std::io;
use std::os::fd::AsFd;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getppid, setsid};

use crate::Netns;

/// What `std` and `tokio` offer only by `unsafe`.
pub trait CommandExt {
    /// The child runs in this network namespace.
    fn in_netns(&mut self, netns: &Netns) -> &mut Self;

    /// The child is killed (SIGKILL) when its parent dies, however that happens. "Parent" is the *thread* that spawned it
    /// (PR_SET_PDEATHSIG(2const)): spawn from one that lives as long as the child should.
    fn die_with_parent(&mut self) -> &mut Self;

    /// The child leads a session and a process group of its own: Ctrl-C at the terminal does not reach it.
    fn new_session(&mut self) -> &mut Self;
}

trait PreExec {
    /// Runs `work` in the child, between fork and exec.
    ///
    /// # Safety
    /// As `std::os::unix::process::CommandExt::pre_exec`: only async-signal-safe calls, no allocation, no lock.
    unsafe fn before_exec(
        &mut self,
        work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self;
}

impl PreExec for std::process::Command {
    unsafe fn before_exec(
        &mut self,
        work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        // SAFETY: the caller's promise is the one that `pre_exec` asks for.
        unsafe { std::os::unix::process::CommandExt::pre_exec(self, work) }
    }
}

impl PreExec for tokio::process::Command {
    unsafe fn before_exec(
        &mut self,
        work: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
    ) -> &mut Self {
        // SAFETY: the caller's promise is the one that `pre_exec` asks for.
        unsafe { self.pre_exec(work) }
    }
}

impl<C: PreExec> CommandExt for C {
    fn in_netns(&mut self, netns: &Netns) -> &mut Self {
        let netns = netns.clone();
        // SAFETY: setns is one system call on a descriptor that the closure keeps open.
        unsafe { self.before_exec(move || Ok(setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?)) }
    }

    fn die_with_parent(&mut self) -> &mut Self {
        let parent = nix::unistd::getpid();
        // SAFETY: prctl and getppid are single system calls, and the error is made without allocating.
        unsafe {
            self.before_exec(move || {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                // A parent that died before the call above sends nothing any more.
                if getppid() == parent {
                    Ok(())
                } else {
                    Err(io::Error::from_raw_os_error(libc::ESRCH))
                }
            })
        }
    }

    fn new_session(&mut self) -> &mut Self {
        // SAFETY: setsid is one system call.
        unsafe {
            self.before_exec(|| {
                setsid()?;
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests;
