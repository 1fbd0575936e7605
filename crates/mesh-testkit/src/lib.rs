//! Fixtures for tests: a certificate authority, echo applications, object builders.
//!
//! # Layout
//! - [`objects`]: workloads, services and policies that read like sentences.
//! - [`authority`]: a certificate authority in memory, as a [`mesh_tls::CertSource`].
//! - [`issuer`]: an identity provider's tokens.
//! - [`apps`]: applications to talk to: echo, one that speaks first, one that never answers.
//!
//! A dev-dependency of products and of the tests package only.

pub mod apps;
pub mod authority;
pub mod issuer;
pub mod objects;

pub use authority::TestAuthority;
pub use issuer::Issuer;
pub use objects::{allow, deny, pod, service};
