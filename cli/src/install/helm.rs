//! Running helm. Nobody is left behind: one that only answers ends with us, and one that changes something is told when we are to
//! stop, and waited for.

use std::convert::Infallible;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use super::{Target, Task, arguments, charts};
use crate::output::Format;
use crate::tell::tell;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no helm.
    #[error(
        "{0}: cannot be run ({1}); charts are rendered and installed by helm: https://helm.sh/docs/intro/install, or name \
         another place with --helm PATH"
    )]
    NoHelm(String, io::Error),
    /// The charts cannot be written down for helm.
    #[error("the charts cannot be written down for helm: {0}")]
    Charts(#[from] io::Error),
    /// Somebody wanted us to stop, and helm ended before it was done.
    #[error("stopped, and helm has ended ({status}); {remedy}")]
    Stopped {
        /// How it ended.
        status: ExitStatus,
        /// What is there now, and the way on or back.
        remedy: String,
    },
    /// Helm says no; it said why.
    #[error("helm gave up ({status}); {remedy}")]
    Helm {
        /// How it ended.
        status: ExitStatus,
        /// What is there now, and the way on or back.
        remedy: String,
    },
}

/// How helm ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As the system says it.
    pub status: ExitStatus,
    /// Whether somebody told us to stop meanwhile.
    pub stopped: bool,
}

/// Prints what helm prints.
///
/// # Errors
/// Fails when helm is not there, or says no.
pub async fn print(task: Task<'_>, target: &Target<'_>) -> Result<(), InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let mut command = Command::new(&task.release().helm);
    command.args(arguments(task, target, &chart)).kill_on_drop(true);
    let status = command.status().await;
    unchanged(status.map_err(|error| not_run(task, error))?)
}

/// Gives what helm prints.
///
/// # Errors
/// Fails when helm is not there, or says no.
pub async fn output(task: Task<'_>, target: &Target<'_>) -> Result<String, InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let mut command = Command::new(&task.release().helm);
    command.args(arguments(task, target, &chart)).kill_on_drop(true);
    // What it complains of is for people.
    let out = command.stderr(Stdio::inherit()).output().await;
    let out = out.map_err(|error| not_run(task, error))?;
    unchanged(out.status)?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Has helm change something, and waits for its end whatever comes: a helm that is cut off leaves a release that nobody may
/// touch. Where our own answer is data, what helm says goes to standard error. `meanwhile` goes on beside it; `stops` gives each
/// time that somebody wants us to stop: helm is told then, and killed where it has not ended after `patience`.
///
/// # Errors
/// Fails when helm cannot be run.
pub async fn change(
    task: Task<'_>,
    target: &Target<'_>,
    format: Format,
    meanwhile: impl Future<Output = Infallible>,
    stops: &mut impl AsyncFnMut(),
    patience: Duration,
) -> Result<Ended, InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let mut command = Command::new(&task.release().helm);
    command.args(arguments(task, target, &chart));
    if format != Format::Table {
        command.stdout(Stdio::from(io::stderr()));
    }
    // In a group of its own a terminal tells us alone, so that helm is told once, and by the signal at which it writes down what
    // became of a release (SIGTERM; its uninstall ends at once): at SIGHUP, of a terminal that is closed, it knows nothing to do.
    // Such a group may not read a terminal.
    command.process_group(0).stdin(Stdio::null());
    let mut child = command.spawn().map_err(|error| not_run(task, error))?;
    let ended = tokio::select! {
        status = child.wait() => Some(status),
        never = meanwhile => match never {},
        () = stops() => None,
    };
    let (status, stopped) = match ended {
        Some(status) => (status, false),
        None => (stop(&mut child, stops, patience).await, true),
    };
    let status = status.map_err(|error| not_run(task, error))?;
    Ok(Ended { status, stopped })
}

/// Tells helm to stop, and waits for it. Whoever wants us to stop once more is doing so already.
async fn stop(
    child: &mut Child,
    stops: &mut impl AsyncFnMut(),
    patience: Duration,
) -> io::Result<ExitStatus> {
    tell("stopping: helm is told, and waited for, so that the release is left in order");
    signal_group(child, Signal::SIGTERM);
    let ended = async {
        loop {
            tokio::select! {
                status = child.wait() => return status,
                () = stops() => {}
            }
        }
    };
    if let Ok(status) = timeout(patience, ended).await {
        return status;
    }
    let limit = patience.as_secs();
    tell(&format!("helm has not ended within {limit} s, and is killed"));
    signal_group(child, Signal::SIGKILL);
    child.wait().await
}

/// To helm, and what it runs to show who it is.
fn signal_group(child: &Child, signal: Signal) {
    // Without an id it has ended; so it has where nobody of its group is left.
    let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) else {
        return;
    };
    let _ = killpg(Pid::from_raw(id), signal);
}

/// The wishes of whoever started this that it stop, from now on (SIGINT, SIGTERM, SIGHUP).
///
/// # Errors
/// Fails when the system has no such signals.
pub fn stops() -> io::Result<impl AsyncFnMut()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

fn not_run(task: Task<'_>, error: io::Error) -> InstallError {
    InstallError::NoHelm(task.release().helm.display().to_string(), error)
}

fn unchanged(status: ExitStatus) -> Result<(), InstallError> {
    match status.success() {
        true => Ok(()),
        false => Err(InstallError::Helm {
            status,
            remedy: "nothing was changed".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
