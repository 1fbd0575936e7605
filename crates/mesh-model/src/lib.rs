//! What the mesh is made of: workloads, services and policies, their wire form, and the decisions over them.
//!
//! # Layout
//! Things, each with its wire form (both directions) in a `wire.rs` beside it:
//! - [`workload`]: one address at which a process runs, and who it is.
//! - [`service`]: a host name and virtual addresses in front of workloads.
//! - [`policy`]: an L4 authorization policy.
//! - [`address`]: "a workload or a service", the resource that travels over xDS.
//! - [`gateway`], [`port`]: the parts that the former share.
//! - [`invalid`]: why a message from the wire is refused: which resource, which field, what is wrong.
//!
//! - [`l7`]: what waypoints and gateways serve: binds, routes, backends, policies.
//!
//! Decisions, pure and synchronous:
//! - [`authz`]: may this connection pass?
//! - [`lb`]: which endpoint does this connection go to?
//!
//! [`fuzz`] has one target for every decoder.
//!
//! A message that does not say something sensible is refused as a whole, never repaired by dropping a part of it: a
//! dropped value in a policy could widen it. Fields and extensions that are not known are ignored, as protobuf asks, in
//! upstream's messages; in ours of [`l7`] they are refused for the same reason.
//! This crate opens no socket, reads no clock and knows no xDS.

pub mod address;
pub mod authz;
#[cfg(test)]
mod fixtures;
#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
pub mod invalid;
pub mod l7;
pub mod lb;
pub mod policy;
pub mod port;
pub mod service;
pub mod workload;

pub use address::Address;
pub use gateway::{GatewayDestination, GatewayRef};
pub use invalid::{InvalidResource, Problem, ResourceKind};
pub use policy::Authorization;
pub use port::{AppProtocol, Port, Ports};
pub use service::Service;
pub use workload::Workload;
