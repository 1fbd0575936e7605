//! The last good content of each configuration file, kept in the state directory, so that a restart beside a broken file
//! serves what was served before.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::scan::FileName;
use crate::state_file;

/// The store.
#[derive(Debug)]
pub struct LastGood {
    dir: PathBuf,
}

/// What the store holds.
#[derive(Debug, Default)]
pub struct Kept {
    /// Each file's last good content.
    pub records: Vec<(FileName, String)>,
    /// Records that somebody else broke.
    pub unreadable: Vec<LastGoodError>,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct LastGoodError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Record {
    file: String,
    text: String,
}

impl LastGood {
    /// The store of a state directory.
    ///
    /// # Errors
    /// Fails when its directory cannot be made.
    pub fn open(state_dir: &Path) -> Result<Self, LastGoodError> {
        let dir = state_dir.join(DIRECTORY);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(error(&dir))?;
        Ok(Self { dir })
    }

    /// Everything that is kept. A record that cannot be read is left out and reported: it was written in one step, so
    /// somebody else changed it.
    ///
    /// # Errors
    /// Fails when the directory cannot be listed.
    pub fn load(&self) -> Result<Kept, LastGoodError> {
        let mut kept = Kept::default();
        for entry in fs::read_dir(&self.dir).map_err(error(&self.dir))? {
            let path = entry.map_err(error(&self.dir))?.path();
            if path.extension().is_none_or(|e| e != ENDING) {
                continue;
            }
            let record = fs::read(&path)
                .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).map_err(io::Error::from));
            match record {
                Ok(record) => kept.records.push((FileName::new(&record.file), record.text)),
                Err(source) => kept.unreadable.push(LastGoodError { path, source }),
            }
        }
        Ok(kept)
    }

    /// Keeps a file's content, in one step. It does not wait for the disk, which a change of policy would have to wait
    /// for in turn: a power failure within seconds of an edit may take the record, and then a restart beside a broken
    /// file says that it is not ready instead.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn store(&self, file: &FileName, text: &str) -> Result<(), LastGoodError> {
        let path = self.path_of(file);
        let record = Record {
            file: file.as_str().to_owned(),
            text: text.to_owned(),
        };
        state_file::write(&path, &record).map_err(error(&path))
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// Fails when its record cannot be removed.
    pub fn remove(&self, file: &FileName) -> Result<(), LastGoodError> {
        let path = self.path_of(file);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(error(&path)(e)),
            _ => Ok(()),
        }
    }

    /// Names of files are long and hold slashes; their hashes do not. The record itself holds the name.
    fn path_of(&self, file: &FileName) -> PathBuf {
        let hash = xxh64(file.as_str().as_bytes(), 0);
        self.dir.join(format!("{hash:016x}.{ENDING}"))
    }
}

fn error(path: &Path) -> impl Fn(io::Error) -> LastGoodError {
    let path = path.to_owned();
    move |source| LastGoodError {
        path: path.clone(),
        source,
    }
}

const DIRECTORY: &str = "config";
const ENDING: &str = "json";

#[cfg(test)]
mod tests;
