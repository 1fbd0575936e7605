//! What the agent knows, written down: replaced as a whole, readable by its user only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::enroll::Record;

/// The file.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// The system refused.
    #[error("state file {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is there, but not what was written.
    #[error("state file {path} is damaged: {reason}; move it away to start without the pods that it lists")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What was written down.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The pods.
    pub records: Vec<Record>,
    /// Whether they are all that have something of the mesh. Not so without a file, and until running pods were looked for.
    pub complete: bool,
}

#[derive(Serialize, Deserialize)]
struct Content<P> {
    version: u32,
    pods: Vec<P>,
    #[serde(default = "complete")]
    complete: bool,
}

impl StateFile {
    /// The file at `path`; its directory must exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The records written last; none where there is no file.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or is not what was written.
    pub fn read(&self) -> Result<Known, StateFileError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Known::default()),
            Err(source) => return Err(self.io(source)),
        };
        parse(&bytes).map_err(|reason| StateFileError::Damaged {
            path: self.path.display().to_string(),
            reason,
        })
    }

    /// As [`Self::read`]; a file that is not what was written is put aside, beside its place, for people to look at.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or cannot be put aside.
    pub fn read_or_put_aside(&self) -> Result<Known, StateFileError> {
        let error = match self.read() {
            Err(error @ StateFileError::Damaged { .. }) => error,
            read => return read,
        };
        let mut aside = self.path.clone().into_os_string();
        aside.push(".damaged");
        fs::rename(&self.path, &aside).map_err(|source| self.io(source))?;
        tracing::warn!(%error, aside = %Path::new(&aside).display(), "the state file is put aside, and running pods are looked for");
        Ok(Known::default())
    }

    /// Replaces the file: a reader sees the old records or the new ones.
    ///
    /// # Errors
    /// Fails when it cannot be written; the old records are then still there.
    pub fn write<'a>(
        &self,
        records: impl Iterator<Item = &'a Record>,
        complete: bool,
    ) -> Result<(), StateFileError> {
        self.replace(records, complete).map_err(|source| self.io(source))
    }

    fn replace<'a>(&self, records: impl Iterator<Item = &'a Record>, complete: bool) -> io::Result<()> {
        let content = encode(records, complete)?;
        let directory = self.path.parent().filter(|d| !d.as_os_str().is_empty());
        // Temporary files of this kind are 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))?;
        file.write_all(&content)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn io(&self, source: io::Error) -> StateFileError {
        StateFileError::Io {
            path: self.path.display().to_string(),
            source,
        }
    }
}

/// Reads the file's content.
pub(crate) fn parse(bytes: &[u8]) -> Result<Known, String> {
    let content: Content<Record> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if content.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", content.version));
    }
    Ok(Known {
        records: content.pods,
        complete: content.complete,
    })
}

/// The file's content.
pub(crate) fn encode<'a>(
    records: impl Iterator<Item = &'a Record>,
    complete: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Content {
        version: VERSION,
        pods: records.collect(),
        complete,
    })
}

/// Earlier versions wrote nothing else.
fn complete() -> bool {
    true
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
