//! Reads a directory of configuration files, and tells what changed since the last time.
//!
//! A file is looked at through symbolic links, so a mounted ConfigMap (a link to a file below a hidden directory that is
//! swapped in one step) changes like any other file. Hidden names and names without a known ending are not looked at:
//! editors and kubelet keep their own things there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file's path below the configuration directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

/// Looks at the directory again and again.
#[derive(Debug)]
pub struct Scanner {
    dir: PathBuf,
    /// What each file looked like when it was last read; `None` for one that is known from before a restart.
    seen: BTreeMap<FileName, Option<Signature>>,
    /// Files that were found empty once: truncated, and perhaps about to be written.
    emptied: BTreeSet<FileName>,
}

/// What changed.
#[derive(Debug, Default)]
pub struct Scan {
    /// New and changed files, by name: their text, or why it cannot be read.
    pub changed: Vec<(FileName, Result<String, Unreadable>)>,
    /// Files that are gone.
    pub removed: Vec<FileName>,
    /// Some file was found empty just now: look again before long.
    pub unsettled: bool,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A pipe, socket or device.
    #[error("is not a regular file")]
    NotAFile,
    /// Too large to be configuration.
    #[error("is larger than {} MiB", MAX_BYTES / (1024 * 1024))]
    TooLarge,
    /// Not text.
    #[error("is not UTF-8 text (first bad byte at offset {0})")]
    NotText(usize),
}

/// The directory itself cannot be read; what was known stays.
#[derive(Debug, thiserror::Error)]
#[error("configuration directory {}: {source}", path.display())]
pub struct ScanError {
    /// The directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Scanner {
    /// A scanner that has seen nothing yet, except that files of these names were there before.
    pub fn new(dir: PathBuf, known: impl IntoIterator<Item = FileName>) -> Self {
        Self {
            dir,
            seen: known.into_iter().map(|name| (name, None)).collect(),
            emptied: BTreeSet::new(),
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// Fails when the directory cannot be listed; a single file's trouble is part of the answer instead.
    pub fn scan(&mut self) -> Result<Scan, ScanError> {
        let mut present = BTreeMap::new();
        list(&self.dir, "", 0, &mut present).map_err(|source| ScanError {
            path: self.dir.clone(),
            source,
        })?;
        let mut scan = Scan::default();
        self.seen.retain(|name, _| {
            let stays = present.contains_key(name);
            if !stays {
                scan.removed.push(name.clone());
            }
            stays
        });
        for (name, path) in present {
            self.look(name, &path, &mut scan);
        }
        Ok(scan)
    }

    fn look(&mut self, name: FileName, path: &Path, scan: &mut Scan) {
        // The signature is taken first: a change while reading gives another one at the next look.
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) => {
                self.seen.insert(name.clone(), None);
                scan.changed.push((name, Err(e.into())));
                return;
            }
        };
        let signature = Signature::of(&metadata);
        let before = self.seen.get(&name).copied().flatten();
        if before == Some(signature) {
            return;
        }
        if before.is_some_and(|b| b.size > 0) && signature.size == 0 && self.emptied.insert(name.clone()) {
            scan.unsettled = true;
            return;
        }
        self.emptied.remove(&name);
        self.seen.insert(name.clone(), Some(signature));
        scan.changed.push((name, read(path, &metadata)));
    }
}

/// Every configuration file below `dir`, by its name.
fn list(
    dir: &Path,
    prefix: &str,
    depth: usize,
    found: &mut BTreeMap<FileName, PathBuf>,
) -> Result<(), io::Error> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().filter(|n| !n.starts_with('.')) else {
            continue;
        };
        let path = entry.path();
        // A directory that goes away between the two calls is one whose files are gone.
        let is_dir = fs::metadata(&path).is_ok_and(|m| m.is_dir());
        if is_dir && depth < MAX_DEPTH {
            match list(&path, &format!("{prefix}{name}/"), depth + 1, found) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        } else if !is_dir && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            found.insert(FileName::new(&format!("{prefix}{name}")), path);
        }
    }
    Ok(())
}

fn read(path: &Path, metadata: &Metadata) -> Result<String, Unreadable> {
    if !metadata.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unreadable::TooLarge);
    }
    String::from_utf8(bytes).map_err(|e| Unreadable::NotText(e.utf8_error().valid_up_to()))
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl FileName {
    /// A name below the configuration directory, with `/` between its parts.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// JSON is YAML.
const ENDINGS: [&str; 3] = [".yaml", ".yml", ".json"];
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Links that form a circle end here.
const MAX_DEPTH: usize = 8;

#[cfg(test)]
mod tests;
