//! Names of things: what a workload, an address, a socket role, a port or a mark is called everywhere in the house.
//!
//! # Layout
//! - [`strng`]: the shared, immutable string that names are made of.
//! - [`identity`]: SPIFFE identities and trust domains.
//! - [`address`]: addresses within a network, namespaced names, tunnel authorities.
//! - [`role`]: socket addresses that say whose they are (peer, original destination, next hop).
//! - [`fuzzing`]: seeded mutations for the parsers' fuzz tests.
//! - [`ports`]: port numbers and packet marks that peers rely on.
//! - [`port_set`]: a few ports, or all but a few.
//!
//! This crate parses and prints; it decides nothing and knows no wire format.

pub mod address;
pub mod fuzzing;
pub mod identity;
pub mod port_set;
pub mod ports;
pub mod role;
pub mod strng;

pub use address::{
    Authority, InvalidAuthority, NamespacedHostname, NamespacedName, NetworkAddress, WorkloadUid,
};
pub use identity::{Identity, InvalidIdentity, TrustDomain};
pub use port_set::PortSet;
pub use role::{LocalAddr, NextHop, OrigDst, Peer, SourceAddr};
pub use strng::Strng;
