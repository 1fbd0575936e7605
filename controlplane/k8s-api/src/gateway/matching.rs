//! What a rule of a route asks of a request (Gateway API reference, "HTTPRouteMatch", "GRPCRouteMatch").

use mesh_types::Strng;
use serde::Deserialize;

/// What an HTTP request must be; everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// Its path; every path where absent.
    pub path: PathMatch,
    /// Its headers. A name that is there twice counts once, the first time.
    pub headers: Vec<HeaderMatch>,
    /// The parameters of its query.
    pub query_params: Vec<HeaderMatch>,
    /// Its method.
    pub method: Option<HttpMethod>,
}

/// What a path must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "PathMatchFields")]
pub enum PathMatch {
    /// This one.
    Exact(Strng),
    /// This one or below it, by whole segments.
    Prefix(Strng),
    /// One that matches as a whole (RE2).
    Regex(Strng),
}

/// What a header, or a parameter of a query, must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "HeaderMatchFields")]
pub struct HeaderMatch {
    /// Its name.
    pub name: Strng,
    /// Its value.
    pub value: ValueMatch,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// This one.
    Exact(Strng),
    /// One that matches as a whole (RE2).
    Regex(Strng),
}

/// The methods that Gateway API knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
}

/// What a gRPC request must be; everything that is given must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrpcRouteMatch {
    /// What it calls; anything where absent.
    pub method: Option<GrpcMethodMatch>,
    /// Its metadata.
    pub headers: Vec<HeaderMatch>,
}

/// What a gRPC request must call: a service, a method, or a method of a service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "GrpcMethodFields")]
pub struct GrpcMethodMatch {
    /// The service with its package; any where absent.
    pub service: Option<ValueMatch>,
    /// The method; any where absent.
    pub method: Option<ValueMatch>,
}

#[derive(Deserialize)]
#[serde(rename = "HTTPPathMatch")]
struct PathMatchFields {
    #[serde(rename = "type", default)]
    kind: PathMatchType,
    #[serde(default = "root")]
    value: Strng,
}

#[derive(Default, Deserialize)]
enum PathMatchType {
    Exact,
    #[default]
    PathPrefix,
    RegularExpression,
}

#[derive(Deserialize)]
struct HeaderMatchFields {
    #[serde(rename = "type", default)]
    kind: MatchType,
    name: Strng,
    value: Strng,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum MatchType {
    #[default]
    Exact,
    RegularExpression,
}

#[derive(Deserialize)]
struct GrpcMethodFields {
    #[serde(rename = "type", default)]
    kind: MatchType,
    #[serde(default)]
    service: Option<Strng>,
    #[serde(default)]
    method: Option<Strng>,
}

// === impl PathMatch ===

impl PathMatch {
    /// What stands behind it.
    #[must_use]
    pub fn value(&self) -> &Strng {
        match self {
            Self::Exact(value) | Self::Prefix(value) | Self::Regex(value) => value,
        }
    }
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix(root())
    }
}

impl From<PathMatchFields> for PathMatch {
    fn from(fields: PathMatchFields) -> Self {
        match fields.kind {
            PathMatchType::Exact => Self::Exact(fields.value),
            PathMatchType::PathPrefix => Self::Prefix(fields.value),
            PathMatchType::RegularExpression => Self::Regex(fields.value),
        }
    }
}

// === impl HeaderMatch, GrpcMethodMatch ===

impl From<HeaderMatchFields> for HeaderMatch {
    fn from(fields: HeaderMatchFields) -> Self {
        Self {
            name: fields.name,
            value: fields.kind.of(fields.value),
        }
    }
}

impl From<GrpcMethodFields> for GrpcMethodMatch {
    fn from(fields: GrpcMethodFields) -> Self {
        let given = |value: Option<Strng>| value.filter(|v| !v.is_empty());
        Self {
            service: given(fields.service).map(|v| fields.kind.of(v)),
            method: given(fields.method).map(|v| fields.kind.of(v)),
        }
    }
}

impl MatchType {
    fn of(self, value: Strng) -> ValueMatch {
        match self {
            Self::Exact => ValueMatch::Exact(value),
            Self::RegularExpression => ValueMatch::Regex(value),
        }
    }
}

fn root() -> Strng {
    "/".into()
}
