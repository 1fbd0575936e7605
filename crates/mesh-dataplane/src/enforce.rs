//! Asks again, whenever the state changes, whether each open connection is still allowed.
//!
//! What allowed a connection may end while it is open: a policy arrives, a label changes and another policy now selects
//! the workload, its list of policies grows. So the question is asked of the state as it is now, never of what it was
//! when the connection was accepted, and at every change of the state, whatever changed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

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
    open: Rc<RefCell<OpenConnections<C>>>,
}

struct OpenConnections<C: Recheck> {
    next_key: u64,
    by_key: HashMap<u64, Entry<C>>,
}

struct Entry<C: Recheck> {
    check: C,
    denial: Option<C::Denial>,
    waker: Option<Waker>,
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
        let entry = Entry {
            check,
            denial: None,
            waker: None,
        };
        let key = self.open.borrow_mut().insert(entry);
        let enforced = Enforced {
            key,
            open: self.open.clone(),
        };
        // From here on the driver sees it, too; asking last leaves no gap.
        let open = self.open.borrow();
        let answer = state.query(|view| open.by_key[&key].check.recheck(view));
        drop(open);
        answer.map(|()| enforced)
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
        poll_fn(|cx| {
            let mut open = self.open.borrow_mut();
            let entry = open
                .by_key
                .get_mut(&self.key)
                .expect("an entry stays as long as its handle");
            match entry.denial.take() {
                Some(denial) => Poll::Ready(denial),
                None => {
                    entry.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
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

// === impl OpenConnections ===

impl<C: Recheck> OpenConnections<C> {
    fn insert(&mut self, entry: Entry<C>) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.by_key.insert(key, entry);
        key
    }

    fn recheck(&mut self, view: &View) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for entry in self.by_key.values_mut() {
            if let Err(denial) = entry.check.recheck(view) {
                entry.denial = Some(denial);
                wakers.extend(entry.waker.take());
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
        let wakers = state.query(|view| open.borrow_mut().recheck(view));
        // Outside the query: a woken task may ask the state.
        wakers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
