//! How a process of ours lives: supervised tasks, drain, readiness, signals, logging, metrics, admin server, environment.
//!
//! # Layout
//! - [`env`]: reads the environment through a trait, collects every bad value, reports them all at once.
//! - [`logging`]: line format, runtime filter, a writer thread that keeps writes off the data path.
//! - [`supervise`]: named tasks; a critical one that ends or panics fails the process with its name.
//! - [`signals`]: SIGTERM, SIGINT or a request from the admin server, as one future.
//! - [`drain`]: how a listener and its connections are told to finish, and by when.
//! - [`readiness`]: who still keeps the process from being ready.
//! - [`metrics`]: the registry and its text exposition.
//! - [`admin`]: a small HTTP server shell that the others hang their routes into.
//!
//! A product's `main` uses them in this order: `env`, `logging`, `supervise`, servers, then waits for `signals` or for a
//! failed task, and drains. Nothing here knows what a workload or a certificate is, and nothing here spawns a task
//! except [`supervise::Tasks`], which is what it is for.

pub mod admin;
pub mod drain;
pub mod env;
#[doc(hidden)]
pub mod fuzz;
pub mod logging;
pub mod metrics;
pub mod readiness;
pub mod signals;
pub mod supervise;
