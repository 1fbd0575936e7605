//! Asks again, whenever the state changes, whether each open connection is still allowed.
//!
//! What allowed a connection may end while it is open: a policy arrives, a label changes and another policy now selects
//! the workload, its list of policies grows. So the question is asked of the state as it is now, never of what it was
//! when the connection was accepted, and at every change of the state, whatever changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use mesh_state::{StateReader, View};

/// The question, as one connection asks it.
pub trait Recheck {
    /// Why it is not allowed any more.
    type Denial;

    /// Asks the state as it is now.
    ///
    /// # Errors
    /// Fails with the reason when the connection is to be closed.
    fn recheck(&self, view: &View) -> Result<(), Self::Denial>;
}

/// The open connections of one worker. Clones are the same.
pub struct Enforcer<C: Recheck> {
    open: Rc<RefCell<OpenConnections<C>>>,
}

/// An open connection under enforcement, until it is dropped.
pub struct Enforced<C: Recheck> {
    key: u64,
    entry: Rc<Entry<C>>,
    open: Rc<RefCell<OpenConnections<C>>>,
}

struct OpenConnections<C: Recheck> {
    next_key: u64,
    by_key: HashMap<u64, Rc<Entry<C>>>,
}

struct Entry<C: Recheck> {
    check: C,
    /// Looked at whenever the connection moves bytes, so it must cost next to nothing.
    denial: RefCell<Option<C::Denial>>,
    waker: RefCell<Option<Waker>>,
}

// === impl Enforcer ===

impl<C: Recheck + 'static> Enforcer<C> {
    /// No connection yet, and the future that asks at each change; it ends when the state or the enforcer is gone.
    pub fn new(state: StateReader) -> (Self, impl Future<Output = ()> + use<C>) {
        let open = Rc::new(RefCell::new(OpenConnections {
            next_key: 0,
            by_key: HashMap::new(),
        }));
        let driver = drive(Rc::downgrade(&open), state);
        (Self { open }, driver)
    }

    /// Puts a connection that was just allowed under enforcement. The state may have changed since it was asked:
    /// `state` is asked once more, so that no change falls between the two.
    ///
    /// # Errors
    /// Fails when it is not allowed any more.
    pub fn track(&self, check: C, state: &StateReader) -> Result<Enforced<C>, C::Denial> {
        let entry = Rc::new(Entry {
            check,
            denial: RefCell::new(None),
            waker: RefCell::new(None),
        });
        let enforced = Enforced {
            key: self.open.borrow_mut().insert(entry.clone()),
            entry,
            open: self.open.clone(),
        };
        // From here on the driver sees it, too; asking last leaves no gap.
        state.query(|view| enforced.entry.check.recheck(view))?;
        Ok(enforced)
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.borrow().by_key.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<C: Recheck> Clone for Enforcer<C> {
    fn clone(&self) -> Self {
        Self {
            open: self.open.clone(),
        }
    }
}

impl<C: Recheck> std::fmt::Debug for Enforcer<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enforcer").finish_non_exhaustive()
    }
}

// === impl Enforced ===

impl<C: Recheck> Enforced<C> {
    /// Resolves with the reason once the connection is not allowed any more.
    pub async fn denied(&mut self) -> C::Denial {
        poll_fn(|cx| self.entry.poll_denied(cx)).await
    }
}

impl<C: Recheck> Drop for Enforced<C> {
    fn drop(&mut self) {
        self.open.borrow_mut().by_key.remove(&self.key);
    }
}

impl<C: Recheck> std::fmt::Debug for Enforced<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enforced").finish_non_exhaustive()
    }
}

// === impl Entry ===

impl<C: Recheck> Entry<C> {
    fn poll_denied(&self, cx: &mut Context<'_>) -> Poll<C::Denial> {
        if let Some(denial) = self.denial.borrow_mut().take() {
            return Poll::Ready(denial);
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

// === impl OpenConnections ===

impl<C: Recheck> OpenConnections<C> {
    fn insert(&mut self, entry: Rc<Entry<C>>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.by_key.insert(key, entry);
        key
    }

    fn recheck(&self, view: &View) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for entry in self.by_key.values() {
            if let Err(denial) = entry.check.recheck(view) {
                *entry.denial.borrow_mut() = Some(denial);
                wakers.extend(entry.waker.borrow_mut().take());
            }
        }
        wakers
    }
}

async fn drive<C: Recheck>(open: Weak<RefCell<OpenConnections<C>>>, state: StateReader) {
    let mut generation = state.generation();
    while generation.changed().await.is_ok() {
        let Some(open) = open.upgrade() else {
            return;
        };
        let wakers = state.query(|view| open.borrow().recheck(view));
        // Outside the query: a woken task may ask the state.
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
