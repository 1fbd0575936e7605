//! Named tasks: a critical one that ends or panics fails the process with its name.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What a task is called in logs and failures.
pub type TaskName = Cow<'static, str>;

/// A spawner and the place where failures are awaited.
#[must_use]
pub fn supervisor() -> (Tasks, Failures) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let tasks = Tasks {
        shared: Arc::new(Shared {
            failures: sender,
            stopping: AtomicBool::new(false),
        }),
    };
    (tasks, Failures { receiver })
}

/// Spawns named tasks and threads. Cheap to clone and to send to other threads; spawning happens on the caller's
/// runtime.
#[derive(Clone, Debug)]
pub struct Tasks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    failures: mpsc::UnboundedSender<TaskFailure>,
    stopping: AtomicBool,
}

/// Yields the failures of critical tasks, and the panics of all.
#[derive(Debug)]
pub struct Failures {
    receiver: mpsc::UnboundedReceiver<TaskFailure>,
}

/// A task that must not have ended has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task {name:?} {why}")]
pub struct TaskFailure {
    /// The task.
    pub name: TaskName,
    /// How it ended.
    pub why: TaskEnd,
}

/// How a failed task ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskEnd {
    /// It returned although the process was not stopping.
    #[error("ended although it must run as long as the process")]
    Returned,
    /// It returned an error.
    #[error("failed: {0}")]
    Error(String),
    /// It panicked.
    #[error("panicked: {0}")]
    Panicked(String),
}

// === impl Tasks ===

impl Tasks {
    /// Spawns a task that must run until the process stops.
    pub fn critical<E: Display + 'static>(
        &self,
        name: impl Into<TaskName>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.clone().watch_critical(name.into(), task))
    }

    /// [`Tasks::critical`] on the current thread's `LocalRuntime` or `LocalSet`.
    pub fn critical_local<E: Display + 'static>(
        &self,
        name: impl Into<TaskName>,
        task: impl Future<Output = Result<(), E>> + 'static,
    ) -> JoinHandle<()> {
        tokio::task::spawn_local(self.clone().watch_critical(name.into(), task))
    }

    /// Spawns a task that may end whenever it is done; only a panic is a failure.
    pub fn spawn(
        &self,
        name: impl Into<TaskName>,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        tokio::spawn(self.clone().watch_panic(name.into(), task))
    }

    /// [`Tasks::spawn`] on the current thread's `LocalRuntime` or `LocalSet`.
    pub fn spawn_local(
        &self,
        name: impl Into<TaskName>,
        task: impl Future<Output = ()> + 'static,
    ) -> JoinHandle<()> {
        tokio::task::spawn_local(self.clone().watch_panic(name.into(), task))
    }

    /// Starts an operating-system thread that must run until the process stops.
    ///
    /// # Errors
    /// Fails when the thread cannot be started.
    pub fn critical_thread<E: Display + 'static>(
        &self,
        name: impl Into<TaskName>,
        body: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let (name, tasks) = (name.into(), self.clone());
        std::thread::Builder::new()
            .name(name.clone().into_owned())
            .spawn(move || {
                let end = catch_unwind(AssertUnwindSafe(body));
                tasks.critical_ended(name, end);
            })
    }

    /// From now on a critical task may return.
    pub fn stopping(&self) {
        self.shared.stopping.store(true, Ordering::Release);
    }

    async fn watch_critical<E: Display>(self, name: TaskName, task: impl Future<Output = Result<(), E>>) {
        let end = AssertUnwindSafe(task).catch_unwind().await;
        self.critical_ended(name, end);
    }

    /// No `async fn`: that would have room for the task twice, as it came and as it is run, and each request of HTTP/2 is one.
    fn watch_panic<F: Future<Output = ()>>(
        self,
        name: TaskName,
        task: F,
    ) -> impl Future<Output = ()> + use<F> {
        AssertUnwindSafe(task).catch_unwind().map(move |end| {
            if let Err(panic) = end {
                self.fail(name, TaskEnd::Panicked(panic_text(&*panic)));
            }
        })
    }

    fn critical_ended<E: Display>(&self, name: TaskName, end: Result<Result<(), E>, Box<dyn Any + Send>>) {
        match end {
            Ok(Ok(())) if self.shared.stopping.load(Ordering::Acquire) => {
                tracing::debug!(task = %name, "task finished");
            }
            Ok(Ok(())) => self.fail(name, TaskEnd::Returned),
            Ok(Err(e)) => self.fail(name, TaskEnd::Error(e.to_string())),
            Err(panic) => self.fail(name, TaskEnd::Panicked(panic_text(&*panic))),
        }
    }

    fn fail(&self, name: TaskName, why: TaskEnd) {
        let failure = TaskFailure { name, why };
        tracing::error!("{failure}");
        // Nobody listens any more only when the process is on its way out.
        let _ = self.shared.failures.send(failure);
    }
}

// === impl Failures ===

impl Failures {
    /// The next failure; never resolves when no task is left that could fail.
    pub async fn next(&mut self) -> TaskFailure {
        match self.receiver.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
