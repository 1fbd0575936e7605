//! Delta ADS (Envoy's xDS protocol, incremental variant, one aggregated stream), both ends, generic over the resources
//! it carries: they are names, versions and bytes here.
//!
//! # Layout
//! - [`resource`]: type URLs, batches, and the trait that applies them.
//! - [`node`]: who a client is: the node id and metadata, both directions.
//! - [`client`]: [`client::ClientSession`] decides (no IO, no clock), [`client::client`] carries it over gRPC.
//! - [`server`]: [`server::ResourceCache`] holds what is published, [`server::ServerSession`] decides what one stream is
//!   sent (no IO, no clock), [`server::XdsServer`] carries it over gRPC.
//! - `refusal`: which resources a client refused, both directions.
//! - [`fuzz`]: fuzz targets of both sessions.
//!
//! # Order of types
//! Types are listed in the order of their references: a policy before the workloads that refer to it. Within one stream
//! additions and changes go out in that order, removals in the reverse order ("make before break" of the xDS protocol,
//! "Eventual consistency considerations"): a workload never arrives before its policies, and a policy never goes before
//! the workloads that name it. A receiver that treats an unknown policy as a denial is therefore neither open nor
//! needlessly closed at any point between two messages.

pub mod client;
pub mod fuzz;
pub mod node;
mod refusal;
pub mod resource;
pub mod server;

pub use client::{ClientConfig, ClientHandle, ClientStatus, client};
pub use node::NodeInfo;
pub use resource::{ApplyBatch, Batch, Rejected, Resource, TypeUrl};
pub use server::{AdmitNode, Change, ResourceCache, SubscriberStatus, XdsServer};
