//! An incremental graph: collections derived by plain functions, recomputed only where an input changed.
//!
//! The idea is krt's (Istio, `pkg/kube/krt`): whoever writes a derivation says what one output is, from one primary
//! input and whatever it looks up; the graph notes what was looked up and calls again when any of it changes. The
//! design is our own: one owner, no lock, no clock, no task. Changes are staged, one [`Graph::settle`] brings every
//! collection up to date in the order in which they were made, and equal outputs stop there.
//!
//! ```text
//!   input ──► derived ──► derived ──► take_changes
//!     │          ▲
//!     └► index ──┘ looked up through Fetch, by key or by index
//! ```
//!
//! # Layout
//! - [`graph`]: [`Graph`], its inputs, and how it settles.
//! - [`fetch`]: what a derivation may look up.
//! - [`handle`]: typed names of collections and indexes.
//! - `table`: a collection's entries and who read them. `derive`, `index`, `groups`: the sorts of nodes made from others.
//! - `slots`: things by key and by number.

mod derive;
pub mod fetch;
pub mod graph;
mod groups;
pub mod handle;
mod index;
mod node;
mod slots;
mod table;

pub use fetch::Fetch;
pub use graph::Graph;
pub use handle::{Collection, Index, Key, Value};
pub use table::Change;
