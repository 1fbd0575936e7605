//! Reads a directory of configuration files, and tells what changed since the last time: of everything, or of some files
//! only, which costs nothing for the others.
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
    /// Files that are links or below one: what they lead to may change where nobody watches.
    links: BTreeSet<FileName>,
    looks: u64,
}

/// What changed.
#[derive(Debug, Default)]
pub struct Scan {
    /// New and changed files, by name: their text, or why it cannot be read.
    pub changed: Vec<(FileName, Result<String, Unreadable>)>,
    /// Files that are gone.
    pub removed: Vec<FileName>,
    /// Some file was found empty just now, or turned out to be none: look at everything before long.
    pub unsettled: bool,
}

/// A file that was found in the directory.
struct Found {
    path: PathBuf,
    /// It is a link or below one.
    linked: bool,
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
            links: BTreeSet::new(),
            looks: 0,
        }
    }

    /// How many files are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether no file is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Files that are links or below one, as of the last look at everything.
    #[must_use]
    pub fn links(&self) -> &BTreeSet<FileName> {
        &self.links
    }

    /// How many files were looked at: tests hold "only what changed" to this.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// Looks at some files only.
    pub fn look_at<'n>(&mut self, names: impl IntoIterator<Item = &'n FileName>) -> Scan {
        let mut scan = Scan::default();
        for name in names {
            let path = self.dir.join(name.as_str());
            match fs::symlink_metadata(&path) {
                Err(e) if is_gone(&e) => {
                    self.emptied.remove(name);
                    self.links.remove(name);
                    if self.seen.remove(name).is_some() {
                        scan.removed.push(name.clone());
                    } else {
                        // Perhaps a directory that was named like a file.
                        scan.unsettled |= self.holds_below(name);
                    }
                }
                // A directory that is named like a file.
                Ok(metadata) if metadata.is_dir() => scan.unsettled = true,
                Ok(metadata) => {
                    if metadata.is_symlink() {
                        self.links.insert(name.clone());
                    }
                    self.look(name.clone(), &path, &mut scan);
                }
                Err(_) => self.look(name.clone(), &path, &mut scan),
            }
        }
        scan
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// Fails when the directory cannot be listed; a single file's trouble is part of the answer instead.
    pub fn scan(&mut self) -> Result<Scan, ScanError> {
        let mut present = BTreeMap::new();
        let top = Level {
            prefix: "",
            depth: 0,
            linked: false,
        };
        list(&self.dir, top, &mut present).map_err(|source| ScanError {
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
        self.links.clear();
        for (name, found) in present {
            if found.linked {
                self.links.insert(name.clone());
            }
            self.look(name, &found.path, &mut scan);
        }
        Ok(scan)
    }

    fn holds_below(&self, name: &FileName) -> bool {
        let below = FileName::new(&format!("{name}/"));
        let mut following = self.seen.range(below.clone()..);
        following
            .next()
            .is_some_and(|(found, _)| found.as_str().starts_with(below.as_str()))
    }

    fn look(&mut self, name: FileName, path: &Path, scan: &mut Scan) {
        self.looks += 1;
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

/// Where in the directory something is listed.
#[derive(Clone, Copy)]
struct Level<'p> {
    prefix: &'p str,
    depth: usize,
    linked: bool,
}

/// Every configuration file below `dir`, by its name.
fn list(dir: &Path, level: Level<'_>, found: &mut BTreeMap<FileName, Found>) -> Result<(), io::Error> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(name) = file_name.to_str().filter(|n| !n.starts_with('.')) else {
            continue;
        };
        let path = entry.path();
        let kind = entry.file_type()?;
        let linked = level.linked || kind.is_symlink();
        // A directory that goes away between the two calls is one whose files are gone.
        let is_dir = kind.is_dir() || kind.is_symlink() && fs::metadata(&path).is_ok_and(|m| m.is_dir());
        let name = format!("{}{name}", level.prefix);
        if is_dir && level.depth < MAX_DEPTH {
            let below = Level {
                prefix: &format!("{name}/"),
                depth: level.depth + 1,
                linked,
            };
            match list(&path, below, found) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        } else if !is_dir && is_config(&name) {
            found.insert(FileName::new(&name), Found { path, linked });
        }
    }
    Ok(())
}

/// Whether a file of this name is configuration, if it is not hidden.
pub(super) fn is_config(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn is_gone(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
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
