//! gRPC plumbing that xDS, certificate signing and registration share: how a client reaches the control plane, how a
//! server listens, and what both say about who is calling.
//!
//! # Layout
//! - [`address`]: the address of a control plane as people write it.
//! - [`token`]: where the bearer token comes from; it is read again at each request.
//! - [`channel`]: a reconnecting channel with the token and extra headers on every request.
//! - [`connect`]: one connection: resolve, dial, TLS with the trust read anew.
//! - [`caller`]: the server's side of credentials: [`AuthenticateCaller`] and what it is shown.
//! - [`lifetime`]: how long a server lets a stream go on.
//! - [`serve`]: accepting TLS connections for a tonic server without letting a slow handshake hold up others.
//! - [`backoff`]: delays between attempts.
//! - [`fuzz`]: fuzz target of headers and addresses.
//!
//! This crate knows no service and no message. It uses no other crate of the house: TLS trust arrives as a closure that
//! gives a [`rustls::ClientConfig`]. tonic spawns its connection tasks on the runtime that a channel is made on.

pub mod address;
pub mod backoff;
pub mod caller;
pub mod channel;
pub mod connect;
pub mod fuzz;
pub mod lifetime;
pub mod serve;
pub mod token;

pub use address::{Address, InvalidAddress, Scheme};
pub use backoff::Backoff;
pub use caller::{AuthenticateCaller, ConnectionInfo, Denied};
pub use channel::{ChannelConfig, ChannelError, Credentials, GrpcChannel, channel, channel_over};
pub use connect::{Security, TlsTrust};
pub use lifetime::Lifetime;
pub use token::TokenSource;
