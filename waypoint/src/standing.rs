//! What must stay allowed while it lasts: long streams, changed protocols, connections.
//!
//! A change of routes closes nothing. A change of what is allowed ends what is not allowed any more: every change of the
//! mesh or of policies asks again, for everything that is open.
//!
//! What may last has a [`Standing`]; what is nearly always over at once, a [`Hearing`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use mesh_types::Strng;

use crate::worker::Worker;

/// What is open on a worker.
#[derive(Default)]
pub struct Standings {
    open: Rc<RefCell<Open>>,
    changes: Rc<Changes>,
}

/// Hears of changes while something lasts that is nearly always short: all that it costs is a place in a list. Whether
/// it is still allowed its owner finds out.
pub struct Hearing {
    place: usize,
    heard: u64,
    changes: Rc<Changes>,
}

/// How often something changed, and who hears of it.
#[derive(Default)]
struct Changes {
    count: Cell<u64>,
    places: RefCell<Places>,
}

#[derive(Default)]
struct Places {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Something that is open, until it is dropped.
pub struct Standing {
    key: u64,
    entry: Rc<Entry>,
    open: Rc<RefCell<Open>>,
}

/// What denies it as things are now, if something does.
pub type Check = Box<dyn Fn(&Worker) -> Option<Denied>>;

/// Why something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The policy and its rule.
    pub policy: Strng,
    /// For logs, in a word.
    pub details: &'static str,
}

#[derive(Default)]
struct Open {
    next: u64,
    entries: HashMap<u64, Rc<Entry>>,
}

struct Entry {
    check: Check,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    denied: Option<Denied>,
    waker: Option<Waker>,
}

impl Standings {
    /// Something that was allowed when it began. That may be a while ago: it is asked again at once.
    #[must_use]
    pub fn track(&self, worker: &Worker, check: Check) -> Standing {
        let denied = check(worker);
        let entry = Rc::new(Entry {
            check,
            state: RefCell::new(State { denied, waker: None }),
        });
        let mut open = self.open.borrow_mut();
        let key = open.next;
        open.next += 1;
        open.entries.insert(key, entry.clone());
        Standing {
            key,
            entry,
            open: self.open.clone(),
        }
    }

    /// How often something has changed.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.count.get()
    }

    /// Hears of every change since there were so many.
    #[must_use]
    pub fn hear(&self, since: u64) -> Hearing {
        let mut places = self.changes.places.borrow_mut();
        let place = places.free.pop().unwrap_or_else(|| {
            places.wakers.push(None);
            places.wakers.len() - 1
        });
        Hearing {
            place,
            heard: since,
            changes: self.changes.clone(),
        }
    }

    /// How much is open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.borrow().entries.len()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks again at each change; ends with the worker.
    pub(crate) fn follow(&self, worker: &Rc<Worker>) -> impl Future<Output = ()> + use<> {
        let (mut mesh, mut l7) = (worker.state.generation(), worker.l7_generation());
        let worker = Rc::downgrade(worker);
        async move {
            loop {
                let changed = tokio::select! {
                    changed = mesh.changed() => changed,
                    changed = l7.changed() => changed,
                };
                let (Ok(()), Some(worker)) = (changed, worker.upgrade()) else {
                    return;
                };
                worker.standings.ask_again(&worker);
            }
        }
    }

    fn ask_again(&self, worker: &Worker) {
        self.changes.tell();
        let entries: Vec<_> = self.open.borrow().entries.values().cloned().collect();
        for entry in entries {
            if let Some(denied) = (entry.check)(worker) {
                entry.revoke(denied);
            }
        }
    }
}

impl Entry {
    fn revoke(&self, denied: Denied) {
        let mut state = self.state.borrow_mut();
        state.denied = Some(denied);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Changes {
    fn tell(&self) {
        self.count.set(self.count.get() + 1);
        let wakers: Vec<_> = {
            let mut places = self.places.borrow_mut();
            places.wakers.iter_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Hearing {
    /// Ready once for what has changed since it was the last time.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.changes.count.get();
        if self.heard != now {
            self.heard = now;
            return Poll::Ready(());
        }
        let waker = &mut self.changes.places.borrow_mut().wakers[self.place];
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Resolves at the next change.
    pub async fn changed(&mut self) {
        std::future::poll_fn(|cx| self.poll_changed(cx)).await;
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        let mut places = self.changes.places.borrow_mut();
        let waker = places.wakers[self.place].take();
        places.free.push(self.place);
        drop(places);
        drop(waker);
    }
}

impl Standing {
    /// Whether it is not allowed any more, for somebody else than its owner.
    #[must_use]
    pub(crate) fn watch(&self) -> Watched {
        Watched(self.entry.clone())
    }

    /// What denies it, if something does.
    #[must_use]
    pub(crate) fn denied(&self) -> Option<Denied> {
        self.entry.state.borrow().denied.clone()
    }

    /// Ready once it is not allowed any more.
    pub fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<Denied> {
        let mut state = self.entry.state.borrow_mut();
        if let Some(denied) = &state.denied {
            return Poll::Ready(denied.clone());
        }
        if !state.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Resolves once it is not allowed any more.
    pub async fn revoked(&mut self) -> Denied {
        std::future::poll_fn(|cx| self.poll_revoked(cx)).await
    }
}

/// Something open, seen by somebody else than its owner.
pub(crate) struct Watched(Rc<Entry>);

impl Watched {
    /// Whether it is not allowed any more.
    pub(crate) fn is_denied(&self) -> bool {
        self.0.state.borrow().denied.is_some()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.open.borrow_mut().entries.remove(&self.key);
    }
}
