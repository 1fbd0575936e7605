//! The CNI plugin that brings a starting pod into the mesh, and the events it sends to the node agent.
//!
//! The plugin decides nothing: it reads what the runtime says ([`spec`]), tells the agent of it ([`event`], [`agent`]),
//! and fails the pod's start unless the agent says that the pod is in order ([`command`]). It is executed for every pod,
//! so it has no runtime, no API credentials and no configuration but its own network configuration.
//!
//! # Layout
//! - [`command`]: what each CNI command does. Start here.
//! - [`spec`]: the CNI specification's input and output: environment, network configuration, errors.
//! - [`event`]: what the agent is told; the agent reads the same types.
//! - [`agent`]: one HTTP request over the agent's Unix socket.
//! - [`fuzz`]: the fuzz targets of all that comes from outside.

pub mod agent;
pub mod command;
pub mod event;
#[doc(hidden)]
pub mod fuzz;
pub mod spec;
