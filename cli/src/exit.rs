//! What the exit codes mean. `--help` says the same.

use std::fmt;
use std::process::ExitCode;

/// The command did what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All is well: 0.
    Good,
    /// What it was to look at is not well: 1.
    Bad,
}

/// The command could not do what it was to do: 3. (2 is clap's, for a wrong command line.)
#[derive(Debug)]
pub struct Failure(anyhow::Error);

impl Done {
    /// Well, unless something is not.
    #[must_use]
    pub fn unless(bad: bool) -> Self {
        if bad { Self::Bad } else { Self::Good }
    }
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        match done {
            Done::Good => Self::SUCCESS,
            Done::Bad => Self::from(1),
        }
    }
}

impl Failure {
    /// Somebody answered, and not what this version understands.
    #[must_use]
    pub fn answer(why: serde_json::Error) -> Self {
        Self(anyhow::Error::new(why).context(
            "the answer is not what this version understands; is the address that of the right part, and its version ours?",
        ))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Failure> for ExitCode {
    fn from(_: Failure) -> Self {
        Self::from(3)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
