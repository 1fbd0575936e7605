//! What the kernel tells of the directory: which files to look at, and when.
//!
//! A file that was put in its place in one step, or closed by who wrote it, can be read at once. One that is being
//! written, or is gone, perhaps for a moment only, is looked at when the directory kept still. What is about no single
//! file (directories, links, hidden names that links lead to, lost events) is a reason to look at everything.

use std::collections::BTreeSet;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::scan::{FileName, is_config};

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Everything.
    Everything,
    /// These files; nothing else changed.
    Files {
        /// Which.
        names: BTreeSet<FileName>,
        /// The directory kept still before: nobody is in the middle of something.
        still: bool,
    },
}

/// What was told and not looked at yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Files that can be read.
    whole: BTreeSet<FileName>,
    /// Files that are being written, or may be gone.
    unsettled: BTreeSet<FileName>,
    everything: bool,
}

/// The kernel's notifications for one directory; without them the regular look has to do.
pub(super) struct Watch {
    news: Arc<Mutex<News>>,
    wake: SyncSender<()>,
    woken: Receiver<()>,
    kernel: Kernel,
    /// How often what is unsettled was put off.
    put_off: usize,
}

struct Kernel {
    inode: Option<(u64, u64)>,
    watcher: Option<RecommendedWatcher>,
}

/// When to look though nothing is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unasked {
    /// At everything.
    pub(super) everything: Instant,
    /// At files that lead out of the directory.
    pub(super) links: Option<Instant>,
}

impl Watch {
    pub(super) fn start(dir: &Path) -> Self {
        let (wake, woken) = sync_channel(1);
        let news = Arc::new(Mutex::new(News::default()));
        Self {
            kernel: Kernel::start(dir, &news, &wake),
            news,
            wake,
            woken,
            put_off: 0,
        }
    }

    /// Whether the kernel tells of changes.
    pub(super) fn is_told(&self) -> bool {
        self.kernel.watcher.is_some()
    }

    /// Watches the directory that has the name now, if it is another one.
    pub(super) fn follow(&mut self, dir: &Path) {
        let now = inode(dir);
        if now.is_some() && now != self.kernel.inode {
            self.kernel = Kernel::start(dir, &self.news, &self.wake);
            self.news.lock().everything = true;
        }
    }

    /// Waits for something to look at. `held`: something waits for the directory to keep still.
    pub(super) fn wait(&mut self, unasked: Unasked, held: bool, links: &BTreeSet<FileName>) -> Look {
        loop {
            let due = unasked
                .links
                .map_or(unasked.everything, |l| l.min(unasked.everything));
            let mut news = self.news.lock();
            if news.is_empty() && !held {
                drop(news);
                if self.woken.recv_timeout(left(due)) == Err(RecvTimeoutError::Timeout) {
                    return match left(unasked.everything).is_zero() {
                        true => Look::Everything,
                        false => Look::still(links.clone()),
                    };
                }
                continue;
            }
            if let Some(names) = news.take_whole() {
                return Look::Files { names, still: false };
            }
            drop(news);
            self.put_off += 1;
            let still = self.woken.recv_timeout(QUIET).is_err();
            if still || self.put_off > MAX_QUIET_WAITS {
                self.put_off = 0;
                return std::mem::take(&mut *self.news.lock()).into_look();
            }
        }
    }
}

impl Kernel {
    fn start(dir: &Path, news: &Arc<Mutex<News>>, wake: &SyncSender<()>) -> Self {
        let (news, wake, root) = (news.clone(), wake.clone(), dir.to_owned());
        let notified = move |event: notify::Result<Event>| {
            let changed = match event {
                Ok(event) => news.lock().take(&root, &event),
                // Whatever it is, something may be lost.
                Err(_) => news.lock().lost(),
            };
            if changed {
                // Full: the thread is about to look anyway. Disconnected: it has ended.
                let _ = wake.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notified).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        if let Err(e) = &watcher {
            tracing::warn!("no change notifications, looking again and again instead: {e}");
        }
        Self {
            inode: inode(dir),
            watcher: watcher.ok(),
        }
    }
}

impl Look {
    fn still(names: BTreeSet<FileName>) -> Self {
        Self::Files { names, still: true }
    }
}

impl News {
    /// Takes an event; says whether it is one.
    pub(super) fn take(&mut self, root: &Path, event: &Event) -> bool {
        if event.need_rescan() {
            return self.lost();
        }
        let whole = match event.kind {
            // What is read is no change; a rename is told by its two ends already.
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => true,
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return false,
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => {
                return self.lost();
            }
            _ => false,
        };
        let mut changed = false;
        for path in &event.paths {
            changed |= match Place::of(root, path) {
                Place::File(name) => self.take_file(name, whole),
                Place::Nothing => false,
                Place::Anything => self.lost(),
            };
        }
        changed
    }

    fn take_file(&mut self, name: FileName, whole: bool) -> bool {
        if whole {
            self.unsettled.remove(&name);
            return self.whole.insert(name);
        }
        self.whole.remove(&name);
        // Also where it is known: it does not keep still.
        self.unsettled.insert(name);
        true
    }

    fn lost(&mut self) -> bool {
        self.everything = true;
        true
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Files that can be read now; none in the middle of a burst.
    fn take_whole(&mut self) -> Option<BTreeSet<FileName>> {
        let now = !self.whole.is_empty() && self.whole.len() <= BURST && !self.everything;
        now.then(|| std::mem::take(&mut self.whole))
    }

    fn into_look(self) -> Look {
        if self.everything {
            return Look::Everything;
        }
        let mut names = self.whole;
        names.extend(self.unsettled);
        Look::still(names)
    }
}

/// What a path is to the source.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    File(FileName),
    Nothing,
    /// What it means for files is not known.
    Anything,
}

impl Place {
    fn of(root: &Path, path: &Path) -> Self {
        let Ok(below) = path.strip_prefix(root) else {
            return Self::Anything;
        };
        let mut parts = Vec::new();
        for part in below.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str()),
                _ => return Self::Anything,
            }
        }
        let Some(Some(last)) = parts.pop() else {
            return Self::Anything;
        };
        let Some(above) = parts.into_iter().collect::<Option<Vec<_>>>() else {
            return Self::Nothing;
        };
        // Links may lead to what is hidden.
        if above.iter().any(|name| name.starts_with('.')) {
            return Self::Anything;
        }
        let hidden = last.starts_with('.');
        if !hidden && is_config(last) {
            let mut name = above.join("/");
            if !above.is_empty() {
                name.push('/');
            }
            return Self::File(FileName::new(&(name + last)));
        }
        // Editors' own files come and go; a directory or a link may lead to configuration.
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Self::Nothing,
            Ok(_) => Self::Anything,
            Err(_) if hidden && !last.starts_with("..") => Self::Nothing,
            Err(_) => Self::Anything,
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

fn inode(dir: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(dir).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Editors and copies write a file in several steps, milliseconds apart.
const QUIET: Duration = Duration::from_millis(50);
/// A directory that never keeps still is looked at all the same.
const MAX_QUIET_WAITS: usize = 20;
/// More files than that at once are a copy, or a checkout.
const BURST: usize = 16;

#[cfg(test)]
mod tests;
