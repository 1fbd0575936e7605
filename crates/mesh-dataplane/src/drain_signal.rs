//! A drain, as the connections of one worker see it.
//!
//! Every connection could watch the drain itself, but then each would take the drain's lock whenever bytes arrive. Here a
//! connection looks at one flag of its own thread, and one task per listener and worker watches the drain.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mesh_runtime::drain::DrainWatcher;
use tokio::sync::oneshot;

/// The signal on a worker. When it is dropped, [`DrainSignal::new`]'s future ends.
#[derive(Debug)]
pub struct DrainSignal {
    shared: Rc<Shared>,
    _alive: oneshot::Sender<()>,
}

/// One connection's view of the signal.
#[derive(Debug)]
pub struct DrainListener {
    key: Option<u64>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    phase: Cell<Phase>,
    next_key: Cell<u64>,
    wakers: RefCell<HashMap<u64, Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Cut,
}

// === impl DrainSignal ===

impl DrainSignal {
    /// The signal, and the future that follows `drain`; it ends at the cut, or when the signal is dropped.
    pub fn new(drain: DrainWatcher) -> (Self, impl Future<Output = ()>) {
        let (alive, gone) = oneshot::channel();
        let shared = Rc::new(Shared {
            phase: Cell::new(Phase::Running),
            next_key: Cell::new(0),
            wakers: RefCell::default(),
        });
        let follow = follow(shared.clone(), drain, gone);
        let signal = Self {
            shared,
            _alive: alive,
        };
        (signal, follow)
    }

    /// For one connection.
    #[must_use]
    pub fn listener(&self) -> DrainListener {
        DrainListener {
            key: None,
            shared: self.shared.clone(),
        }
    }
}

async fn follow(shared: Rc<Shared>, mut drain: DrainWatcher, gone: oneshot::Receiver<()>) {
    let phases = async {
        drain.draining().await;
        shared.enter(Phase::Draining);
        drain.cut().await;
        shared.enter(Phase::Cut);
    };
    tokio::select! {
        () = phases => {}
        // Nobody sends: the signal is gone, and with it the last connection.
        _ = gone => {}
    }
}

// === impl DrainListener ===

impl DrainListener {
    /// Resolves when the connection is to end by itself.
    pub async fn draining(&mut self) {
        poll_fn(|cx| self.poll_phase(cx, Phase::Draining)).await;
    }

    /// Runs the connection; at the cut it is dropped.
    pub async fn until_cut(mut self, connection: impl Future<Output = ()>) {
        let mut connection = std::pin::pin!(connection);
        poll_fn(|cx| match self.poll_phase(cx, Phase::Cut) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => connection.as_mut().poll(cx),
        })
        .await;
    }

    fn poll_phase(&mut self, cx: &mut Context<'_>, wanted: Phase) -> Poll<()> {
        if self.shared.phase.get() >= wanted {
            return Poll::Ready(());
        }
        // A spawned task keeps its waker for life, so that once is enough.
        self.key.get_or_insert_with(|| self.shared.register(cx.waker()));
        Poll::Pending
    }
}

impl Drop for DrainListener {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.wakers.borrow_mut().remove(&key);
        }
    }
}

// === impl Shared ===

impl Shared {
    fn register(&self, waker: &Waker) -> u64 {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        self.wakers.borrow_mut().insert(key, waker.clone());
        key
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        // Kept for the next phase; waking runs nothing here, it only queues tasks.
        self.wakers.borrow().values().for_each(Waker::wake_by_ref);
    }
}

#[cfg(test)]
mod tests;
