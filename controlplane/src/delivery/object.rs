//! Which object a resource was made of, by the resource's name. Pure.

use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_xds::TypeUrl;

/// The object; nothing for what is made of several, or of none.
#[must_use]
pub fn of(type_url: TypeUrl, name: &str) -> Option<ObjectKey> {
    if type_url == TypeUrl::AUTHORIZATION {
        let (namespace, name) = name.split_once('/')?;
        return authorization(namespace, name);
    }
    // `<kind>/<namespace>/<name>`, and for a part of it more.
    let mut parts = name.splitn(4, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    let kind = kind_of(kind).filter(|kind| is_told(*kind))?;
    Some(key(kind, namespace, name))
}

/// Whether authors of this kind are told how far their objects came.
#[must_use]
pub fn is_told(kind: Kind) -> bool {
    TOLD.contains(&kind)
}

/// The kind of this name.
#[must_use]
pub fn kind_of(name: &str) -> Option<Kind> {
    Kind::ALL.iter().copied().find(|kind| kind.as_str() == name)
}

/// Kubernetes' names have no `_`: those that do are policies that something else became.
fn authorization(namespace: &str, name: &str) -> Option<ObjectKey> {
    match name.strip_prefix(OF_PEER_AUTHENTICATION) {
        Some(peer) => Some(key(Kind::PeerAuthentication, namespace, peer)),
        None if name.contains('_') => None,
        None => Some(key(Kind::AuthorizationPolicy, namespace, name)),
    }
}

fn key(kind: Kind, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: namespace.into(),
        name: name.into(),
    }
}

/// Upstream's name of such a policy.
const OF_PEER_AUTHENTICATION: &str = "converted_peer_authentication_";
/// Kinds whose authors are told: policies and routes. (A Gateway's or the mesh's own settings are policies, too.)
const TOLD: [Kind; 14] = [
    Kind::AuthorizationPolicy,
    Kind::RequestAuthentication,
    Kind::Telemetry,
    Kind::DestinationRule,
    Kind::VirtualService,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::BackendTlsPolicy,
    Kind::RateLimitPolicy,
    Kind::HealthCheckPolicy,
    Kind::SessionPolicy,
    Kind::PeerAuthentication,
];
