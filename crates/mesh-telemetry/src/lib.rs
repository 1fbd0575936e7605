//! What is told about requests and connections: metrics, access logs, traces; and the expressions over their attributes
//! that policies and limits share with them.
//!
//! # Layout
//! - [`record`]: one finished request or connection, as everybody here sees it.
//! - [`flags`]: why it was answered so, in Envoy's letters.
//! - [`attributes`]: the one dictionary of what expressions may name; [`cel`]: the expressions.
//! - [`mod@format`]: how a line of a log is written: command operators, compiled.
//! - [`metrics`]: Istio's standard metrics, counted by each worker for itself.
//! - [`trace`]: contexts that come and go with requests, and the spans between them.
//! - [`sink`]: where lines go: standard output and files, behind bounded queues.
//! - [`export`]: where spans and records go: OTLP and Zipkin, in batches.
//! - `messages`: messages of gRPC, counted as they pass.
//! - [`plan`]: everything that counts for a request, compiled once.
//!
//! Whatever decides here is pure: the clock and the dice are given. Nothing here waits on a request's path; what cannot be
//! written or sent in time is dropped and counted.

pub mod attributes;
pub mod cel;
pub mod export;
pub mod flags;
pub mod format;
#[doc(hidden)]
pub mod fuzz;
pub mod metrics;
pub mod plan;
pub mod record;
pub mod sink;
pub mod trace;

mod messages;
mod needs;
#[cfg(test)]
mod testing;

pub use messages::Messages;
pub use needs::Needs;
pub use record::{End, Record, ServiceName};
