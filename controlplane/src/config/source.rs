//! The thread that watches the configuration directory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use serde::Serialize;

use super::files::{ConfigFiles, ContentState, FileChange, FileStatus, Verdict};
use super::last_good::{LastGood, LastGoodError};
use super::scan::{FileName, Scan, ScanError, Scanner};

/// Reads the directory, keeps what is good, and says what changed.
#[derive(Debug)]
pub struct ConfigSource {
    dir: PathBuf,
    scanner: Scanner,
    files: ConfigFiles,
    last_good: LastGood,
    status: StatusBoard,
    /// The directory was read completely at least once.
    read: bool,
    /// The status does not say what is true.
    stale: bool,
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
pub struct StatusBoard(Arc<Mutex<Arc<ConfigStatus>>>);

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
        Ok(Self {
            dir: dir.to_owned(),
            scanner: Scanner::new(dir.to_owned(), kept.records.into_iter().map(|(file, _)| file)),
            files,
            last_good,
            status: StatusBoard::default(),
            read: false,
            stale: true,
        })
    }

    /// Where the status is to be seen.
    #[must_use]
    pub fn status_board(&self) -> StatusBoard {
        self.status.clone()
    }

    /// Looks again and again, whenever something in the directory changes and every few seconds besides, and hands over
    /// what it found until `deliver` says `false`. Blocks: give it a thread.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub fn run(
        mut self,
        mut deliver: impl FnMut(ConfigBatch) -> bool,
    ) -> Result<(), std::convert::Infallible> {
        let (wake, woken) = sync_channel(1);
        let mut watch = Watch::start(&self.dir, wake.clone());
        loop {
            let (batch, pause) = self.step();
            if !deliver(batch) {
                return Ok(());
            }
            wait(&woken, pause);
            watch = watch.kept(&self.dir, &wake);
        }
    }

    /// Looks once. Also says how long to wait at most before the next look.
    pub fn step(&mut self) -> (ConfigBatch, Duration) {
        let (error, pause) = match self.scanner.scan() {
            Ok(scan) => {
                let pause = if scan.unsettled { SETTLE } else { RESCAN };
                self.take_scan(scan);
                (None, pause)
            }
            Err(e) => (Some(e.to_string()), RESCAN),
        };
        let changes = self.files.take_changes();
        let board = self.status.latest();
        if self.stale || board.error != error {
            self.pin_up(&board, error.clone());
        }
        let mut never_good = self.files.never_good();
        never_good.extend(error.filter(|_| !self.read));
        (ConfigBatch { changes, never_good }, pause)
    }

    fn take_scan(&mut self, scan: Scan) {
        let changed = !(scan.changed.is_empty() && scan.removed.is_empty());
        let mut good = Vec::new();
        for (file, text) in scan.changed {
            if let Some(text) = self.take(&file, text.map_err(|e| e.to_string())) {
                good.push((file, text));
            }
        }
        // Before anybody is told of it: what was served once is served again after a restart beside a broken file.
        for e in self.last_good.store(&good) {
            // It counts all the same.
            tracing::error!("last good configuration cannot be kept: {e}");
        }
        for file in &scan.removed {
            self.drop_file(file);
        }
        self.read = true;
        self.stale |= changed;
    }

    /// Replaces the status, and says what was not there before.
    fn pin_up(&mut self, before: &ConfigStatus, error: Option<String>) {
        let status = ConfigStatus {
            directory: self.dir.display().to_string(),
            error,
            files: self.files.status(),
        };
        if let Some(e) = status.error.as_ref().filter(|_| before.error != status.error) {
            tracing::error!("{e}; what was read before still counts");
        }
        let known: BTreeSet<&str> = before.duplicates().collect();
        for duplicate in status.duplicates().filter(|d| !known.contains(d)) {
            tracing::error!("{duplicate}");
        }
        *self.status.0.lock() = Arc::new(status);
        self.stale = false;
    }

    /// Takes a file's content; gives it back if it is good.
    fn take(&mut self, file: &FileName, text: Result<String, String>) -> Option<String> {
        let verdict = match &text {
            Ok(text) => self.files.update(file, text),
            Err(reason) => self.files.unreadable(file, reason),
        };
        match (verdict, text) {
            (Verdict::Good, Ok(text)) => {
                tracing::info!(%file, "configuration read");
                return Some(text);
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

    fn drop_file(&mut self, file: &FileName) {
        tracing::info!(%file, "configuration file is gone, and its objects with it");
        self.files.remove(file);
        if let Err(e) = self.last_good.remove(file) {
            tracing::error!("last good configuration cannot be forgotten: {e}");
        }
    }
}

impl StatusBoard {
    /// The latest status.
    #[must_use]
    pub fn latest(&self) -> Arc<ConfigStatus> {
        self.0.lock().clone()
    }
}

impl ConfigStatus {
    /// Objects that are elsewhere too: one line each.
    pub fn duplicates(&self) -> impl Iterator<Item = &str> {
        let objects = self.files.iter().flat_map(|f| &f.objects);
        objects.filter_map(|o| o.error.as_deref())
    }

    /// How many files are in each state, for metrics.
    #[must_use]
    pub fn count(&self, state: ContentState) -> usize {
        self.files.iter().filter(|f| f.state == state).count()
    }
}

/// The kernel's notifications for one directory; without them the regular look has to do.
struct Watch {
    inode: Option<(u64, u64)>,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    fn start(dir: &Path, wake: SyncSender<()>) -> Self {
        let notified = move |_| match wake.try_send(()) {
            // Full: the thread is about to look anyway. Disconnected: it has ended.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        };
        let watcher = notify::recommended_watcher(notified).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        if let Err(e) = &watcher {
            tracing::warn!("no change notifications, looking every {RESCAN:?} instead: {e}");
        }
        Self {
            inode: inode(dir),
            _watcher: watcher.ok(),
        }
    }

    /// The same watch, or a new one where the directory was replaced by another of its name.
    fn kept(self, dir: &Path, wake: &SyncSender<()>) -> Self {
        let now = inode(dir);
        if now.is_some() && now != self.inode {
            return Self::start(dir, wake.clone());
        }
        self
    }
}

fn inode(dir: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(dir).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Until something changed and then kept still for a moment, at most for `pause`.
fn wait(woken: &Receiver<()>, pause: Duration) {
    if woken.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        return;
    }
    for _ in 0..MAX_QUIET_WAITS {
        if woken.recv_timeout(QUIET).is_err() {
            return;
        }
    }
}

/// Editors and copies write a file in several steps, milliseconds apart.
const QUIET: Duration = Duration::from_millis(50);
/// A directory that never keeps still is looked at all the same.
const MAX_QUIET_WAITS: usize = 20;
/// What notifications miss: links that lead out of the directory, network file systems, lost events.
const RESCAN: Duration = Duration::from_secs(2);
/// How long an emptied file is given to be written.
const SETTLE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests;
