//! Quotas: requests counted against limits with fixed windows, by several shards, in a way that survives a crash.
//! What it promises and what it does not is in `docs/decisions/quotas.md`.
//!
//! # Layout
//! - [`window`]: units of time and the windows that they cut time into.
//! - [`limit`]: what is limited, and which limit counts for what is asked about.
//! - [`key`]: what is counted apart.
//! - [`counters`]: the counts. Decides about requests, and says what must be durable before the answer may go out.
//! - [`journal`]: the records of a log that counts are recovered from.
//! - [`shard`]: which of several shards counts a key.
//! - [`fuzz`]: the fuzz target of the log's reader.
//!
//! Everything here is a function over data: time is a parameter, and whoever owns a [`counters::Counters`] writes its
//! records to a disk and tells when they are there.

pub mod counters;
#[doc(hidden)]
pub mod fuzz;
pub mod journal;
pub mod key;
pub mod limit;
pub mod shard;
pub mod window;

pub use counters::{Asked, Counters, Position, Status, Taken};
pub use key::Key;
pub use limit::{Found, Limit, Limits, Pattern};
pub use shard::Shards;
pub use window::{Moment, Unit, Window};
