//! The thread that writes log lines.
//!
//! Producers append to a buffer under a lock; the thread takes the whole buffer and writes it at once. It is woken by the
//! first line after a silence only, and then collects for [`BATCH`]: waking a thread for each line cost a fifth of the
//! CPU time of a new connection. Nothing is lost: when [`CAPACITY`] bytes wait, producers wait too.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Starts the thread, which writes to `out`.
pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(LineWriter, LogGuard)> {
    let queue = Arc::new(Queue::default());
    let thread = std::thread::Builder::new().name("log".to_owned()).spawn({
        let queue = queue.clone();
        move || queue.run(out)
    })?;
    let guard = LogGuard {
        queue: queue.clone(),
        thread: Some(thread),
    };
    Ok((LineWriter { queue }, guard))
}

/// Where formatted lines go in.
#[derive(Clone)]
pub(super) struct LineWriter {
    queue: Arc<Queue>,
}

/// Writes out what is queued and ends the thread when dropped.
pub struct LogGuard {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// The thread waits to be woken.
    asleep: bool,
    closed: bool,
}

// === impl Queue ===

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut state = self.state.lock();
        while state.lines.len() >= CAPACITY && !state.closed {
            self.filled.notify_one();
            self.emptied.wait(&mut state);
        }
        if state.closed {
            // The thread is gone or going: lines after the end are for whoever watches the terminal.
            drop(state);
            let _ = io::stderr().write_all(line);
            return;
        }
        state.lines.extend_from_slice(line);
        if std::mem::take(&mut state.asleep) {
            self.filled.notify_one();
        }
    }

    fn run(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut state = self.state.lock();
            if state.lines.is_empty() && !state.closed {
                state.asleep = true;
                while state.asleep && !state.closed {
                    self.filled.wait(&mut state);
                }
            }
            if !state.closed && state.lines.len() < CAPACITY {
                // Ends early when the guard is dropped or a producer finds the buffer full.
                self.filled.wait_for(&mut state, BATCH);
            }
            std::mem::swap(&mut state.lines, &mut taken);
            let closed = state.closed;
            drop(state);
            self.emptied.notify_all();
            // A closed standard output must not take the proxy down.
            let _ = out.write_all(&taken).and_then(|()| out.flush());
            taken.clear();
            taken.shrink_to(KEPT_BUFFER);
            if closed {
                return;
            }
        }
    }
}

// === impl LineWriter ===

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

// === impl LogGuard ===

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.queue.state.lock().closed = true;
        self.queue.filled.notify_one();
        self.queue.emptied.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for LogGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogGuard").finish_non_exhaustive()
    }
}

/// How long lines are collected before they are written; nobody reads faster.
const BATCH: Duration = Duration::from_millis(5);
/// Bytes that may wait: about 10,000 access-log lines.
const CAPACITY: usize = 4 * 1024 * 1024;
/// What the thread keeps of its buffer after a burst.
const KEPT_BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests;
