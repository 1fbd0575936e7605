//! The mesh as one node knows it: indexed, updated in batches, queried as one consistent view.
//!
//! # Layout
//! - [`state`]: [`mesh()`] makes a [`StateWriter`] and the [`StateReader`]s of the same state.
//! - [`view`]: what can be asked, and by which rules a question with several answers is settled.
//! - `workloads`, `services`, `policies`: the indexes, one for each kind.
//! - [`l7`]: what a waypoint or gateway serves: routes by parent, policies by target, in snapshots.
//! - [`dump`]: a copy of the state, written as JSON in the shape that `istioctl ztunnel-config` reads.
//!
//! What was decoded elsewhere comes in as [`Update`]s. A batch is prepared without a lock, put in place under one, and
//! announced once as the next [`Generation`]. Readers see all of a batch or nothing of it. Locks never leave this
//! crate, so that none is ever held across an await.

pub mod dump;
#[cfg(test)]
mod fixtures;
pub mod l7;
mod policies;
mod services;
pub mod state;
pub mod view;
mod workloads;

pub use dump::Dump;
pub use l7::{L7Reader, L7Snapshot, L7Update, L7View, L7Writer};
pub use state::{Generation, StateReader, StateWriter, Update, mesh};
pub use view::{Destination, Settings, View};
