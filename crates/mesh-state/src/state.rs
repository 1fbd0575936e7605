//! Writing and reading the state.

use std::sync::Arc;

use mesh_model::{Address, Authorization, Service, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, WorkloadUid};
use parking_lot::RwLock;
use tokio::sync::watch;
use tracing::debug;

use crate::dump::Dump;
use crate::view::{Settings, View};

/// One change of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives only between the wire and the state, where each goes behind an Arc"
)]
pub enum Update {
    /// A workload is there, or has changed.
    Workload(Workload),
    /// A service is there, or has changed.
    Service(Service),
    /// A policy is there, or has changed.
    Authorization(Authorization),
    /// The workload or service of this xDS name is gone.
    RemoveAddress(Strng),
    /// The policy of this xDS name is gone.
    RemoveAuthorization(Strng),
}

/// Counts the batches that changed anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// The one writer of a state.
#[derive(Debug)]
pub struct StateWriter {
    shared: Arc<RwLock<View>>,
    generation: watch::Sender<Generation>,
}

/// One of any number of readers of a state.
#[derive(Clone, Debug)]
pub struct StateReader {
    shared: Arc<RwLock<View>>,
    generation: watch::Receiver<Generation>,
}

/// An empty state.
#[must_use]
pub fn mesh(settings: Settings) -> (StateWriter, StateReader) {
    let shared = Arc::new(RwLock::new(View::new(settings)));
    let (sender, receiver) = watch::channel(Generation::default());
    let reader = StateReader {
        shared: shared.clone(),
        generation: receiver,
    };
    let writer = StateWriter {
        shared,
        generation: sender,
    };
    (writer, reader)
}

impl StateWriter {
    /// Applies a batch, in order; of several updates of one thing the last one stays.
    ///
    /// Returns the generation that readers then see. A batch that changes nothing (a reconnect's resend) wakes nobody.
    pub fn apply(&mut self, updates: Vec<Update>) -> Generation {
        let batch = Batch::sort(updates);
        // Nobody else writes, so that what is compiled here, without the lock, still fits when it is put in place.
        let policies = (!batch.policies.is_empty()).then(|| {
            let current = self.shared.read().policies.clone();
            current.updated(batch.policies)
        });
        let mut changed = false;
        {
            let mut view = self.shared.write();
            if let Some(policies) = policies.filter(|p| *p != view.policies) {
                view.policies = policies;
                changed = true;
            }
            for change in batch.addresses {
                changed |= view.change(change);
            }
        }
        if changed {
            self.generation.send_modify(|generation| generation.0 += 1);
        }
        *self.generation.borrow()
    }
}

impl StateReader {
    /// Asks the state. All that `question` sees belongs to one generation; it should answer quickly, as it holds updates
    /// up meanwhile, and must not ask the reader again from within.
    pub fn query<T>(&self, question: impl FnOnce(&View) -> T) -> T {
        question(&self.shared.read())
    }

    /// A copy of the state for people.
    #[must_use]
    pub fn dump(&self) -> Dump {
        self.query(Dump::of)
    }

    /// Tells when the state has changed. A receiver that has seen generation *n* and then queries sees *n* or later.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<Generation> {
        self.generation.clone()
    }
}

/// A batch by kind. Policies and addresses do not depend on each other's order.
struct Batch {
    policies: Vec<(NamespacedName, Option<Arc<Authorization>>)>,
    addresses: Vec<AddressChange>,
}

/// A change of a workload or a service, ready to be put in place.
pub(crate) enum AddressChange {
    Workload(Arc<Workload>),
    Service(Arc<Service>),
    RemoveWorkload(WorkloadUid),
    RemoveService(NamespacedHostname),
}

impl Batch {
    fn sort(updates: Vec<Update>) -> Self {
        let mut batch = Self {
            policies: Vec::new(),
            addresses: Vec::new(),
        };
        for update in updates {
            match update {
                Update::Workload(workload) => {
                    batch.addresses.push(AddressChange::Workload(Arc::new(workload)));
                }
                Update::Service(service) => batch.addresses.push(AddressChange::Service(Arc::new(service))),
                Update::RemoveAddress(name) => batch.remove_address(&name),
                Update::Authorization(policy) => {
                    batch.policies.push((policy.name.clone(), Some(Arc::new(policy))));
                }
                Update::RemoveAuthorization(name) => match name.parse() {
                    Ok(name) => batch.policies.push((name, None)),
                    Err(e) => debug!("removal of a policy that cannot exist: {e}"),
                },
            }
        }
        batch
    }

    /// The name says not what it is the name of; the two kinds never share one, as a uid has more slashes.
    fn remove_address(&mut self, name: &Strng) {
        if let Ok(hostname) = name.parse() {
            self.addresses.push(AddressChange::RemoveService(hostname));
        }
        let uid = WorkloadUid::new(name.clone());
        self.addresses.push(AddressChange::RemoveWorkload(uid));
    }
}

impl From<Address> for Update {
    fn from(address: Address) -> Self {
        match address {
            Address::Workload(workload) => Self::Workload(workload),
            Address::Service(service) => Self::Service(service),
        }
    }
}

#[cfg(test)]
mod tests;
