//! DNS as a mesh needs it (RFC 1034, 1035, 6891, 7766): a server answers what it knows and forwards the rest unchanged,
//! a client resolves host names and keeps what it learnt for as long as it may.
//!
//! # Layout
//! - [`message`]: questions and answers on the wire; the one place that knows the format, by the `domain` crate.
//! - [`resolv_conf`]: which servers the machine asks.
//! - [`servers`]: one question to them, over UDP or TCP, out of any network namespace.
//! - [`resolver`]: host names to addresses, with a bounded cache.
//! - [`fuzz`]: entry points for fuzzing.
//!
//! Nothing here starts a task, and nothing knows of workloads or services: what a mesh answers by itself is decided
//! elsewhere.

#[doc(hidden)]
pub mod fuzz;
pub mod message;
pub mod resolv_conf;
pub mod resolver;
pub mod servers;

pub use message::{Kind, Query, Reply};
pub use resolver::{ResolveError, Resolver, ResolverOptions};
pub use servers::{AskError, Link, Servers, Transport};
