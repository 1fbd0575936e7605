//! Mutual TLS with SPIFFE identities: provider, verifiers, configurations, certificates and signing requests.
//!
//! # Layout
//! - [`settings`]: which groups, ciphers and versions; the one place that builds the crypto provider (aws-lc-rs).
//! - [`certificate`]: a workload's certificate with the TLS configurations that come of it.
//! - [`identity`]: who a peer is, read strictly from its certificate.
//! - [`expected`]: whom a client accepts.
//! - `verify`: the two verifiers: chain first, then identity.
//! - [`source`]: where certificates come from, as a trait.
//! - [`csr`] and [`private_key`]: signing requests, both ends; keys that never print and do not linger.
//! - [`pem`]: certificates out of PEM text.
//! - [`service`]: TLS of the gRPC services, where the server has a DNS name and clients show tokens.
//! - [`origination`]: TLS towards servers outside the mesh's own tunnels.
//! - [`termination`]: TLS of a gateway's clients.
//! - [`fuzz`]: the fuzz targets.
//!
//! Both ends of a mesh connection verify the chain against the mesh's roots and then one identity: a certificate with two
//! is refused, so that no two checks can look at different ones.

pub mod certificate;
pub mod csr;
pub mod expected;
#[cfg(test)]
mod fixtures;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
pub mod origination;
pub mod pem;
pub mod private_key;
pub mod service;
pub mod settings;
pub mod source;
pub mod termination;
mod verify;

pub use certificate::{InvalidCertificate, WorkloadCertificate, mesh_server_name};
pub use expected::ExpectedPeers;
pub use identity::{PeerIdentityError, peer_identity};
pub use private_key::PrivateKey;
pub use settings::{CipherSuite, KeyExchangeGroup, TlsSettings, provider};
pub use source::{CertSource, CertUnavailable};
pub use termination::{ServedCertificate, termination_config};
pub use verify::RejectedPeer;
