//! GRPCRoute: where gRPC requests go (Gateway API reference, "GRPCRoute").

use mesh_types::Strng;
use serde::Deserialize;

use super::filter::RouteFilter;
use super::http_route::{HttpBackendRef, SessionPersistence};
use super::matching::GrpcRouteMatch;
use super::reference::ParentRef;
use crate::object::Resource;

/// Where gRPC requests go.
pub type GrpcRoute = Resource<GrpcRouteSpec>;

/// What a [`GrpcRoute`] is to do.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteSpec {
    /// What it attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts that it is for; without meaning where it attaches to a Service (GEP-1294).
    pub hostnames: Vec<Strng>,
    /// Its rules.
    pub rules: Vec<GrpcRouteRule>,
}

/// A rule of a [`GrpcRoute`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteRule {
    /// What policies and status call it, unique in the route.
    pub name: Option<Strng>,
    /// Requests of which it is for: those that one of these fits, all where empty.
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done to them: header changes, mirrors and filters of their own kinds.
    pub filters: Vec<RouteFilter>,
    /// Where they go.
    pub backend_refs: Vec<HttpBackendRef>,
    /// What keeps a client at its backend.
    pub session_persistence: Option<SessionPersistence>,
}
