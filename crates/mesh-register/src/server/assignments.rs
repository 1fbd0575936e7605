//! What belongs on which place. A stream compares it with what it has sent, so that a slow place costs no queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mesh_types::NamespacedName;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{Assignment, Place};

/// What belongs on each place. Clones share it.
#[derive(Clone, Debug)]
pub struct Assignments {
    shared: Arc<Shared>,
}

/// What belongs on one place.
pub(super) type OnPlace = Arc<BTreeMap<NamespacedName, Arc<Assignment>>>;

#[derive(Debug)]
struct Shared {
    places: Mutex<HashMap<Place, watch::Sender<OnPlace>>>,
    ready: watch::Sender<bool>,
}

impl Default for Assignments {
    fn default() -> Self {
        Self::new()
    }
}

impl Assignments {
    /// Nothing belongs anywhere. Streams are refused until [`Assignments::set_ready`]: a place must not take an empty
    /// list for the truth.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                places: Mutex::new(HashMap::new()),
                ready: watch::Sender::new(false),
            }),
        }
    }

    /// A workload belongs on a place, in this way.
    pub fn assign(&self, place: &Place, assignment: Assignment) {
        self.change(place, |map| {
            let same = map
                .get(&assignment.workload)
                .is_some_and(|before| **before == assignment);
            if !same {
                Arc::make_mut(map).insert(assignment.workload.clone(), Arc::new(assignment));
            }
            !same
        });
    }

    /// A workload no longer belongs on a place.
    pub fn unassign(&self, place: &Place, workload: &NamespacedName) {
        self.change(place, |map| {
            map.contains_key(workload) && Arc::make_mut(map).remove(workload).is_some()
        });
    }

    /// What belongs on a place, as it is now.
    #[must_use]
    pub fn on(&self, place: &Place) -> Vec<Arc<Assignment>> {
        let places = self.shared.places.lock();
        places
            .get(place)
            .map(|of| of.borrow().values().cloned().collect())
            .unwrap_or_default()
    }

    /// Everything that was known at start is assigned: streams are accepted from now on.
    pub fn set_ready(&self) {
        self.shared.ready.send_replace(true);
    }

    /// Whether streams are accepted.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.ready.borrow()
    }

    pub(super) fn watch(&self, place: &Place) -> watch::Receiver<OnPlace> {
        let mut places = self.shared.places.lock();
        // Places without workloads and without a stream are dropped whenever one joins.
        places.retain(|name, of| name == place || of.receiver_count() > 0 || !of.borrow().is_empty());
        places
            .entry(place.clone())
            .or_insert_with(|| watch::Sender::new(Arc::default()))
            .subscribe()
    }

    fn change(&self, place: &Place, change: impl FnOnce(&mut OnPlace) -> bool) {
        let mut places = self.shared.places.lock();
        let of = places
            .entry(place.clone())
            .or_insert_with(|| watch::Sender::new(Arc::default()));
        of.send_if_modified(change);
    }
}
