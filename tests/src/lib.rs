//! The lab: a mesh of two nodes on one machine, made of network namespaces, real programs and the real products.
//!
//! # Layout
//! - [`world`]: re-entry into private namespaces, so that a lab leaves nothing behind, whatever ends it.
//! - [`ip`]: namespaces, links, addresses and routes.
//! - [`process`]: programs with a log, started in a namespace and stopped with the lab.
//! - [`catalogue`]: objects that are wrong, and what is answered.
//! - [`cni`]: the container runtime's role: the plugin chain, called as the CNI specification says.
//! - [`cluster`]: a real Kubernetes cluster, for what only one can show.
//! - [`config`]: the directory of YAML that the control plane reads.
//! - [`cut`]: a part that has lost the control plane alone.
//! - [`lab`]: the whole: control plane, nodes, agents, ztunnels, pods.
//! - [`access`]: what the ztunnels say about connections.
//! - [`growth`]: whether what a program holds grows without end.
//! - [`load`]: load of HTTP, and what answers it, for the bench.
//! - [`capture`]: packets between the nodes.
//! - [`table`]: tables for people.
//!
//! The lab starts the products as processes, from the directory that [`products::Products`] names; it links none of them.

pub mod access;
pub mod capture;
pub mod catalogue;
pub mod cluster;
pub mod cni;
pub mod config;
pub mod cut;
pub mod growth;
pub mod ip;
pub mod lab;
pub mod load;
pub mod process;
pub mod products;
pub mod table;
pub mod wait;
pub mod world;

pub use lab::{Lab, Node, Pod};
