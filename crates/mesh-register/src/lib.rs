//! Workload registration: the stream on which a place that runs workloads (a node's agent; later a VM or another
//! scheduler) and the control plane tell each other what runs there. Both ends.
//!
//! # Layout
//! - [`model`]: what they tell each other.
//! - [`wire`]: the same as protobuf messages (`lateen/register.proto`), both directions, strict.
//! - [`client`]: for the place. [`client::ClientSession`] decides (no IO, no clock), [`client::client`] carries it.
//! - [`server`]: for the control plane, over `trait` [`server::Registrar`].
//! - [`settled`]: beside the stream, for agents that write annotations: who has heard that a pod has left the mesh.
//! - [`fuzz`]: fuzz target of the decoders and the client's session.
//!
//! # The stream
//! ```text
//! place                                  control plane
//!   Hello {instance, version}  ------->
//!                              <-------  Welcome {lease, place}
//!                              <-------  Assign ... SnapshotComplete     what belongs here; then every change
//!   Report {id, ...}           ------->                                  everything that runs here; then every change
//!                              <-------  Ack {id, outcome}
//!   Renew                      ------->                                  every third of a lease
//! ```
//! The place's name is the token's, never the caller's claim. A newer stream of the same place replaces the older.
//! Leases are judged by the control plane; this crate only delivers renewals and ends.

pub mod client;
pub mod fuzz;
pub mod model;
pub mod server;
pub mod settled;
pub mod wire;

pub use client::{AssignmentEvent, AssignmentEvents, ClientConfig, RegisterHandle, ReportError, client};
pub use model::{Assignment, Hello, Membership, Options, Outcome, Place, Redirection, Report, Withdrawal};
pub use server::{Assignments, RegisterServer, Registrar};
