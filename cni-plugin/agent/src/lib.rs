//! The node agent: enrols pods, keeps their rules, hands them to ztunnel, and tells the control plane.
//!
//! # Layout
//! - [`enroll`]: what is to be done for which pod; pure. Start here.
//! - [`controller`]: the loop that carries it out, and the operations on the world.
//! - [`membership`]: in a cluster or without one. [`source`]: who says what belongs here: the control plane, or the API server, whose objects [`roster`] judges; pure.
//! - [`search`]: the namespaces of pods that run already. [`sockets`]: a pod's connections. [`older`]: those of before its
//!   enrolment. [`drain`]: those that are to end before it leaves.
//! - [`announce`]: telling others what became of a pod.
//! - [`kernel`]: rules and routes in a namespace: compare, put right, remove.
//! - [`events`]: the socket that the CNI plugin asks.
//! - [`install`]: the plugin on the host, and keeping it there.
//! - [`state_file`]: what a restart must find again.
//! - [`metrics`], [`config`], [`app`]: what is counted, what can be set, and the wiring.
//!
//! The agent carries no traffic (ztunnel does). While it is
//! away enrolled pods stay in the mesh, and pods cannot start; nothing falls back to plaintext.

pub mod announce;
pub mod app;
pub mod config;
pub mod controller;
pub mod drain;
pub mod enroll;
pub mod events;
#[doc(hidden)]
pub mod fuzz;
pub mod install;
pub mod kernel;
pub mod membership;
pub mod metrics;
pub mod older;
pub mod roster;
pub mod search;
pub mod sockets;
pub mod source;
pub mod state_file;
