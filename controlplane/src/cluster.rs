//! What the control plane does with a cluster, beside watching its objects.
//!
//! # Layout
//! - [`tokens`]: whether a service account's token is to be believed.
//! - [`root`]: the mesh's root, in a Secret that all replicas share, or as an operator mounted it; who signed before.
//! - [`bundle`]: the root's certificate, where pods find it.
//! - [`conditions`]: the status that an object is to have, [`gateway_api`]: in Gateway API's shapes (pure).
//!   [`status_writer`]: writes it.
//! - [`gateway_controller`]: makes of Gateways what runs them.
//! - [`addresses`]: writes the addresses of hosts into statuses. [`untaint`]: takes the taint off nodes whose agent is ready.
//! - [`duties`]: what only one replica does, each under a Lease of its own. [`listed`]: what a watch says, by name.
//!   [`pace`]: when an object is written again (both pure).

pub mod addresses;
pub mod bundle;
pub mod conditions;
pub mod duties;
pub mod gateway_api;
pub mod gateway_controller;
pub mod listed;
pub mod pace;
pub mod root;
pub mod status_writer;
pub mod tokens;
pub mod untaint;
