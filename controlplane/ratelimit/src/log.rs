//! The files of the log: `counters.<number>.log` in a directory of its own. What is in them is [`mesh_quota::journal`]'s.
//!
//! A start reads all of them in order, begins the next one with what counts, and takes the old ones away; nothing is ever
//! appended to a file that another process has written.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mesh_quota::journal::{HEADER, Reader, header};
use mesh_quota::{Counters, Moment};

/// The files, open for appending.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    seed: u64,
    number: u64,
    file: File,
    /// Bytes of the newest file, and how many of them it began with.
    size: u64,
    base: u64,
    /// Of files that go as soon as the newest is complete.
    old: Vec<(PathBuf, u64)>,
    /// Nobody else writes here meanwhile.
    _lock: File,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records that were read.
    pub records: u64,
    /// Bytes that were no records.
    pub damaged: u64,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct LogError {
    path: PathBuf,
    why: String,
}

impl Log {
    /// Reads what is there, and begins a new file with it.
    ///
    /// # Errors
    /// Names the file or directory that cannot be used: also when another process uses it.
    pub fn open(dir: &Path, capacity: usize, now: Moment) -> Result<(Self, Counters, Recovered), LogError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |e: io::Error| LogError {
                path,
                why: e.to_string(),
            }
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(at(dir))?;
        let lock = lock(dir)?;
        // Random enough for what it is for, and different at each start.
        let seed = RandomState::new().build_hasher().finish();
        let mut counters = Counters::new(capacity, seed);
        let (mut recovered, mut old, mut last) = (Recovered::default(), Vec::new(), 0);
        for (number, path) in segments(dir).map_err(at(dir))? {
            let bytes = fs::read(&path).map_err(at(&path))?;
            let mut reader = Reader::new(&bytes).map_err(|_| LogError {
                path: path.clone(),
                why: "is no log of counters".to_owned(),
            })?;
            for record in reader.by_ref() {
                recovered.records += 1;
                counters.recover(record, now);
            }
            recovered.damaged += reader.damaged() as u64;
            old.push((path, bytes.len() as u64));
            last = number;
        }
        let number = last + 1;
        let file = create(dir, number, seed).map_err(at(dir))?;
        let mut log = Self {
            dir: dir.to_owned(),
            seed,
            number,
            file,
            size: HEADER as u64,
            base: 0,
            old,
            _lock: lock,
        };
        let keys = counters.keys();
        for keys in keys.chunks(CHUNK) {
            let mut records = Vec::new();
            counters.snapshot(keys, now, &mut records);
            log.append(&records).map_err(at(dir))?;
        }
        log.sync().and_then(|()| log.complete()).map_err(at(dir))?;
        Ok((log, counters, recovered))
    }

    /// Appends records; [`Self::sync`] makes them durable.
    ///
    /// # Errors
    /// When they cannot be written. Nothing may be written afterwards.
    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        self.file.write_all(records)?;
        self.size += records.len() as u64;
        Ok(())
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When it cannot be. Nothing may be believed afterwards.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether a fresh file would be much shorter.
    #[must_use]
    pub fn is_long(&self, most_grown: u64) -> bool {
        self.old.is_empty() && self.size - self.base > most_grown.max(self.base)
    }

    /// Begins the next file. Everything that counts must be written to it before [`Self::complete`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin_next(&mut self) -> io::Result<()> {
        let next = create(&self.dir, self.number + 1, self.seed)?;
        self.old.push((path(&self.dir, self.number), self.size));
        self.number += 1;
        self.file = next;
        self.size = HEADER as u64;
        Ok(())
    }

    /// Takes older files away: the newest has everything, on the disk.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn complete(&mut self) -> io::Result<()> {
        self.base = self.size;
        for (path, _) in self.old.drain(..) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.size + self.old.iter().map(|(_, size)| size).sum::<u64>()
    }
}

fn create(dir: &Path, number: u64, seed: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path(dir, number))?;
    file.write_all(&header(seed))?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("counters.{number:010}.log"))
}

fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| {
            let number = name.strip_prefix("counters.")?.strip_suffix(".log")?;
            number.parse().ok()
        });
        segments.extend(number.map(|number| (number, entry.path())));
    }
    segments.sort();
    Ok(segments)
}

fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join("lock");
    let failed = |why: String| LogError {
        path: path.clone(),
        why,
    };
    let file = File::create(&path).map_err(|e| failed(e.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failed("another process uses this directory".to_owned())),
        Err(TryLockError::Error(e)) => Err(failed(e.to_string())),
    }
}

/// Counters that are written in one piece.
pub(crate) const CHUNK: usize = 4096;
