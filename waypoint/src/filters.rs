//! What is done to requests between routing and the endpoint, in the order that users' policies rely on
//! (Istio's waypoint: identity → external authorization → JWT → authorization → gRPC-web → fault → CORS → telemetry →
//! router).
//!
//! # Layout
//! One file each; [`applied`] is what policies want of them, compiled. A new one is put into [`request`] at its place in that order, and into [`response`] at the same place
//! from the other end.
//! - `not_enforced`: what cannot be carried out here lets nothing pass.
//! - `authorization`: may it pass?
//! - `external_auth`: does somebody else let it pass? `call` asks them, `changes` does what they want.
//! - [`rate_limit`]: are there too many?
//! - [`grpc_web`]: clients of gRPC-web talk to servers of gRPC.
//! - `cors`: what browsers are told.
//! - [`processing`]: somebody else changes requests and answers.
//! - `edits`: headers, paths and hosts, as the rule wants them; done by the router, last.
//! - `fault`: delays and failures on purpose.
//! - [`jwt`]: tokens are verified, and what they say counts.
//! - [`identity`]: who asks, for the application: forged headers go, true ones come.

pub mod applied;
pub(crate) mod authorization;
pub(crate) mod call;
mod changes;
pub(crate) mod cors;
pub(crate) mod edits;
pub(crate) mod external_auth;
pub(crate) mod fault;
pub mod grpc_web;
pub mod identity;
pub mod jwt;
pub mod not_enforced;
pub mod processing;
pub mod rate_limit;

use std::ops::ControlFlow;

use crate::exchange::{Exchange, Filter, Next};

/// Everything that is done to a request, in order.
///
/// # Errors
/// (Break) the answer, where one of them gives it.
pub async fn request(exchange: &mut Exchange) -> Next {
    not_enforced::Guard.request(exchange).await?;
    identity::Identity.request(exchange).await?;
    external_auth::OfPolicies.request(exchange).await?;
    jwt::Authentication.request(exchange).await?;
    if exchange.routed.is_none() {
        exchange.choose();
    }
    not_enforced::RuleGuard.request(exchange).await?;
    external_auth::OfRule.request(exchange).await?;
    authorization::Authorization.request(exchange).await?;
    rate_limit::RateLimit.request(exchange).await?;
    grpc_web::GrpcWeb.request(exchange).await?;
    fault::Fault.request(exchange).await?;
    cors::Cors.request(exchange).await?;
    processing::Processing.request(exchange).await?;
    ControlFlow::Continue(())
}

/// Everything that is done to an answer, in the opposite order.
pub fn response(exchange: &mut Exchange, answer: &mut http::response::Parts) {
    cors::Cors.response(exchange, answer);
    grpc_web::GrpcWeb.response(exchange, answer);
    for change in std::mem::take(&mut exchange.beside) {
        changes::change_answer(&mut answer.headers, &change);
    }
    identity::Identity.response(exchange, answer);
}
