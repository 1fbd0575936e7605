//! What is done to requests between routing and the endpoint, in the order that users' policies rely on
//! (Istio's waypoint: identity → external authorization → JWT → authorization → gRPC-web → fault → CORS → telemetry →
//! router).
//!
//! # Layout
//! One file each. A new one is put into [`request`] at its place in that order, and into [`response`] at the same place
//! from the other end.
//! - `authorization`: may it pass?
//! - [`identity`]: who asks, for the application: forged headers go, true ones come.

pub(crate) mod authorization;
pub mod identity;

use std::ops::ControlFlow;

use crate::exchange::{Exchange, Filter, Next};

/// Everything that is done to a request, in order.
///
/// # Errors
/// (Break) the answer, where one of them gives it.
pub async fn request(exchange: &mut Exchange) -> Next {
    identity::Identity.request(exchange).await?;
    authorization::Authorization.request(exchange).await?;
    ControlFlow::Continue(())
}

/// Everything that is done to an answer, in the opposite order.
pub fn response(exchange: &mut Exchange, answer: &mut http::response::Parts) {
    identity::Identity.response(exchange, answer);
}
