//! Key sets that are elsewhere: what is known of them, shared by all workers and the control thread, which fetches them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::Strng;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::keys::Keys;

/// All key sets. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct KeySets {
    sets: Arc<Mutex<HashMap<Strng, Arc<KeySet>>>>,
}

/// One key set.
#[derive(Debug)]
pub struct KeySet {
    state: watch::Sender<Fetched>,
    /// Somebody met a key that is not among those that are known.
    pub(super) wanted: Notify,
}

/// What is known of a key set.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// The last keys that could be fetched.
    pub keys: Option<Arc<Keys>>,
    /// Why the last attempt failed.
    pub error: Option<Strng>,
    /// Attempts so far.
    pub attempts: u64,
    /// Nobody's unknown key makes them be fetched again before.
    pub not_before: Option<Instant>,
}

impl KeySets {
    /// The key set of this address.
    #[must_use]
    pub fn at(&self, uri: &Strng) -> Arc<KeySet> {
        let mut sets = self.sets.lock();
        if let Some(set) = sets.get(uri) {
            return set.clone();
        }
        let set = Arc::new(KeySet {
            state: watch::channel(Fetched::default()).0,
            wanted: Notify::new(),
        });
        sets.insert(uri.clone(), set.clone());
        set
    }

    /// Forgets all others.
    pub(super) fn retain(&self, wanted: impl Fn(&Strng) -> bool) {
        self.sets.lock().retain(|uri, _| wanted(uri));
    }

    /// Everything, by address.
    #[must_use]
    pub fn all(&self) -> Vec<(Strng, Fetched)> {
        let sets = self.sets.lock();
        let mut all: Vec<_> = sets.iter().map(|(uri, set)| (uri.clone(), set.now())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

impl KeySet {
    /// What is known of it.
    #[must_use]
    pub fn now(&self) -> Fetched {
        self.state.borrow().clone()
    }

    /// Its keys; those of an earlier time where the last attempt failed. Waits for the first attempt, but not longer
    /// than this.
    pub(super) async fn keys(&self, patience: Duration) -> Option<Arc<Keys>> {
        let mut state = self.state.subscribe();
        let tried = state.wait_for(|fetched| fetched.keys.is_some() || fetched.attempts > 0);
        let tried = timeout(patience, tried).await.ok()?;
        tried.ok()?.keys.clone()
    }

    /// Its keys, fetched anew because a token names one that is not among those that are known; `None` where they were
    /// fetched only just now, so that nobody can make us ask all the time.
    pub(super) async fn newer_keys(&self, patience: Duration) -> Option<Arc<Keys>> {
        let mut state = self.state.subscribe();
        let attempts = {
            let fetched = state.borrow_and_update();
            if fetched.not_before.is_some_and(|at| Instant::now() < at) {
                return None;
            }
            fetched.attempts
        };
        self.wanted.notify_one();
        let again = state.wait_for(|fetched| fetched.attempts > attempts);
        let again = timeout(patience, again).await.ok()?;
        again.ok()?.keys.clone()
    }

    /// An attempt is over.
    pub(super) fn attempted(&self, result: Result<Keys, Strng>, not_before: Instant) {
        self.state.send_modify(|fetched| {
            fetched.attempts += 1;
            fetched.not_before = Some(not_before);
            match result {
                Ok(keys) => {
                    fetched.keys = Some(Arc::new(keys));
                    fetched.error = None;
                }
                Err(error) => fetched.error = Some(error),
            }
        });
    }
}
