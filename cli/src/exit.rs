//! What the exit codes mean. `--help` says the same.

use std::fmt;
use std::process::ExitCode;

use mesh_kube::KubeError;

/// The command did what it was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All is well: 0.
    Good,
    /// What it was to look at is not well: 1.
    Bad,
}

/// The command could not do what it was to do.
#[derive(Debug)]
pub struct Failure {
    why: anyhow::Error,
    fault: Fault,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The command line is wrong, in a way that only the command itself can know: 2, as clap's.
    CommandLine,
    /// Somebody did not answer or refused, or a file cannot be read: 3.
    Others,
}

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
        anyhow::Error::new(why)
            .context(
                "the answer is not what this version understands; is the address that of the right part, and its version ours?",
            )
            .into()
    }

    /// The command line is wrong.
    #[must_use]
    pub fn command_line(why: impl fmt::Display) -> Self {
        Self {
            why: anyhow::anyhow!("{why}"),
            fault: Fault::CommandLine,
        }
    }

    /// Why, in one line: what others say may have several.
    #[must_use]
    pub fn line(&self) -> String {
        let why = format!("{:#}", self.why);
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        match self.remedy() {
            None => why,
            Some(remedy) => format!("{}; {remedy}", why.trim_end_matches('.')),
        }
    }

    /// What helps where the cluster, or our access to it, is at fault.
    fn remedy(&self) -> Option<&'static str> {
        let mut chain = self.why.chain();
        let kube = chain.find_map(|cause| cause.downcast_ref::<KubeError>())?;
        match kube {
            KubeError::Unreachable(_) => Some("is it up, and is this the right --kubeconfig and --context?"),
            KubeError::Unauthorized(_) => Some("log in again, or name another --context"),
            KubeError::Forbidden(_) => {
                Some("ask for that right, or name another --context; kubectl auth can-i --list shows yours")
            }
            _ => None,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            why: error.into(),
            fault: Fault::Others,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        Self::from(match failure.fault {
            Fault::CommandLine => 2,
            Fault::Others => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

#[cfg(test)]
mod tests;
