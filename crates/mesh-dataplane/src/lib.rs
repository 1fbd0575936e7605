//! What every proxy of ours does: follow configuration, keep certificates warm, record connections, enforce policy on
//! open ones.
//!
//! # Layout
//! - [`subscribe`]: xDS batches become updates of the state; what cannot be decoded is named and left out.
//! - [`identities`]: whose certificates are kept: counts who needs an identity, warms the first time, forgets the last.
//! - [`record`]: one access log line and one set of metrics for each connection.
//! - [`labels`]: a workload as telemetry headers tell it to the other end, and back.
//! - [`enforce`]: asks again, whenever the state changes, whether each open connection is still allowed.
//! - [`accept`]: the loop behind every listener.
//! - [`drain_signal`]: a drain, as the connections of one worker see it.
//! - [`certificates`]: the page that says how long certificates are good.
//! - [`bootstrap`]: the channels to the control plane, from settings.
//!
//! Mechanism (sockets, TLS) and meaning (workloads, policies) meet here and in the products, and nowhere else. Nothing
//! here starts a task.

pub mod accept;
pub mod bootstrap;
pub mod certificates;
pub mod drain_signal;
pub mod enforce;
pub mod identities;
pub mod labels;
pub mod record;
pub mod subscribe;
