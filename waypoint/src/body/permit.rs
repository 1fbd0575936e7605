//! A body that waits for the endpoint to ask for it (`Expect: 100-continue`; RFC 9110, section 10.1.1): whoever reads its
//! first byte makes hyper tell the client to go on, so that the client is told when the endpoint says so.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Sleep, sleep};

/// Whether the body may be read. Clones are the same; hyper calls back from wherever it likes.
#[derive(Clone, Debug, Default)]
pub struct Permit {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    given: AtomicBool,
    waker: AtomicWaker,
}

/// One wait for it.
pub(super) struct Waiting {
    permit: Permit,
    patience: Pin<Box<Sleep>>,
}

impl Permit {
    /// It may be read from now on.
    pub fn give(&self) {
        self.shared.given.store(true, Ordering::Release);
        self.shared.waker.wake();
    }

    /// Whether it may.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.shared.given.load(Ordering::Acquire)
    }
}

impl Waiting {
    pub(super) fn new(permit: Permit) -> Self {
        Self {
            permit,
            patience: Box::pin(sleep(PATIENCE)),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.permit.shared.waker.register(cx.waker());
        if self.permit.is_given() {
            return Poll::Ready(());
        }
        // Servers that do not know the expectation say nothing.
        let over = self.patience.as_mut().poll(cx);
        if over.is_ready() {
            self.permit.give();
        }
        over
    }
}

/// As most clients wait (curl: 1 s).
const PATIENCE: Duration = Duration::from_secs(1);
