//! TLSRoute and TCPRoute: where connections go (Gateway API reference, "TLSRoute", "TCPRoute").

use mesh_types::Strng;
use serde::Deserialize;

use super::reference::{BackendRef, ParentRef};
use crate::object::Resource;

/// Where TLS connections go, by the host that they ask for.
pub type TlsRoute = Resource<TlsRouteSpec>;

/// Where connections go.
pub type TcpRoute = Resource<TcpRouteSpec>;

/// What a [`TlsRoute`] is to do.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRouteSpec {
    /// What it attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts that it is for, as the handshake names them.
    pub hostnames: Vec<Strng>,
    /// Its rules.
    pub rules: Vec<L4RouteRule>,
}

/// What a [`TcpRoute`] is to do.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRouteSpec {
    /// What it attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// Its rules.
    pub rules: Vec<L4RouteRule>,
}

/// A rule of a [`TlsRoute`] or [`TcpRoute`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteRule {
    /// What policies and status call it, unique in the route.
    pub name: Option<Strng>,
    /// Where connections go.
    pub backend_refs: Vec<BackendRef>,
}
