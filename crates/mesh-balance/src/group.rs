//! What all workers of a gateway know together of a destination's endpoints.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mesh_types::Strng;
use parking_lot::{Mutex, MutexGuard};

use crate::circuit::Circuits;
use crate::health::Changed;
use crate::{Host, Moment};

/// The endpoints of one destination, and what is counted for it.
#[derive(Debug, Default)]
pub struct Group {
    hosts: Mutex<Hosts>,
    epoch: AtomicU64,
    /// When endpoints are compared next; 0 before the first request.
    compare_at: AtomicU64,
    pub(crate) circuits: Circuits,
}

/// Those that some worker knows.
#[derive(Debug, Default)]
pub(crate) struct Hosts(HashMap<Strng, Weak<Host>>);

impl Group {
    /// The endpoint of this key: the same one for all workers that know it at the same time.
    #[must_use]
    pub fn host(&self, key: &Strng, now: Moment) -> Arc<Host> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.0.get(key).and_then(Weak::upgrade) {
            return host;
        }
        let host = Arc::new(Host::new(key.clone(), now));
        hosts.0.insert(key.clone(), Arc::downgrade(&host));
        host
    }

    /// Forgets endpoints that no worker knows any more.
    pub fn tidy(&self) {
        self.hosts.lock().0.retain(|_, host| host.strong_count() > 0);
    }

    /// All endpoints that some worker knows, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.hosts.lock().0.values().filter_map(Weak::upgrade).collect()
    }

    /// Another one whenever somebody's health changed other than by the passing of time.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// A health check says so.
    pub fn checked(&self, host: &Host, changed: Changed) {
        if host.set_ill(changed == Changed::Ill) {
            self.changed();
        }
    }

    /// Whether an interval is over. Of all who ask only one is told so.
    pub(crate) fn is_time_to_compare(&self, interval: Duration, now: Moment) -> bool {
        let at = self.compare_at.load(Ordering::Relaxed);
        let next = (now + interval).nanos();
        let mine = || {
            self.compare_at
                .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed)
        };
        now.nanos() >= at && mine().is_ok() && at > 0
    }

    pub(crate) fn hosts(&self) -> MutexGuard<'_, Hosts> {
        self.hosts.lock()
    }

    pub(crate) fn changed(&self) {
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

impl Hosts {
    /// How many there are, and how many are left out.
    pub(crate) fn counts(&self, now: Moment) -> (usize, usize) {
        let known = self.0.values().filter_map(Weak::upgrade);
        known.fold((0, 0), |(total, out), host| {
            (total + 1, out + usize::from(host.is_ejected(now)))
        })
    }
}
