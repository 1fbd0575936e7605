//! ZDS: the socket between the node agent and ztunnel that hands over pods, both ends (Istio's
//! `istio.workload.zds`, version 1).
//!
//! A `SOCK_SEQPACKET` socket carries one bare protobuf message a packet, at most [`MAX_PACKET`] bytes each way. The
//! descriptor of a pod's network namespace rides beside its Add and beside nothing else. ztunnel connects and says
//! hello; the agent replays every enrolled pod, then says that the snapshot is sent, then sends changes as they come;
//! ztunnel answers every message with an Ack before the next one is sent.
//!
//! # Layout
//! - [`message`]: the messages as enums, and their bytes. Start here.
//! - [`hub`]: the agent's side without sockets: who is told what, in which order, and whose answer counts.
//! - [`server`]: the hub on a real socket.
//! - [`session`]: ztunnel's side of one connection without sockets.
//! - [`client`]: the session on a real socket, with reconnects.
//! - [`fuzz`]: the packet parsers' fuzz target.
//!
//! This crate knows nothing of rules, certificates or proxies: what a pod needs is decided by its users.

pub mod client;
#[doc(hidden)]
pub mod fuzz;
pub mod hub;
pub mod message;
pub mod server;
pub mod session;

pub use client::{Delivery, Reply, ZdsClient};
pub use message::{Answer, InvalidPacket, MAX_PACKET, PodEvent, PodInfo, PodUid, Refused};
pub use server::{Pod, ServerEvent, ServerOptions, ZdsError, ZdsServer};

#[cfg(test)]
mod tests;
