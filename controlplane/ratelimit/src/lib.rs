//! The mesh's own rate-limit service: `envoy.service.ratelimit.v3` over HBONE, by limits of the control plane, with
//! counts that all replicas of a waypoint share and that outlive the process. Every decision is [`mesh_quota`]'s;
//! `docs/decisions/quotas.md` says what is promised.
//!
//! ```text
//!   xDS --> [limits]                          other shards
//!              |                                   ^
//!   waypoint --HBONE--> [serve] --> [service] -----+--> [peers]
//!                                      |
//!                                   [store] (counts in memory) --> [writer] (a thread) --> [log] (files)
//! ```
//!
//! # Layout
//! - [`app`]: wiring, and nothing else. [`args`]: the command line.
//! - [`limits`]: what is limited and who may count, as xDS told it.
//! - [`service`]: one question: whose it is, what others say, what is left. [`peers`]: other shards.
//! - [`store`]: counts and their durability, for all who ask. [`writer`]: the thread that writes. [`log`]: the files.
//! - [`serve`]: tunnels, HTTP/2 and gRPC. [`pages`]: what people look at. [`metrics`]. [`clock`].

pub mod app;
pub mod args;
pub mod clock;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod pages;
pub mod peers;
pub mod serve;
pub mod service;
pub mod store;
pub mod writer;
