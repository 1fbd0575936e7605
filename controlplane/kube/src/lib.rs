//! The Kubernetes API server as a source of objects, beside files and registrations.
//!
//! ```text
//! API server --mesh_kube::watch--> follow (one kind, in the version that is served) --> source (all kinds)
//!                                                                                        |
//!             object changes, what is missing still <-- mirror (a kind, pure) <-- scope (whose business, pure)
//! ```
//!
//! # Layout
//! - [`resources`]: which kinds are watched, and in which version (pure).
//! - [`follow`]: one kind, for as long and in the version that it is served.
//! - [`mirror`]: what the API server said of one kind, as changes (pure).
//! - [`remark`]: what is to be said of an object that is not understood, and what can be read of it (pure).
//! - [`scope`]: which objects are this control plane's business (pure).
//! - [`spare`]: what is kept of an object (pure).
//! - [`source`]: all kinds together: batches of changes, and whether everything is known.
//! - [`board`]: how each watch stands, for those who only look.

pub mod board;
pub mod follow;
pub mod mirror;
pub mod remark;
pub mod resources;
pub mod scope;
pub mod source;
pub mod spare;

pub use board::{KubeBoard, WatchState, WatchView};
pub use mirror::{Broken, Mirror, ObjectChange};
pub use remark::{Counts, Readable, Remark};
pub use scope::Scope;
pub use source::{KubeBatch, KubeSettings, KubeSource};
pub use spare::Texts;
