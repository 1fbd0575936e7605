//! SIGTERM, SIGINT or a request from the admin server, as one future.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Why the process stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// SIGTERM: the orchestrator's wish.
    Terminate,
    /// SIGINT: somebody at a keyboard.
    Interrupt,
    /// [`StopRequest::request`], behind `POST /quitquitquit`.
    Requested,
}

/// Asks the process to stop, from inside it.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    notify: Arc<Notify>,
}

/// Listens for the reasons to stop. Signals are caught from its creation on, so that one which arrives during start-up
/// is not lost.
#[derive(Debug)]
pub struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    request: StopRequest,
}

impl StopRequest {
    /// Asks.
    pub fn request(&self) {
        self.notify.notify_one();
    }
}

impl StopSignals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Fails when a handler cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            request: StopRequest::default(),
        })
    }

    /// The handle by which the process itself can ask for its end.
    #[must_use]
    pub fn request(&self) -> StopRequest {
        self.request.clone()
    }

    /// Resolves at the next reason to stop.
    pub async fn wait(&mut self) -> StopReason {
        tokio::select! {
            _ = self.terminate.recv() => StopReason::Terminate,
            _ = self.interrupt.recv() => StopReason::Interrupt,
            () = self.request.notify.notified() => StopReason::Requested,
        }
    }
}

/// SIGUSR1: whoever rotates log files says that they were moved away.
#[derive(Debug)]
pub struct UserSignal(tokio::signal::unix::Signal);

impl UserSignal {
    /// Installs the handler: without one, the signal would end the process.
    ///
    /// # Errors
    /// Fails when it cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::user_defined1())?))
    }

    /// Resolves at the next one; `None` when there can be none any more.
    pub async fn recv(&mut self) -> Option<()> {
        self.0.recv().await
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Requested => "asked to by the admin server",
        })
    }
}
