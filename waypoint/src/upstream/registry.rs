//! What all workers of this gateway know together of its destinations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mesh_balance::{Counter, Group, Moment, Permit};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::ClusterKey;
use super::names::{Names, Resolve};

/// All destinations. Clones are the same.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    beginning: Instant,
    destinations: Mutex<HashMap<ClusterKey, Arc<Common>>>,
    names: Names,
}

/// One destination: limits and ejections are the gateway's, whichever of its threads is asked.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) group: Arc<Group>,
    /// Told when a connection has ended, where connections are limited.
    pub(crate) ended: Notify,
    /// Some worker asks the endpoints whether they are well.
    checked: AtomicBool,
    /// It was said that endpoints are in other networks.
    told: AtomicBool,
    beginning: Instant,
}

/// Who holds it asks the endpoints whether they are well: one worker for all.
pub(crate) struct Checker(Arc<Common>);

/// A connection that counts.
pub(crate) struct Slot {
    /// Absent for one beyond the limit.
    permit: Option<Permit>,
    common: Arc<Common>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with(Names::of_the_machine())
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// With host names as somebody resolves them, not the machine's servers.
    #[must_use]
    pub fn resolving_by(resolver: Arc<dyn Resolve>) -> Self {
        Self::with(Names::of(resolver))
    }

    fn with(names: Names) -> Self {
        Self {
            inner: Arc::new(Inner {
                beginning: Instant::now(),
                destinations: Mutex::default(),
                names,
            }),
        }
    }

    /// A destination: the same for all who ask.
    pub(super) fn common(&self, key: &ClusterKey) -> Arc<Common> {
        let mut destinations = self.inner.destinations.lock();
        let common = destinations.entry(key.clone()).or_insert_with(|| {
            Arc::new(Common {
                group: Arc::default(),
                ended: Notify::new(),
                checked: AtomicBool::new(false),
                told: AtomicBool::new(false),
                beginning: self.inner.beginning,
            })
        });
        common.clone()
    }

    /// Forgets what no worker uses any more.
    pub(super) fn tidy(&self) {
        let mut destinations = self.inner.destinations.lock();
        destinations.retain(|_, common| {
            common.group.tidy();
            Arc::strong_count(common) > 1
        });
    }

    /// Host names.
    pub(super) fn names(&self) -> &Names {
        &self.inner.names
    }
}

impl Common {
    /// The time as balancers count it.
    pub(crate) fn now(&self) -> Moment {
        Moment::after(self.beginning.elapsed())
    }

    /// So many endpoints are in other networks: whether that is to be said, which it is once as long as there are any.
    pub(crate) fn tells_of_elsewhere(&self, endpoints: usize) -> bool {
        !self.told.swap(endpoints > 0, Ordering::Relaxed) && endpoints > 0
    }

    /// The duty to ask the endpoints, if nobody has it.
    pub(crate) fn checker(self: &Arc<Self>) -> Option<Checker> {
        let taken = self
            .checked
            .compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok().then(|| Checker(self.clone()))
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.0.checked.store(false, Ordering::Release);
    }
}

impl Slot {
    /// One within the limit, if there is one left.
    pub(crate) fn within(common: &Arc<Common>, most: Option<u32>) -> Option<Self> {
        let permit = common.group.permit(Counter::Connections, most)?;
        Some(Self {
            permit: Some(permit),
            common: common.clone(),
        })
    }

    /// One that does not count. A worker that has no connection to an endpoint may have one whatever the others have, as in
    /// Envoy: otherwise a limit below the count of endpoints and workers would starve some of them.
    pub(crate) fn beyond(common: &Arc<Common>) -> Self {
        Self {
            permit: None,
            common: common.clone(),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.permit.take().is_some() {
            self.common.ended.notify_one();
        }
    }
}
