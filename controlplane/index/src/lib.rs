//! What each object becomes: one pure derivation per input kind.
//!
//! ```text
//!   [Gateway] <-- [GatewayClass]     [ServiceEntry] --> service, workload (endpoint)     [WorkloadEntry] --> workload
//!       |
//!    waypoint (before services and workloads whose labels ask for it)
//!
//!   [Namespace] [Node]      [Service] <-- [EndpointSlice] --> workload (endpoint without a Pod)
//!         \       |             |  \
//!          \      |             |   service
//!   [Pod] --+-- workload -------+
//!     |  \        |   \
//!     |   \   [Registration]  policies by selector <-- [AuthorizationPolicy] --> authorization
//!     |    \                                     \---- [PeerAuthentication]  --> authorization (converted)
//!     |     assignment (who belongs on which node, and how)
//! ```
//!
//! # Layout
//! - [`index`]: [`Index`], the way in and out: object and registration changes in, resources and assignments out.
//! - [`config`]: what is the same for the whole mesh. [`registration`]: what node agents report of a Pod.
//! - [`derived`]: a value, what it was made of, and what is to be said about it.
//! - One file per input kind: [`pod`], [`service`], [`endpoint_slice`], [`service_entry`], [`workload_entry`],
//!   [`authorization_policy`], [`peer_authentication`]; [`assignment`] is what Pods become for their nodes.
//! - [`waypoint`]: which Gateways are waypoints, and who is bound to them. [`allocation`]: addresses for hosts without.
//! - [`l7`]: what waypoints and gateways are sent, and who is sent what.
//! - [`status`]: what is to be said about each object in its status.
//! - [`settings`]: labels and annotations whose value is none that is known.
//! - `lookups`: the collections that derivations look into. `labels`: selectors. `ownership`: who made a Pod.
//!   `app_protocol`: what a port speaks. `age`: which object was there first. `trust_domains`: what the mesh is called.
//! - [`fuzz`]: whatever is derived from any text, proxies take it.
//!
//! Nothing here opens a socket, reads a clock or knows xDS.

mod age;
pub mod allocation;
mod app_protocol;
pub mod assignment;
pub mod authorization_policy;
pub mod config;
pub mod derived;
pub mod endpoint_slice;
#[cfg(test)]
mod fixture;
#[doc(hidden)]
pub mod fuzz;
pub mod index;
pub mod l7;
mod labels;
mod lookups;
mod ownership;
pub mod peer_authentication;
pub mod pod;
pub mod registration;
pub mod service;
pub mod service_entry;
pub mod settings;
pub mod status;
mod trust_domains;
pub mod waypoint;
pub mod workload_entry;

pub use assignment::{Assignment, AssignmentKey, Membership, Options};
pub use config::{MeshConfig, ServiceEntryVisibility, VisibilityRule};
pub use derived::{Condition, ConditionReason, Derived};
pub use index::{
    AssignmentChange, Changes, ConditionChanges, Index, ObjectChange, RegistrationChange, ResourceChange,
    UnrecordedAddresses,
};
pub use l7::{L7Changes, Scoped};
pub use registration::{Redirection, Registration};
pub use status::ObjectStatus;
