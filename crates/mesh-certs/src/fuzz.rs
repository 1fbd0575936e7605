//! Fuzz target: whatever a caller sends, the request's decoder answers or refuses, and never panics.

use mesh_proto::istio::v1::auth::IstioCertificateRequest;

/// The decoder of certificate requests against arbitrary messages.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(message) = <IstioCertificateRequest as prost::Message>::decode(data) else {
        return;
    };
    if let Ok(order) = crate::request::decode(&message) {
        assert!(order.lifetime <= crate::request::MAX_LIFETIME);
        assert_eq!(order.identity, *order.request.identity());
    }
}

#[cfg(test)]
mod tests;
