//! What a waypoint or gateway serves, as it knows it: binds, routes, backends and policies, found by what they are
//! attached to.
//!
//! # Layout
//! - [`snapshot`]: [`L7Snapshot`], one consistent state, and how it is asked.
//! - `shared_map`: what snapshots are made of: a changed route among ten thousand copies a few dozen entries.
//!
//! One [`L7Writer`] takes batches; each becomes the next snapshot, which readers get whole. A place (a listener, a
//! service, a port) carries the generation in which what is attached to it last changed, so that what was compiled for it
//! is compiled again only then.

mod shared_map;
pub mod snapshot;

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use mesh_model::l7::{Backend, Bind, EndpointLabels, Policy, Route};
use mesh_types::Strng;
use tokio::sync::watch;

pub use snapshot::{Attached, L7Snapshot, ServiceRoutes};

use crate::Generation;

/// One change of what is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum L7Update {
    /// A bind is there, or has changed.
    Bind(Arc<Bind>),
    /// A route is there, or has changed.
    Route(Arc<Route>),
    /// A backend is there, or has changed.
    Backend(Arc<Backend>),
    /// A policy is there, or has changed.
    Policy(Arc<Policy>),
    /// The labels of a workload are there, or have changed.
    EndpointLabels(Arc<EndpointLabels>),
    /// The resource of this kind and xDS name is gone.
    Remove(L7Kind, Strng),
}

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum L7Kind {
    /// [`Bind`].
    Bind,
    /// [`Route`].
    Route,
    /// [`Backend`].
    Backend,
    /// [`Policy`].
    Policy,
    /// [`EndpointLabels`].
    EndpointLabels,
}

/// The one writer.
#[derive(Debug)]
pub struct L7Writer {
    shared: Arc<ArcSwap<L7Snapshot>>,
    generation: watch::Sender<Generation>,
}

/// One of any number of readers.
#[derive(Clone, Debug)]
pub struct L7Reader {
    shared: Arc<ArcSwap<L7Snapshot>>,
    generation: watch::Receiver<Generation>,
}

/// A reader for one thread, which keeps the snapshot it had: asking it costs one atomic load while nothing changed.
#[derive(Clone, Debug)]
pub struct L7View(Cache<Arc<ArcSwap<L7Snapshot>>, Arc<L7Snapshot>>);

/// An empty state.
#[must_use]
pub fn l7() -> (L7Writer, L7Reader) {
    let shared = Arc::new(ArcSwap::from_pointee(L7Snapshot::default()));
    let (sender, receiver) = watch::channel(Generation::default());
    let reader = L7Reader {
        shared: shared.clone(),
        generation: receiver,
    };
    let writer = L7Writer {
        shared,
        generation: sender,
    };
    (writer, reader)
}

impl L7Writer {
    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<L7Snapshot> {
        self.shared.load_full()
    }

    /// Applies a batch, in order; of several updates of one thing the last one stays.
    ///
    /// Returns the generation that readers then see. A batch that changes nothing (a reconnect's resend) wakes nobody.
    pub fn apply(&mut self, updates: Vec<L7Update>) -> Generation {
        let current = self.shared.load_full();
        let Some(next) = current.updated(updates) else {
            return current.generation();
        };
        let generation = next.generation();
        self.shared.store(Arc::new(next));
        self.generation.send_replace(generation);
        generation
    }
}

impl L7Reader {
    /// What is served now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<L7Snapshot> {
        self.shared.load_full()
    }

    /// A reader for one thread.
    #[must_use]
    pub fn view(&self) -> L7View {
        L7View(Cache::new(self.shared.clone()))
    }

    /// Tells when something has changed. A receiver that has seen generation *n* and then asks for a snapshot gets *n* or
    /// a later one.
    #[must_use]
    pub fn generation(&self) -> watch::Receiver<Generation> {
        self.generation.clone()
    }
}

impl L7View {
    /// What is served now.
    pub fn snapshot(&mut self) -> &Arc<L7Snapshot> {
        self.0.load()
    }
}

#[cfg(test)]
mod tests;
