//! The life of a certificate: when it is fetched and renewed, who keeps it, and the signing service, both ends
//! (`istio.v1.auth.IstioCertificateService`).
//!
//! # Layout
//! - [`schedule`]: what to do next, as a pure function of what is known and the time.
//! - [`manager`]: [`CertManager`] keeps the certificates of identities and hands them out.
//! - [`client`]: fetches a certificate from the authority.
//! - [`server`]: the authority's gRPC side, over traits that say who calls and who signs.
//! - [`request`]: the signing request's message, both directions.
//! - [`fuzz`]: fuzz target of the request's decoder.
//!
//! Keys are made here, for each certificate a new one, and never leave the process.

pub mod client;
pub mod fuzz;
pub mod manager;
pub mod request;
pub mod schedule;
pub mod server;
#[cfg(test)]
mod testing;

pub use client::{CaClient, CaClientSettings, FetchCertificate, FetchError};
pub use manager::{CertManager, CertSnapshot, CertState, WallClock};
pub use request::Order;
pub use schedule::{Priority, Schedule};
pub use server::{CaServer, Issue, Refused};
