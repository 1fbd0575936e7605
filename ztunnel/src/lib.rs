//! The node proxy: mutual TLS and L4 policy for every pod of a node.
//!
//! # Layout
//! - [`config`]: what the environment says.
//! - [`app`]: wires everything together; the life of the process.
//! - [`workloads`]: which pods are served: events of the node agent, start and stop, listeners.
//! - [`worker`]: one thread of the data plane, and what its connections share.
//! - [`unsynced`]: connections that come before the first configuration is complete.
//! - [`gate`]: when a pod lets in those who come in the clear, and where they may say nothing.
//! - [`outbound`]: connections of the pods: accept, plan, connect, relay, record.
//! - [`inbound`]: connections to the pods, through tunnels: accept, admit, forward, relay, record.
//! - [`passthrough`]: connections to the pods, in plaintext.
//! - [`local`]: who the pod is in whose namespace a connection was accepted.
//! - [`dns`]: the DNS server of every pod; host names of workloads.
//! - [`connections`]: the open connections, for people.
//! - [`admin`]: the admin server's pages. [`explain`]: what would become of a connection.
//!
//! # Threads
//! One control thread follows the control plane, the certificate authority and the node agent, and serves the admin
//! pages. Each data worker is a thread with a runtime of its own. Every worker has its own listener (`SO_REUSEPORT`) for
//! every port of every pod, made inside the pod's namespace; a connection stays on the worker that accepted it, with that
//! worker's tunnels, until it ends.

pub mod admin;
pub mod app;

pub mod config;
pub mod connections;
pub mod dns;
pub mod explain;
pub mod gate;
pub mod inbound;
pub mod local;
pub mod outbound;
pub mod passthrough;
pub mod unsynced;
pub mod worker;
pub mod workloads;
