//! One file: opened when something is to be written, and again when somebody has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_types::Strng;

pub(super) struct LogFile {
    path: Strng,
    open: Option<Open>,
    /// How often it was to be opened again, and how often that was done.
    wanted: Arc<AtomicU64>,
    done: u64,
}

struct Open {
    file: File,
    device: u64,
    inode: u64,
}

impl LogFile {
    pub(super) fn new(path: &Strng, reopened: Arc<AtomicU64>) -> Self {
        Self {
            path: path.clone(),
            open: None,
            done: reopened.load(Ordering::Relaxed),
            wanted: reopened,
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.path.as_str() {
            "/dev/stdout" => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            "/dev/stderr" => io::stderr().lock().write_all(bytes),
            _ => self.append(bytes),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Whoever rotates moves the file away: what is at the path now is another one, or none.
        let wanted = self.wanted.load(Ordering::Relaxed);
        if std::mem::replace(&mut self.done, wanted) != wanted {
            self.open = None;
        }
        let moved = self.open.as_ref().is_none_or(|open| {
            let found = std::fs::metadata(self.path.as_str());
            found.map_or(true, |found| {
                (found.dev(), found.ino()) != (open.device, open.inode)
            })
        });
        if moved {
            self.open = None;
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(self.path.as_str())?;
            let of = file.metadata()?;
            self.open = Some(Open {
                file,
                device: of.dev(),
                inode: of.ino(),
            });
        }
        match &mut self.open {
            Some(open) => open.file.write_all(bytes),
            None => Ok(()),
        }
    }
}
