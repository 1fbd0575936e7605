//! The waypoint: L7 routing, resilience, policy and telemetry for the services and workloads that opt in.
//!
//! # Layout
//! In the order of a request's way:
//! - [`listener`]: sockets; tunnels, and their streams handed out to all workers.
//! - [`frontend`]: what a tunnel's target means here, or why it is refused. Pure.
//! - [`connection`]: who is there, and what is meant.
//! - [`detect`]: what is spoken, where the configuration does not say.
//! - [`proxy`]: what is done with a connection: `proxy/http` with requests, `proxy/tcp` with bytes.
//! - [`route`]: where a request goes.
//! - [`filters`]: what is done to a request on its way, one file each, in an order that is contract.
//! - [`upstream`]: destinations, their endpoints, connections to them.
//! - [`telemetry`]: what is told about it; [`flags`] say why it ended so.
//!
//! Beside them: [`app`] wires everything together, [`config`] reads the environment, [`worker`] is one thread of the data
//! plane, [`stream`] and [`body`] are what bytes and bodies are, [`reply`] makes answers from here, [`standing`] ends what
//! is not allowed any more, [`settings`] has every limit, [`admin`] the pages for people, [`explain`] the answer to what would
//! become of a request.
//!
//! # Threads
//! One control thread follows the control plane and the certificate authority and serves the admin pages. Each data worker
//! is a thread with a runtime of its own, and has a socket of its own for every port (`SO_REUSEPORT`). A plain connection
//! stays on the worker that accepted it. The streams of a tunnel do not: a tunnel carries all connections of one client
//! workload, so each of its streams goes to the worker that is least busy ([`worker::load`]), through a bounded pipe of
//! chunks ([`mod@stream::pipe`]).
//!
//! # Seams
//! - [`exchange::Filter`]: one step on a request's way. It gets an [`exchange::Exchange`] and lets it pass or answers.
//! - [`upstream::Upstream::call`]: one request to a service, for whoever needs its answer.
//! - [`telemetry::Telemetry::finished`]: gets one [`telemetry::Report`] for each request and connection.

pub mod admin;
pub mod app;
pub mod body;
pub mod config;
pub mod connection;
pub mod detect;
pub mod exchange;
pub mod explain;
pub mod filters;
pub mod frontend;
#[doc(hidden)]
pub mod fuzz;
pub mod listener;
pub mod proxy;
pub mod reply;
pub mod route;
mod rt;
pub mod settings;
pub mod standing;
pub mod stream;
pub mod telemetry;
pub mod upstream;
pub mod worker;

pub use mesh_telemetry::flags;
