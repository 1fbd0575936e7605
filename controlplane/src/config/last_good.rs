//! The last good content of each configuration file, kept in the state directory, so that a restart beside a broken file
//! serves what was served before.
//!
//! A content is on the disk some milliseconds after it counts: proxies do not wait for the disk. Until then the file itself
//! still holds it, and the one before is still kept.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh64::xxh64;

use super::scan::FileName;
use crate::state_file;

/// The store.
#[derive(Debug)]
pub struct LastGood {
    dir: PathBuf,
    /// The hashes of what is on the disk.
    kept: BTreeMap<FileName, u64>,
}

/// What is to be done about a file's last good content.
#[derive(Debug)]
pub enum Keep {
    /// Its content is good.
    Content(FileName, String),
    /// It is gone.
    Forget(FileName),
    /// Say when everything before this is done.
    Tell(SyncSender<()>),
}

/// Carries out orders until nobody gives any; what comes meanwhile is carried out together.
pub fn keep_all(store: &mut LastGood, orders: &Receiver<Keep>) {
    while let Ok(first) = orders.recv() {
        store.carry_out(std::iter::once(first).chain(orders.try_iter()));
    }
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
        let kept = BTreeMap::new();
        Ok(Self { dir, kept })
    }

    /// Everything that is kept. A record that cannot be read is left out and reported: it was written in one step, so
    /// somebody else changed it.
    ///
    /// # Errors
    /// Fails when the directory cannot be listed.
    pub fn load(&mut self) -> Result<Kept, LastGoodError> {
        let mut kept = Kept::default();
        for entry in fs::read_dir(&self.dir).map_err(error(&self.dir))? {
            let path = entry.map_err(error(&self.dir))?.path();
            if path.extension().is_none_or(|e| e != ENDING) {
                continue;
            }
            let record = fs::read(&path)
                .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).map_err(io::Error::from));
            match record {
                Ok(record) => {
                    let file = FileName::new(&record.file);
                    // A record under another name than its file's would stay beside the one that is written next.
                    if path == self.path_of(&file) {
                        self.kept.insert(file.clone(), hash(&record.text));
                    }
                    kept.records.push((file, record.text));
                }
                Err(source) => kept.unreadable.push(LastGoodError { path, source }),
            }
        }
        Ok(kept)
    }

    /// Carries out orders; for each file the last one counts. What cannot be kept counts all the same, and is logged.
    pub fn carry_out(&mut self, orders: impl IntoIterator<Item = Keep>) {
        let mut last = BTreeMap::new();
        let mut tell = Vec::new();
        for order in orders {
            match order {
                Keep::Content(file, text) => drop(last.insert(file, Some(text))),
                Keep::Forget(file) => drop(last.insert(file, None)),
                Keep::Tell(whom) => tell.push(whom),
            }
        }
        let mut contents = Vec::new();
        for (file, text) in last {
            match text {
                Some(text) => contents.push((file, text)),
                None => {
                    if let Err(e) = self.remove(&file) {
                        tracing::error!("last good configuration cannot be forgotten: {e}");
                    }
                }
            }
        }
        for e in self.store(&contents) {
            tracing::error!("last good configuration cannot be kept: {e}");
        }
        for whom in tell {
            // Whoever asked may have gone.
            let _ = whom.send(());
        }
    }

    /// Keeps the contents of files, each in one step. When it returns, they are on the disk, except for those that an
    /// error is returned for. What is kept already is not written again.
    pub fn store(&mut self, files: &[(FileName, String)]) -> Vec<LastGoodError> {
        let mut errors = Vec::new();
        let mut staged = Vec::new();
        for (file, text) in files {
            let content = hash(text);
            if self.kept.get(file) == Some(&content) {
                continue;
            }
            let path = self.path_of(file);
            let record = Record {
                file: file.as_str().to_owned(),
                text: text.clone(),
            };
            match state_file::stage(&path, &record) {
                Ok(stage) => staged.push((file.clone(), content, path, stage)),
                Err(e) => errors.push(error(&path)(e)),
            }
        }
        if staged.is_empty() {
            return errors;
        }
        let mut put = Vec::new();
        for (file, content, path, stage) in staged {
            match stage.sync().and_then(|()| stage.put()) {
                Ok(()) => put.push((file, content)),
                Err(e) => errors.push(error(&path)(e)),
            }
        }
        match state_file::sync_directory(&self.dir) {
            Ok(()) => self.kept.extend(put),
            Err(e) => errors.push(error(&self.dir)(e)),
        }
        errors
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// Fails when its record cannot be removed.
    pub fn remove(&mut self, file: &FileName) -> Result<(), LastGoodError> {
        self.kept.remove(file);
        let path = self.path_of(file);
        match fs::remove_file(&path) {
            Ok(()) => state_file::sync_directory(&self.dir).map_err(error(&self.dir)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(error(&path)(e)),
        }
    }

    /// Names of files are long and hold slashes; their hashes do not. The record itself holds the name.
    fn path_of(&self, file: &FileName) -> PathBuf {
        let hash = xxh64(file.as_str().as_bytes(), 0);
        self.dir.join(format!("{hash:016x}.{ENDING}"))
    }
}

fn hash(text: &str) -> u64 {
    xxh64(text.as_bytes(), 0)
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
