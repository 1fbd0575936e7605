//! The thread that watches the configuration directory.
//!
//! A change of one file costs as much as that file: it is looked at alone, as soon as it can be read, and its status alone
//! is stated anew. Only what would take an object away waits until the directory keeps still, since the object may be on
//! its way from one file to another.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::files::{ConfigFiles, ContentState, FileChange, FileStatus, Verdict};
use super::last_good::{self, Keep, LastGood, LastGoodError};
use super::scan::{FileName, Scan, ScanError, Scanner};
use super::watch::{Look, Unasked, Watch};

/// Reads the directory, keeps what is good, and says what changed.
#[derive(Debug)]
pub struct ConfigSource {
    dir: PathBuf,
    last_good: LastGood,
    reader: Reader,
}

/// Everything but the disk that good contents are kept on.
#[derive(Debug)]
struct Reader {
    scanner: Scanner,
    files: ConfigFiles,
    status: StatusBoard,
    /// The directory was read completely at least once.
    read: bool,
    /// Something that would take an object away waits for the directory to keep still.
    held: bool,
}

/// What one look brought.
#[derive(Debug, Default)]
struct Looked {
    batch: ConfigBatch,
    /// Look at everything before long.
    unsettled: bool,
}

/// What one look at the directory brought.
#[derive(Debug, Default)]
pub struct ConfigBatch {
    /// Objects that changed.
    pub changes: Vec<FileChange>,
    /// Why the configuration is not known completely: files that never were good, a directory that never could be read.
    /// Empty when it is.
    pub never_good: Vec<String>,
}

/// Where the latest status is pinned up.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<Pinned>>);

#[derive(Debug, Default)]
struct Pinned {
    directory: String,
    error: Option<String>,
    files: BTreeMap<FileName, FileStatus>,
    work: Work,
}

/// How much was done so far: tests hold "a change costs what changed" to this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Files that were looked at.
    pub looks: u64,
    /// Contents that were parsed.
    pub parsed: u64,
    /// Statuses of files that were made.
    pub stated: u64,
}

/// The status of the whole directory, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConfigStatus {
    /// The directory.
    pub directory: String,
    /// Why it cannot be listed at present; what was known stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every file.
    pub files: Vec<FileStatus>,
}

/// The source cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be listed.
    #[error(transparent)]
    Directory(#[from] ScanError),
    /// The state directory cannot be used.
    #[error("last good configuration: {0}")]
    State(#[from] LastGoodError),
}

impl ConfigSource {
    /// A source for `dir`, with what the state directory remembers of it.
    ///
    /// # Errors
    /// Fails when `dir` cannot be listed or the state directory not be used.
    pub fn open(dir: &Path, state_dir: &Path) -> Result<Self, OpenError> {
        let listed = std::fs::read_dir(dir).map_err(|source| ScanError {
            path: dir.to_owned(),
            source,
        });
        drop(listed?);
        let mut last_good = LastGood::open(state_dir)?;
        let kept = last_good.load()?;
        for error in kept.unreadable {
            tracing::warn!("a last good configuration is lost: {error}");
        }
        let mut files = ConfigFiles::default();
        for (file, text) in &kept.records {
            if files.update(file, text) != Verdict::Good {
                tracing::warn!(%file, "the last good content is not good to this version");
                files.remove(file);
            }
        }
        let status = StatusBoard::default();
        status.0.lock().directory = dir.display().to_string();
        Ok(Self {
            dir: dir.to_owned(),
            last_good,
            reader: Reader {
                scanner: Scanner::new(dir.to_owned(), kept.records.into_iter().map(|(file, _)| file)),
                files,
                status,
                read: false,
                held: false,
            },
        })
    }

    /// Where the status is to be seen.
    #[must_use]
    pub fn status_board(&self) -> StatusBoard {
        self.reader.status.clone()
    }

    /// Looks at what changes, as soon as it can be read, at everything now and then, and hands over what it found until
    /// `deliver` says `false`. Blocks: give it a thread.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub fn run(self, deliver: impl FnMut(ConfigBatch) -> bool) -> Result<(), Infallible> {
        let Self {
            dir,
            mut last_good,
            reader,
        } = self;
        thread::scope(|threads| {
            // The disk is slow, and nobody has to wait for it.
            let (keep, kept) = std::sync::mpsc::channel();
            threads.spawn(move || last_good::keep_all(&mut last_good, &kept));
            reader.run(&dir, &keep, deliver);
        });
        Ok(())
    }

    /// Looks at everything once, and keeps what is good. Also says whether to look again before long.
    pub fn step(&mut self) -> (ConfigBatch, bool) {
        self.look(&Look::Everything)
    }

    /// Looks once, and keeps what is good. Also says whether to look at everything before long.
    pub fn look(&mut self, look: &Look) -> (ConfigBatch, bool) {
        let last_good = &mut self.last_good;
        let looked = self.reader.look(look, |orders, _| last_good.carry_out(orders));
        (looked.batch, looked.unsettled)
    }
}

impl Reader {
    fn run(mut self, dir: &Path, keep: &Sender<Keep>, mut deliver: impl FnMut(ConfigBatch) -> bool) {
        let mut watch = Watch::start(dir);
        let mut look = Look::Everything;
        let mut unasked = Unasked {
            everything: Instant::now(),
            links: None,
        };
        loop {
            let looked = self.look(&look, |orders, broken| give(keep, orders, broken));
            self.put_off(&mut unasked, &look, &watch);
            if looked.unsettled {
                unasked.everything = unasked.everything.min(Instant::now() + SETTLE);
            }
            if !deliver(looked.batch) {
                return;
            }
            look = watch.wait(unasked, self.held, self.scanner.links());
            watch.follow(dir);
        }
    }

    /// When to look next though nothing is told; without the kernel's word, at everything again and again.
    fn put_off(&self, unasked: &mut Unasked, looked_at: &Look, watch: &Watch) {
        let now = Instant::now();
        if *looked_at == Look::Everything {
            let files = u32::try_from(self.scanner.len()).unwrap_or(u32::MAX);
            let rare = RESCAN + RESCAN_OF_FILE.saturating_mul(files);
            unasked.everything = now + if watch.is_told() { rare } else { RESCAN };
        }
        let links = !self.scanner.links().is_empty();
        let waiting = unasked.links.filter(|at| *at > now);
        unasked.links = links.then(|| waiting.unwrap_or(now + RESCAN));
    }

    /// Looks once. `keep` is told what to do about last good contents, and whether some file is broken, before anybody
    /// else hears of it.
    fn look(&mut self, look: &Look, keep: impl FnOnce(Vec<Keep>, bool)) -> Looked {
        let (scan, still) = match look {
            Look::Everything => (self.scanner.scan(), true),
            Look::Files { names, still } => (Ok(self.scanner.look_at(names)), *still),
        };
        let everything = *look == Look::Everything;
        let mut looked = Looked::default();
        let mut error = None;
        match scan {
            Ok(scan) => {
                looked.unsettled = scan.unsettled;
                let (orders, broken) = self.take_scan(scan);
                keep(orders, broken);
                self.read |= everything;
            }
            Err(e) => error = Some(e.to_string()),
        }
        self.held = !still && self.files.removes();
        if !self.held {
            looked.batch.changes = self.files.take_changes();
        }
        if everything {
            self.status.explain(error.clone());
        }
        self.status.pin_up(self.files.take_statuses());
        self.status.count_work(self.scanner.looks(), self.files.parsed());
        looked.batch.never_good = self.files.never_good();
        if !self.read {
            looked.batch.never_good.extend(error);
        }
        looked
    }

    fn take_scan(&mut self, scan: Scan) -> (Vec<Keep>, bool) {
        let (mut orders, mut broken) = (Vec::new(), false);
        for (file, text) in scan.changed {
            match self.take(file, text.map_err(|e| e.to_string())) {
                Some(order) => orders.push(order),
                None => broken = true,
            }
        }
        for file in scan.removed {
            tracing::info!(%file, "configuration file is gone, and its objects with it");
            self.files.remove(&file);
            orders.push(Keep::Forget(file));
        }
        (orders, broken)
    }

    /// Takes a file's content; nothing if it is broken.
    fn take(&mut self, file: FileName, text: Result<String, String>) -> Option<Keep> {
        let verdict = match &text {
            Ok(text) => self.files.update(&file, text),
            Err(reason) => self.files.unreadable(&file, reason),
        };
        match (verdict, text) {
            (Verdict::Good, Ok(text)) => {
                tracing::info!(%file, "configuration read");
                return Some(Keep::Content(file, text));
            }
            (Verdict::KeptLastGood(errors), _) => {
                for error in errors {
                    tracing::error!("{error} (the last good content of this file still counts)");
                }
            }
            (Verdict::NeverGood(errors), _) => {
                for error in errors {
                    tracing::error!("{error} (nothing of this file counts)");
                }
            }
            (Verdict::Good, Err(_)) | (Verdict::StillBroken, _) => {}
        }
        None
    }
}

/// Hands orders to whoever keeps contents. Beside a broken file, what is kept of it must be on the disk.
fn give(keep: &Sender<Keep>, orders: Vec<Keep>, broken: bool) {
    for order in orders {
        // Whoever keeps ends after this thread.
        drop(keep.send(order));
    }
    if broken {
        let (done, told) = sync_channel(1);
        drop(keep.send(Keep::Tell(done)));
        // An error: the thread that keeps has ended, and so does everything.
        let _ = told.recv();
    }
}

impl StatusBoard {
    /// The latest status.
    #[must_use]
    pub fn latest(&self) -> ConfigStatus {
        let pinned = self.0.lock();
        ConfigStatus {
            directory: pinned.directory.clone(),
            error: pinned.error.clone(),
            files: pinned.files.values().cloned().collect(),
        }
    }

    /// How many files are in each state, for metrics.
    #[must_use]
    pub fn count(&self, state: ContentState) -> usize {
        let pinned = self.0.lock();
        pinned.files.values().filter(|f| f.state == state).count()
    }

    /// How much was done so far.
    #[must_use]
    pub fn work(&self) -> Work {
        self.0.lock().work
    }

    fn count_work(&self, looks: u64, parsed: u64) {
        let work = &mut self.0.lock().work;
        (work.looks, work.parsed) = (looks, parsed);
    }

    /// Why the directory cannot be listed, or that it can.
    fn explain(&self, error: Option<String>) {
        let mut pinned = self.0.lock();
        if pinned.error != error {
            if let Some(e) = &error {
                tracing::error!("{e}; what was read before still counts");
            }
            pinned.error = error;
        }
    }

    /// Replaces the status of some files, and says which objects were not elsewhere too before.
    fn pin_up(&self, statuses: Vec<(FileName, Option<FileStatus>)>) {
        let mut pinned = self.0.lock();
        for (file, status) in statuses {
            pinned.work.stated += 1;
            let Some(status) = status else {
                pinned.files.remove(&file);
                continue;
            };
            let before = pinned.files.get(&file);
            let known: BTreeSet<&str> = before.into_iter().flat_map(FileStatus::duplicates).collect();
            for duplicate in status.duplicates().filter(|d| !known.contains(d)) {
                tracing::error!("{duplicate}");
            }
            pinned.files.insert(file, status);
        }
    }
}

/// What notifications miss: links that lead out of the directory, network file systems, lost events.
const RESCAN: Duration = Duration::from_secs(2);
/// A look at everything costs some microseconds for each file: in a large directory it is rare.
const RESCAN_OF_FILE: Duration = Duration::from_millis(1);
/// How long an emptied file is given to be written.
const SETTLE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
