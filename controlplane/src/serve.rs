//! The port that proxies and agents talk to: xDS, certificate signing and registration, over TLS.
//!
//! # Layout
//! - [`tls`]: the serving certificate, made anew before it ends; client certificates are optional.
//! - [`admission`]: who may open which stream.
//! - [`certificates`]: signing, counted and logged.

pub mod admission;
pub mod certificates;
pub mod tls;
