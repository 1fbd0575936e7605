//! The one way to talk to a Kubernetes API server, for the control plane, the node agent and the command line.
//!
//! A thin layer over the crate `kube`, which brings access (in-cluster files, kubeconfigs, TLS, tokens) and nothing else:
//! what is read of an object is the caller's type, and what goes wrong is one small enum.
//!
//! # Layout
//! - [`access`]: where the API server is and who we are to it. [`resource`]: what paths look like.
//! - [`client`]: requests and answers, bounded. [`error`]: what can go wrong, whose fault it is, whether to try again.
//! - [`read`]: one object, lists, which versions are served. [`write`]: making, applying, patching, status, deleting.
//! - [`watch`]: everything of a kind, from now on; [`watch::line`]: one line of it. [`backoff`]: delays between attempts.
//! - [`lease`]: who does what only one may do (pure), [`lease::driver`]: and asking for it again and again.
//! - `forward`: a connection to a port of a pod (feature `forward`).
//! - `fake`: an API server in memory, for tests (feature `fake`).
//! - [`fuzz`]: fuzz target of what an API server sends.

pub mod access;
pub mod backoff;
pub mod client;
pub mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
#[cfg(feature = "forward")]
pub mod forward;
pub mod fuzz;
pub mod lease;
pub mod read;
pub mod resource;
pub mod watch;
pub mod write;

pub use access::Access;
pub use client::KubeClient;
pub use error::{Fault, KubeError};
pub use resource::{ObjectName, Resource};
pub use watch::{Event, News, Selection, watch};
pub use write::{Apply, SharedStatus, Written};
