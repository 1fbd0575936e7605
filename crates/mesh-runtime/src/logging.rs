//! Logging: one line per event, in upstream's two formats, filtered by `RUST_LOG` and changeable while running.
//!
//! # Layout
//! - this file: set-up, the runtime filter and its admin routes.
//! - `format`: what a line looks like.
//! - `writer`: the thread that writes lines, so that no data worker waits for a pipe.
//!
//! The target `access` is the access log; everything else is named by module path.

mod format;
mod writer;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::admin::{self, Routes};
use format::LineFormat;

pub use writer::LogGuard;

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Tab-separated, for people.
    #[default]
    Plain,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The filter's text is malformed.
    #[error("log filter {filter:?}: {reason}")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A subscriber is installed already.
    #[error("logging is set up already")]
    AlreadySet,
    /// The writer thread cannot be started.
    #[error("log writer thread: {0}")]
    Writer(#[from] std::io::Error),
}

/// Changes the filter at run time.
#[derive(Clone)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    initial: Arc<str>,
    current: Arc<Mutex<String>>,
}

/// Installs the process's logging: `filter` in `RUST_LOG`'s syntax, lines in `format` to standard output.
///
/// The guard writes out what is queued when it is dropped; keep it until the very end of `main`.
///
/// # Errors
/// Fails on a malformed filter, and when called twice.
pub fn init(filter: &str, format: LogFormat) -> Result<(LogControl, LogGuard), LoggingError> {
    let (layer, handle) = reload::Layer::new(parse_filter(filter)?);
    let (lines, guard) = writer::start(std::io::stdout())?;
    let output = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(LineFormat { format })
        .with_writer(lines);
    tracing_subscriber::registry()
        .with(layer)
        .with(output)
        .try_init()
        .map_err(|_| LoggingError::AlreadySet)?;
    let control = LogControl {
        handle,
        initial: filter.into(),
        current: Arc::new(Mutex::new(filter.to_owned())),
    };
    Ok((control, guard))
}

/// The same lines into another place, with a filter that stays; for tests of what is logged. It is not installed.
///
/// # Errors
/// Fails on a malformed filter.
pub fn subscriber<W>(
    filter: &str,
    format: LogFormat,
    writer: W,
) -> Result<impl tracing::Subscriber + Send + Sync + use<W>, LoggingError>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let output = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(LineFormat { format })
        .with_writer(writer);
    Ok(tracing_subscriber::registry()
        .with(parse_filter(filter)?)
        .with(output))
}

// === impl LogControl ===

impl LogControl {
    /// Replaces the filter.
    ///
    /// # Errors
    /// Fails on a malformed filter; the old one stays.
    pub fn set(&self, filter: &str) -> Result<(), LoggingError> {
        let parsed = parse_filter(filter)?;
        self.handle.reload(parsed).map_err(|_| LoggingError::AlreadySet)?;
        filter.clone_into(&mut self.current.lock());
        Ok(())
    }

    /// Puts `change` (`debug`, or `target=level` pairs) in front of the filter in force; a later entry of the same
    /// target wins, as in `RUST_LOG`.
    ///
    /// # Errors
    /// Fails on a malformed change; the old filter stays.
    pub fn merge(&self, change: &str) -> Result<(), LoggingError> {
        let merged = format!("{},{change}", self.current());
        self.set(&merged)
    }

    /// Back to the filter of the start.
    pub fn reset(&self) {
        // The initial filter was parsed once already.
        let _ = self.set(&self.initial.clone());
    }

    /// The filter in force.
    #[must_use]
    pub fn current(&self) -> String {
        self.current.lock().clone()
    }

    /// `POST /logging`, with upstream's query parameters: `level=<filter>` adds to the filter, `reset` goes back to the
    /// initial one first; without either it shows the filter in force.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let control = self.clone();
        Routes::new().post("/logging", "shows or changes the log filter", move |request| {
            std::future::ready(control.answer(&request))
        })
    }

    fn answer(&self, request: &admin::Request) -> admin::Response {
        if request.query("reset").is_some() {
            self.reset();
        }
        if let Some(level) = request.query("level").filter(|l| !l.is_empty())
            && let Err(e) = self.merge(level)
        {
            return admin::text(StatusCode::BAD_REQUEST, format!("{e}\n"));
        }
        admin::text(
            StatusCode::OK,
            format!("active log filters:\n{}\n", self.current()),
        )
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

// === impl LogFormat ===

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            _ => Err("is neither json nor plain"),
        }
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LoggingError> {
    let problem = |reason: String| LoggingError::Filter {
        filter: filter.to_owned(),
        reason,
    };
    if filter.len() > MAX_FILTER {
        return Err(problem(format!("longer than {MAX_FILTER} bytes")));
    }
    EnvFilter::builder()
        .parse(filter)
        .map_err(|e| problem(e.to_string()))
}

const MAX_FILTER: usize = 4096;

#[cfg(test)]
mod tests;
