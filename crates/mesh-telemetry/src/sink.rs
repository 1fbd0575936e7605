//! Where lines go: standard output and files. A worker hands over whole pieces; a thread of its own writes them, so that
//! a slow disk holds up nobody but itself. What does not fit into the queue is dropped and counted.
//!
//! # Layout
//! - this file: [`Files`], all files of a process; [`LineBuffer`], one worker's lines for one file.
//! - `file`: one file: opened again when somebody has moved it away.

mod file;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::time::Duration;

use mesh_types::Strng;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};

use file::LogFile;

/// Starts a thread of this name, which ends when nobody can hand it anything any more.
pub type StartThread = dyn Fn(String, Box<dyn FnOnce() + Send>) -> io::Result<()> + Send + Sync;

/// All files of a process. Clones are the same.
#[derive(Clone)]
pub struct Files {
    shared: Arc<Shared>,
    /// Where standard output is.
    standard_output: Strng,
}

struct Shared {
    open: Mutex<HashMap<Strng, FileSink>>,
    start: Box<StartThread>,
    dropped: IntCounterVec,
    /// How often files were to be opened again.
    reopened: Arc<AtomicU64>,
}

/// One file. Clones are the same.
#[derive(Clone, Debug)]
pub struct FileSink {
    sender: SyncSender<Piece>,
    lost: Arc<AtomicU64>,
    dropped: prometheus::IntCounter,
}

/// Whole lines.
struct Piece {
    bytes: Vec<u8>,
    lines: u64,
    /// Somebody waits until everything before is written.
    written: Option<std::sync::mpsc::Sender<()>>,
}

/// One worker's lines for one file, until they are handed over.
#[derive(Debug)]
pub struct LineBuffer {
    sink: FileSink,
    bytes: Vec<u8>,
    lines: u64,
}

impl Files {
    /// No file is open yet. `start` starts threads.
    ///
    /// # Panics
    /// When `registry` has a metric of this name already.
    #[must_use]
    pub fn new(registry: &Registry, start: Box<StartThread>) -> Self {
        let dropped = IntCounterVec::new(
            Opts::new(
                "lateen_access_log_dropped_total",
                "Lines of access logs that were dropped because what writes them was too slow, or could not",
            ),
            &["path"],
        )
        .expect("constant names are valid");
        registry
            .register(Box::new(dropped.clone()))
            .expect("metrics are registered once");
        Self {
            shared: Arc::new(Shared {
                open: Mutex::default(),
                start,
                dropped,
                reopened: Arc::default(),
            }),
            standard_output: STANDARD_OUTPUT.into(),
        }
    }

    /// What is for standard output goes to this file: several proxies in one process have one each.
    #[must_use]
    pub fn with_standard_output(self, path: &str) -> Self {
        Self {
            standard_output: path.into(),
            ..self
        }
    }

    /// A file, which is opened when the first line comes.
    ///
    /// # Errors
    /// When its thread cannot be started, or there are too many files.
    pub fn file(&self, path: &Strng) -> io::Result<FileSink> {
        let path = match path.as_str() {
            STANDARD_OUTPUT => &self.standard_output,
            _ => path,
        };
        let mut open = self.shared.open.lock();
        if let Some(sink) = open.get(path) {
            return Ok(sink.clone());
        }
        if open.len() >= MAX_FILES {
            return Err(io::Error::other(format!("{MAX_FILES} log files at most")));
        }
        let (sender, receiver) = sync_channel(QUEUE);
        let sink = FileSink {
            sender,
            lost: Arc::default(),
            dropped: self.shared.dropped.with_label_values(&[path.as_str()]),
        };
        let (file, lost) = (
            LogFile::new(path, self.shared.reopened.clone()),
            sink.lost.clone(),
        );
        let dropped = sink.dropped.clone();
        let write = Box::new(move || write(file, &receiver, &lost, &dropped));
        (self.shared.start)(format!("log {path}"), write)?;
        open.insert(path.clone(), sink.clone());
        Ok(sink)
    }

    /// Files are opened again before anything more is written: somebody has moved them away.
    pub fn reopen(&self) {
        self.shared.reopened.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until everything that was handed over is written, but no longer than this; says whether it is. Blocks.
    #[must_use]
    pub fn flush(&self, limit: Duration) -> bool {
        let (written, done) = channel();
        let mut wait = 0;
        let mut left = limit;
        for sink in self.shared.open.lock().values() {
            let mut piece = Piece {
                bytes: Vec::new(),
                lines: 0,
                written: Some(written.clone()),
            };
            loop {
                match sink.sender.try_send(piece) {
                    Ok(()) => break wait += 1,
                    // What writes it is gone, and has written everything.
                    Err(TrySendError::Disconnected(_)) => break,
                    Err(TrySendError::Full(_)) if left.is_zero() => return false,
                    Err(TrySendError::Full(back)) => piece = back,
                }
                let pause = left.min(PAUSE);
                std::thread::sleep(pause);
                left -= pause;
            }
        }
        (0..wait).all(|_| done.recv_timeout(limit).is_ok())
    }
}

impl FileSink {
    /// Lines that were dropped so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// One worker's lines for it.
    #[must_use]
    pub fn buffer(&self) -> LineBuffer {
        LineBuffer {
            sink: self.clone(),
            bytes: Vec::new(),
            lines: 0,
        }
    }
}

impl LineBuffer {
    /// Adds a line; it is handed over with others. Says whether it is the first of those that wait.
    pub fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let first = self.bytes.is_empty();
        if first {
            self.bytes.reserve(PIECE);
        }
        write(&mut self.bytes);
        self.lines += 1;
        if self.bytes.len() >= PIECE - LONGEST_USUAL_LINE {
            self.hand_over();
            return false;
        }
        first
    }

    /// Hands over what waits; never waits itself.
    pub fn hand_over(&mut self) {
        if self.lines == 0 {
            return;
        }
        let piece = Piece {
            bytes: std::mem::take(&mut self.bytes),
            lines: std::mem::take(&mut self.lines),
            written: None,
        };
        match self.sink.sender.try_send(piece) {
            Ok(()) => {}
            Err(TrySendError::Full(piece) | TrySendError::Disconnected(piece)) => {
                self.sink.lost.fetch_add(piece.lines, Ordering::Relaxed);
                self.sink.dropped.inc_by(piece.lines);
            }
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Writes until nobody can hand over anything any more.
fn write(mut file: LogFile, pieces: &Receiver<Piece>, lost: &AtomicU64, dropped: &prometheus::IntCounter) {
    while let Ok(piece) = pieces.recv() {
        if let Err(error) = file.write(&piece.bytes) {
            tracing::warn!(path = file.path(), %error, lines = piece.lines, "an access log cannot be written");
            lost.fetch_add(piece.lines, Ordering::Relaxed);
            dropped.inc_by(piece.lines);
        }
        if let Some(written) = piece.written {
            // Whoever waited may have given up.
            let _ = written.send(());
        }
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// Lines are handed over at this size, or when their time has come.
const PIECE: usize = 32 << 10;
const STANDARD_OUTPUT: &str = "/dev/stdout";
/// So that a piece need not grow.
const LONGEST_USUAL_LINE: usize = 2 << 10;
/// Pieces that wait: 8 MiB for each file.
const QUEUE: usize = 256;
const MAX_FILES: usize = 64;
/// Between two tries to ask a writer whose queue is full.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a line may wait for others.
pub const LINGER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
