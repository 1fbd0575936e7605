//! Sockets as a mesh needs them: namespaces, original destinations, marks, descriptor passing, dial, listen, relay.
//!
//! # Layout
//! - [`netns`]: network namespaces, held by descriptor; run a function inside one.
//! - [`listen`]: listening sockets with marks, shared ports and transparency; some let clients wait at the door.
//! - [`accept`]: what an accept loop does about an error, so that it neither spins nor dies.
//! - [`nftables`]: rules that need no `nft`: one of them keeps clients silent until they were judged.
//! - [`orig_dst`]: where a captured connection wanted to go.
//! - [`dial`]: connections out of a namespace, from a chosen source address; errors that say whose fault it was.
//! - [`datagram`]: UDP sockets, bound or with one peer.
//! - [`readable`]: waiting for any descriptor.
//! - [`relay`]: bytes between two streams of chunks; the hot path of the product.
//! - [`seqpacket`]: packets and descriptors over Unix sockets.
//! - [`proxy_protocol`]: the PROXY protocol's header, version 2.
//! - `sysctl`: settings of namespaces, also where `/proc/sys` is read-only.
//! - `counting`: an allocator that counts, for tests.
//! - [`process`]: what a supervisor of processes and namespaces needs: re-entry, children, mounts, capture, limits.
//!
//! This crate knows nothing of workloads, policies or TLS, and never starts a task. It is the only crate of the
//! workspace in which `unsafe` may stand: whatever needs it elsewhere is wrapped here.

pub mod accept;
#[doc(hidden)]
pub mod counting;
pub mod datagram;
pub mod dial;
mod keepalive;
pub mod listen;
pub mod netns;
pub mod nftables;
pub mod orig_dst;
pub mod process;
pub mod proxy_protocol;
pub mod readable;
pub mod relay;
pub mod seqpacket;
mod sysctl;

pub use dial::{DialError, DialOptions, dial};
pub use keepalive::Keepalive;
pub use listen::{HeldListener, ListenOptions, listen, listen_held};
pub use netns::{Netns, NetnsId};
pub use orig_dst::orig_dst;
pub use relay::{ChunkRead, ChunkWrite, RelayCounters, RelayEnd, StreamError, TcpChunks, relay};
