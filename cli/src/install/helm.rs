//! Running helm.

use std::convert::Infallible;
use std::io;
use std::process::{Command, ExitStatus, Stdio};

use tokio::signal::unix::{SignalKind, signal};

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
pub fn print(task: Task<'_>, target: &Target<'_>) -> Result<(), InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let helm = task.release().helm.as_path();
    let status = Command::new(helm).args(arguments(task, target, &chart)).status();
    let status = status.map_err(|error| InstallError::NoHelm(helm.display().to_string(), error))?;
    unchanged(status)
}

/// Gives what helm prints.
///
/// # Errors
/// Fails when helm is not there, or says no.
pub fn output(task: Task<'_>, target: &Target<'_>) -> Result<String, InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let helm = task.release().helm.as_path();
    // What it complains of is for people.
    let mut command = Command::new(helm);
    let command = command
        .args(arguments(task, target, &chart))
        .stderr(Stdio::inherit());
    let out = command.output();
    let out = out.map_err(|error| InstallError::NoHelm(helm.display().to_string(), error))?;
    unchanged(out.status)?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Has helm change something, and waits for its end whatever comes: a helm that is cut off leaves a release that nobody may
/// touch. Where our own answer is data, what helm says goes to standard error. `meanwhile` goes on beside it; `stops` gives each
/// time that somebody wants us to stop.
///
/// # Errors
/// Fails when helm cannot be run.
pub async fn change(
    task: Task<'_>,
    target: &Target<'_>,
    format: Format,
    meanwhile: impl Future<Output = Infallible>,
    stops: impl AsyncFnMut(),
) -> Result<Ended, InstallError> {
    let directory = tempfile::tempdir()?;
    let chart = charts::write(directory.path())?;
    let helm = task.release().helm.as_path();
    let mut command = tokio::process::Command::new(helm);
    command.args(arguments(task, target, &chart));
    if format != Format::Table {
        command.stdout(Stdio::from(io::stderr()));
    }
    let not_run = |error| InstallError::NoHelm(helm.display().to_string(), error);
    let mut child = command.spawn().map_err(not_run)?;
    let mut stopped = false;
    let status = tokio::select! {
        status = child.wait() => status.map_err(not_run)?,
        never = meanwhile => match never {},
        never = hold(stops, &mut stopped) => match never {},
    };
    Ok(Ended { status, stopped })
}

/// The wishes of whoever started this that it stop, from now on (SIGINT, SIGTERM).
///
/// # Errors
/// Fails when the system has no such signals.
pub fn stops() -> io::Result<impl AsyncFnMut()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A terminal tells helm as well, which then ends what it began.
async fn hold(mut stops: impl AsyncFnMut(), stopped: &mut bool) -> Infallible {
    loop {
        stops().await;
        tell("stopping: helm is waited for, so that the release is left in order");
        *stopped = true;
    }
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
