//! Programs with a log, started in a namespace and stopped with the lab.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// A program that runs until it is stopped; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `<logs>/<name>.log`.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        fs::create_dir_all(logs).with_context(|| logs.display().to_string())?;
        let log = logs.join(format!("{name}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let file: File = open().with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stderr(file.try_clone().context("log")?)
            .stdout(file)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, in the lab's namespace of process ids.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Fails when the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("process id")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// Asks it to end (SIGTERM) and waits, at most `limit`.
    ///
    /// # Errors
    /// Fails when it does not end in time.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        let what = format!("{} to end after SIGTERM", self.name);
        wait::until(&what, limit, || self.ended())
    }

    /// Kills it (SIGKILL) and waits.
    pub fn kill(&mut self) {
        // An error means that it ended already, which is what was wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits until `probe` answers, and fails early, with the end of the log, when the program ends first.
    ///
    /// # Errors
    /// Fails when the program ended, or `limit` passed.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let result = wait::until(what, limit, || match self.ended() {
            Some(status) => Some(Err(status)),
            None => probe().map(Ok),
        });
        match result {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => bail!(
                "{} ended ({status}) before {what}\n{}",
                self.name,
                self.log_tail()
            ),
            Err(late) => Err(late.context(format!("{}'s log ends with:\n{}", self.name, self.log_tail()))),
        }
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

const TAIL: usize = 25;
