//! Who runs where: a proxy on one processor, whoever asks and answers on another.

use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The two processors of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The proxy's.
    pub proxy: usize,
    /// Everybody else's.
    pub load: usize,
}

impl Cores {
    /// The first two that this process may use.
    ///
    /// # Errors
    /// Fails where there is only one.
    pub fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("allowed processors")?;
        let mut usable = (0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or(false));
        let pair = usable.next().zip(usable.next());
        ensure!(pair.is_some(), "this needs two processors");
        let (proxy, load) = pair.unwrap_or_default();
        Ok(Self { proxy, load })
    }
}

/// Ties the calling thread, and what it starts from now on, to one processor.
///
/// # Errors
/// Fails where the processor may not be used.
pub fn stay_on(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core).context("processor")?;
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("processor {core}"))
}

/// Starts a program on one processor; the caller stays where it is.
///
/// # Errors
/// Fails when the program cannot be started.
pub fn start_on(core: usize, command: &mut Command) -> Result<Child> {
    let mine = sched_getaffinity(Pid::from_raw(0)).context("own processors")?;
    stay_on(core)?;
    let child = command.spawn();
    sched_setaffinity(Pid::from_raw(0), &mine).context("own processors")?;
    child.with_context(|| format!("{} cannot be started", command.get_program().display()))
}
