//! The certificate authority: who a caller is, what it may ask for, and the certificate it gets.
//!
//! # Layout
//! - [`secret_file`]: a secret made once in the state directory, whoever else starts at the same moment.
//! - [`root`]: the self-signed root.
//! - [`succession`]: which roots of earlier authorities are still trusted, and until when (pure).
//! - [`issuer`]: what a certificate says, and its signature (control-plane.md, "Signing contract").
//! - [`serving`]: the control plane's own server certificate.
//! - [`token`]: node tokens, in the shape of Kubernetes' bound service-account tokens. [`token::cluster`]: those
//!   themselves, by the keys that an API server publishes.
//! - [`caller`]: the one who calls, as the token or the client certificate proves it.
//! - [`authenticator`]: tells it from a request's header and connection.
//! - [`node_authorizer`]: may this caller have a certificate for that identity? A pure function.
//! - [`budget`]: how many certificates one node may ask for, so that a stolen token cannot grind the key.
//! - [`authority`]: the parts together, as `mesh_certs::server` asks for them.
//! - [`fuzz`]: targets for the two inputs that strangers send, tokens and signing requests.
//!
//! Every decision takes `now` as a parameter. No key has a `Debug` that prints it, and every copy is wiped when dropped.

pub mod authenticator;
pub mod authority;
pub mod budget;
pub mod caller;
#[doc(hidden)]
pub mod fuzz;
pub mod issuer;
pub mod node_authorizer;
mod random;
pub mod root;
pub mod secret_file;
pub mod serving;
mod signing_key;
pub mod succession;
pub mod token;
