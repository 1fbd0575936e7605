//! HBONE: mutual TLS and HTTP/2 CONNECT tunnels, both ends
//! (Istio's "HBONE" architecture page; RFC 9113, section 8.5; RFC 8446).
//!
//! A client has a [`Pool`] per worker and asks it for a [`Tunnel`] to a [`Hop`]; a server makes a [`ServerConnection`]
//! from an accepted socket and asks it for the next [`IncomingTunnel`]. At both ends a tunnel is a stream of chunks
//! ([`mesh_net::ChunkRead`], [`mesh_net::ChunkWrite`]), to be handed to [`mesh_net::relay()`].
//!
//! # Layout
//! - [`request`]: what is in the CONNECT headers, and in the answer.
//! - [`options`]: everything that can be tuned, each default beside its reason.
//! - [`budget`]: how much unread data all connections of a worker may hold.
//! - [`pool`]: which connection takes the next stream; `pool/shelf` decides, purely.
//! - [`client`]: one connection, client's end: [`establish`] works over any byte stream, also over a tunnel.
//! - [`server`]: one connection, server's end.
//! - [`tunnel`]: one stream as chunks, or as a byte stream for nesting.
//! - [`error`]: why there is no tunnel, whose fault it is, and what metrics call it.
//! - [`expiry`]: how long what was shown in a handshake stays true.
//! - `closed`: why a connection ended, as its streams see it.
//! - `pulse`, `keepalive`: what drivers do each turn; when silence means that the peer is gone.
//! - `tls`: the record layer between HTTP/2 and the socket, which batches records and system calls.
//! - [`fuzz`]: entry points for fuzzing.
//!
//! Everything belongs to one single-threaded worker and nothing here starts a task: drivers are handed to whoever can.
//! Which target is allowed, who may call and where certificates come from is decided elsewhere. HTTP/2 itself is the
//! `h2` crate's; no type of it is visible outside.

pub mod budget;
pub mod client;
mod closed;
pub mod error;
pub mod expiry;
#[doc(hidden)]
pub mod fuzz;
mod keepalive;
pub mod options;
pub mod pool;
mod pulse;
pub mod request;
pub mod server;
#[cfg(test)]
mod testing;
mod tls;
pub mod tunnel;

pub use budget::ReceiveBudget;
pub use client::{ClientConnection, ClientDriver, establish};
pub use closed::ConnectionEnd;
pub use error::{AcceptError, Blame, ConnectError, ConnectStep, ResponseFlag};
pub use options::{HboneOptions, KeepaliveOptions};
pub use pool::{Hop, Pool};
pub use request::{Baggage, ConnectRequest, ConnectResponse, Forwarded, Refusal, TunnelHeaders};
pub use server::{IncomingTunnel, ServeError, ServerConnection, serve_tls};
pub use tunnel::{Tunnel, TunnelIo};

#[cfg(test)]
mod tests;
