//! Gateway API's kinds: the rules of its CRDs.

mod filters;
#[expect(clippy::module_inception, reason = "the kind has the name of its group")]
mod gateway;
mod matches;
mod policies;
mod refs;
mod routes;
mod rules;

pub(super) use gateway::{gateway, gateway_class};
pub(super) use policies::{backend_tls_policy, reference_grant};
pub(super) use refs::{backend, targets};
pub(super) use routes::{grpc_route, http_route, tcp_route, tls_route};
