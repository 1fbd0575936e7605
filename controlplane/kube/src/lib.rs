//! The Kubernetes API server as a source of objects, beside files and registrations.
//!
//! # Layout
//! - [`mirror`]: what the API server said of one kind, as changes (pure).
//! - [`scope`]: which namespaces belong to the mesh (pure).

pub mod mirror;
pub mod scope;

pub use mirror::{Broken, Event, Mirror, ObjectChange};
pub use scope::Scope;
