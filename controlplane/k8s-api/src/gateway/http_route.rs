//! HTTPRoute: where HTTP requests go (Gateway API reference, "HTTPRoute").

use mesh_types::Strng;
use serde::Deserialize;

use super::filter::RouteFilter;
use super::matching::HttpRouteMatch;
use super::reference::{BackendObjectRef, BackendRef, ParentRef, one};
use crate::object::Resource;
use crate::value::GatewayDuration;

/// Where HTTP requests go.
pub type HttpRoute = Resource<HttpRouteSpec>;

/// What an [`HttpRoute`] is to do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// What it attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// The hosts that it is for; without meaning where it attaches to a Service (GEP-1294).
    pub hostnames: Vec<Strng>,
    /// Its rules; one that matches everything and has no backend where absent.
    pub rules: Vec<HttpRouteRule>,
}

/// A rule of an [`HttpRoute`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// What policies and status call it, unique in the route.
    pub name: Option<Strng>,
    /// Requests of which it is for: those that one of these fits, all where empty.
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to them.
    pub filters: Vec<RouteFilter>,
    /// Where they go.
    pub backend_refs: Vec<HttpBackendRef>,
    /// How long they may take.
    pub timeouts: HttpTimeouts,
    /// What is tried again.
    pub retry: Option<HttpRetry>,
    /// What keeps a client at its backend.
    pub session_persistence: Option<SessionPersistence>,
}

/// Where requests go, and what is done only to those that go there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "HttpBackendRefFields")]
pub struct HttpBackendRef {
    /// Where they go.
    pub backend: BackendRef,
    /// What is done to those.
    pub filters: Vec<RouteFilter>,
}

/// How long a request may take; zero means without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpTimeouts {
    /// From its first byte to the last of its answer, all attempts together.
    pub request: Option<GatewayDuration>,
    /// One attempt.
    pub backend_request: Option<GatewayDuration>,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HttpRetry {
    /// After these statuses.
    pub codes: Vec<u16>,
    /// So often at most, beyond the first attempt.
    pub attempts: Option<u32>,
    /// At least so long between attempts.
    pub backoff: Option<GatewayDuration>,
}

/// What keeps a client at its backend (GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionPersistence {
    /// The name of the cookie or header.
    pub session_name: Option<Strng>,
    /// How long a session lasts.
    pub absolute_timeout: Option<GatewayDuration>,
    /// How long it lasts without a request.
    pub idle_timeout: Option<GatewayDuration>,
    /// What carries it.
    #[serde(rename = "type")]
    pub kind: SessionType,
    /// About the cookie.
    pub cookie_config: Option<SessionCookie>,
}

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum SessionType {
    /// A cookie.
    #[default]
    Cookie,
    /// A header.
    Header,
}

/// About a session's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SessionCookie {
    /// How long the client keeps it.
    pub lifetime_type: CookieLifetime,
}

/// How long a client keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum CookieLifetime {
    /// Until it ends itself.
    #[default]
    Session,
    /// As long as the session's absolute timeout says.
    Permanent,
}

#[derive(Deserialize)]
#[serde(rename = "HTTPBackendRef")]
struct HttpBackendRefFields {
    #[serde(default)]
    group: Strng,
    #[serde(default = "service")]
    kind: Strng,
    name: Strng,
    #[serde(default)]
    namespace: Option<Strng>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default = "one")]
    weight: u32,
    #[serde(default)]
    filters: Vec<RouteFilter>,
}

impl Default for HttpRouteSpec {
    fn default() -> Self {
        Self {
            parent_refs: Vec::new(),
            hostnames: Vec::new(),
            rules: vec![HttpRouteRule::default()],
        }
    }
}

impl From<HttpBackendRefFields> for HttpBackendRef {
    fn from(fields: HttpBackendRefFields) -> Self {
        let object = BackendObjectRef {
            group: fields.group,
            kind: fields.kind,
            name: fields.name,
            namespace: fields.namespace,
            port: fields.port,
        };
        Self {
            backend: BackendRef {
                object,
                weight: fields.weight,
            },
            filters: fields.filters,
        }
    }
}

fn service() -> Strng {
    "Service".into()
}
