//! What a route does to requests and responses (Gateway API reference, "HTTPRouteFilter", "GRPCRouteFilter").

use mesh_types::Strng;
use serde::Deserialize;

use super::reference::{BackendObjectRef, LocalObjectRef};

/// What a route does to a request or its response. GRPCRoutes have only some of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "FilterFields")]
pub enum RouteFilter {
    /// Changes request headers.
    RequestHeaderModifier(HeaderModifier),
    /// Changes response headers.
    ResponseHeaderModifier(HeaderModifier),
    /// Answers with a redirect.
    RequestRedirect(RequestRedirect),
    /// Changes host or path.
    UrlRewrite(UrlRewrite),
    /// Sends a copy elsewhere, whose answer nobody sees.
    RequestMirror(RequestMirror),
    /// Answers browsers that ask about other origins.
    Cors(Cors),
    /// Asks somebody whether the request may pass.
    ExternalAuth(ExternalAuth),
    /// A filter of a kind of its own.
    ExtensionRef(LocalObjectRef),
}

/// Changes of headers: first `set`, then `add`, then `remove`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Headers that get this value, whatever was there.
    pub set: Vec<Header>,
    /// Headers that get this value beside what was there.
    pub add: Vec<Header>,
    /// Headers that go.
    pub remove: Vec<Strng>,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: Strng,
    /// Its value.
    pub value: Strng,
}

/// A redirect; what is absent stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// The scheme.
    pub scheme: Option<RedirectScheme>,
    /// The host.
    pub hostname: Option<Strng>,
    /// The path.
    pub path: Option<PathModifier>,
    /// The port; the scheme's own where only a scheme is given.
    pub port: Option<u16>,
    /// The status; 302 where absent.
    pub status_code: RedirectStatus,
}

/// The schemes of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectScheme {
    /// http.
    Http,
    /// https.
    Https,
}

/// The status of a redirect: 301, 302, 303, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u16")]
pub struct RedirectStatus(pub u16);

/// Changes of host and path.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct UrlRewrite {
    /// The host.
    pub hostname: Option<Strng>,
    /// The path.
    pub path: Option<PathModifier>,
}

/// How a path is changed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "PathModifierFields")]
pub enum PathModifier {
    /// The whole path becomes this.
    ReplaceFullPath(Strng),
    /// What the rule's prefix matched becomes this.
    ReplacePrefixMatch(Strng),
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RequestMirrorFields")]
pub struct RequestMirror {
    /// Where it goes.
    pub backend: BackendObjectRef,
    /// Which share of the requests is copied.
    pub fraction: Fraction,
}

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Fraction {
    /// So many …
    pub numerator: u32,
    /// … of so many.
    #[serde(default = "hundred")]
    pub denominator: u32,
}

/// What browsers are told about requests from other origins (Fetch standard, "CORS protocol").
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// The origins; `*` is any, and may begin a host.
    pub allow_origins: Vec<Strng>,
    /// Whether cookies and the like may come along.
    pub allow_credentials: bool,
    /// Methods; `*` is any.
    pub allow_methods: Vec<Strng>,
    /// Request headers; `*` is any.
    pub allow_headers: Vec<Strng>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<Strng>,
    /// For how many seconds the answer may be remembered; 5 where absent.
    pub max_age: u32,
}

/// A question to somebody whether a request may pass (GEP-1494).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ExternalAuthFields")]
pub struct ExternalAuth {
    /// Who is asked.
    pub backend: BackendObjectRef,
    /// How.
    pub protocol: ExternalAuthProtocol,
    /// How many bytes of the body are sent along; none where absent.
    pub forward_body: Option<ForwardBody>,
}

/// How somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAuthProtocol {
    /// By Envoy's `envoy.service.auth.v3`.
    Grpc(GrpcAuth),
    /// By an HTTP request.
    Http(HttpAuth),
}

/// A question by gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuth {
    /// Request headers that are sent along; all where empty.
    pub allowed_headers: Vec<Strng>,
}

/// A question by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// What stands before the request's own path.
    pub path: Option<Strng>,
    /// Request headers that are sent along beside those that always are.
    pub allowed_headers: Vec<Strng>,
    /// Headers of a good answer that the request gets.
    pub allowed_response_headers: Vec<Strng>,
}

/// How much of the body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardBody {
    /// So many bytes at most; 0 for none.
    pub max_size: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterFields {
    #[serde(rename = "type")]
    kind: FilterType,
    #[serde(default)]
    request_header_modifier: Option<HeaderModifier>,
    #[serde(default)]
    response_header_modifier: Option<HeaderModifier>,
    #[serde(default)]
    request_redirect: Option<RequestRedirect>,
    #[serde(default)]
    url_rewrite: Option<UrlRewrite>,
    #[serde(default)]
    request_mirror: Option<RequestMirror>,
    #[serde(default)]
    cors: Option<Cors>,
    #[serde(default)]
    external_auth: Option<ExternalAuth>,
    #[serde(default)]
    extension_ref: Option<LocalObjectRef>,
}

#[derive(Clone, Copy, Deserialize)]
enum FilterType {
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestRedirect,
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    RequestMirror,
    #[serde(rename = "CORS")]
    Cors,
    ExternalAuth,
    ExtensionRef,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PathModifierFields {
    #[serde(rename = "type")]
    kind: PathModifierType,
    #[serde(default)]
    replace_full_path: Option<Strng>,
    #[serde(default)]
    replace_prefix_match: Option<Strng>,
}

#[derive(Deserialize)]
enum PathModifierType {
    ReplaceFullPath,
    ReplacePrefixMatch,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestMirrorFields {
    backend_ref: BackendObjectRef,
    #[serde(default)]
    percent: Option<u32>,
    #[serde(default)]
    fraction: Option<Fraction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalAuthFields {
    protocol: AuthProtocol,
    backend_ref: BackendObjectRef,
    #[serde(default)]
    grpc: Option<GrpcAuth>,
    #[serde(default)]
    http: Option<HttpAuth>,
    #[serde(default)]
    forward_body: Option<ForwardBody>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum AuthProtocol {
    Grpc,
    Http,
}

// === impl RouteFilter ===

impl RouteFilter {
    /// The filter's `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RequestHeaderModifier(_) => "RequestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "ResponseHeaderModifier",
            Self::RequestRedirect(_) => "RequestRedirect",
            Self::UrlRewrite(_) => "URLRewrite",
            Self::RequestMirror(_) => "RequestMirror",
            Self::Cors(_) => "CORS",
            Self::ExternalAuth(_) => "ExternalAuth",
            Self::ExtensionRef(_) => "ExtensionRef",
        }
    }

    /// The field that holds what the filter is to do.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::RequestHeaderModifier(_) => "requestHeaderModifier",
            Self::ResponseHeaderModifier(_) => "responseHeaderModifier",
            Self::RequestRedirect(_) => "requestRedirect",
            Self::UrlRewrite(_) => "urlRewrite",
            Self::RequestMirror(_) => "requestMirror",
            Self::Cors(_) => "cors",
            Self::ExternalAuth(_) => "externalAuth",
            Self::ExtensionRef(_) => "extensionRef",
        }
    }
}

impl TryFrom<FilterFields> for RouteFilter {
    type Error = String;

    fn try_from(mut fields: FilterFields) -> Result<Self, String> {
        let filter = match fields.kind {
            FilterType::RequestHeaderModifier => fields
                .request_header_modifier
                .take()
                .map(Self::RequestHeaderModifier),
            FilterType::ResponseHeaderModifier => fields
                .response_header_modifier
                .take()
                .map(Self::ResponseHeaderModifier),
            FilterType::RequestRedirect => fields.request_redirect.take().map(Self::RequestRedirect),
            FilterType::UrlRewrite => fields.url_rewrite.take().map(Self::UrlRewrite),
            FilterType::RequestMirror => fields.request_mirror.take().map(Self::RequestMirror),
            FilterType::Cors => fields.cors.take().map(Self::Cors),
            FilterType::ExternalAuth => fields.external_auth.take().map(Self::ExternalAuth),
            FilterType::ExtensionRef => fields.extension_ref.take().map(Self::ExtensionRef),
        };
        let filter = filter.ok_or("has no field that its type is about")?;
        match fields.left_over() {
            Some(other) => Err(format!("has {other}, but is of type {}", filter.kind())),
            None => Ok(filter),
        }
    }
}

impl FilterFields {
    fn left_over(&self) -> Option<&'static str> {
        let fields = [
            ("requestHeaderModifier", self.request_header_modifier.is_some()),
            ("responseHeaderModifier", self.response_header_modifier.is_some()),
            ("requestRedirect", self.request_redirect.is_some()),
            ("urlRewrite", self.url_rewrite.is_some()),
            ("requestMirror", self.request_mirror.is_some()),
            ("cors", self.cors.is_some()),
            ("externalAuth", self.external_auth.is_some()),
            ("extensionRef", self.extension_ref.is_some()),
        ];
        fields.iter().find(|(_, there)| *there).map(|(name, _)| *name)
    }
}

// === impl RedirectStatus, PathModifier, RequestMirror, Cors, ExternalAuth ===

impl Default for RedirectStatus {
    fn default() -> Self {
        Self(302)
    }
}

impl TryFrom<u16> for RedirectStatus {
    type Error = String;

    fn try_from(status: u16) -> Result<Self, String> {
        if [301, 302, 303, 307, 308].contains(&status) {
            return Ok(Self(status));
        }
        Err(format!("{status} is none of 301, 302, 303, 307, 308"))
    }
}

impl TryFrom<PathModifierFields> for PathModifier {
    type Error = &'static str;

    fn try_from(fields: PathModifierFields) -> Result<Self, &'static str> {
        match (fields.kind, fields.replace_full_path, fields.replace_prefix_match) {
            (PathModifierType::ReplaceFullPath, Some(path), None) => Ok(Self::ReplaceFullPath(path)),
            (PathModifierType::ReplacePrefixMatch, None, Some(path)) => Ok(Self::ReplacePrefixMatch(path)),
            (PathModifierType::ReplaceFullPath, ..) => {
                Err("must have replaceFullPath and nothing else, as its type says")
            }
            (PathModifierType::ReplacePrefixMatch, ..) => {
                Err("must have replacePrefixMatch and nothing else, as its type says")
            }
        }
    }
}

impl TryFrom<RequestMirrorFields> for RequestMirror {
    type Error = &'static str;

    fn try_from(fields: RequestMirrorFields) -> Result<Self, &'static str> {
        let of_hundred = |numerator| Fraction {
            numerator,
            denominator: hundred(),
        };
        let fraction = match (fields.percent, fields.fraction) {
            (Some(_), Some(_)) => return Err("may have only one of percent and fraction"),
            (Some(percent), None) => of_hundred(percent),
            (None, Some(fraction)) => fraction,
            (None, None) => of_hundred(100),
        };
        if fraction.denominator == 0 || fraction.numerator > fraction.denominator {
            return Err("copies more than every request");
        }
        Ok(Self {
            backend: fields.backend_ref,
            fraction,
        })
    }
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_credentials: false,
            allow_methods: Vec::new(),
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            max_age: 5,
        }
    }
}

impl TryFrom<ExternalAuthFields> for ExternalAuth {
    type Error = &'static str;

    fn try_from(fields: ExternalAuthFields) -> Result<Self, &'static str> {
        let protocol = match (fields.protocol, fields.grpc, fields.http) {
            (AuthProtocol::Grpc, grpc, None) => ExternalAuthProtocol::Grpc(grpc.unwrap_or_default()),
            (AuthProtocol::Http, None, http) => ExternalAuthProtocol::Http(http.unwrap_or_default()),
            (AuthProtocol::Grpc, _, Some(_)) => return Err("has http, but its protocol is GRPC"),
            (AuthProtocol::Http, Some(_), _) => return Err("has grpc, but its protocol is HTTP"),
        };
        Ok(Self {
            backend: fields.backend_ref,
            protocol,
            forward_body: fields.forward_body,
        })
    }
}

fn hundred() -> u32 {
    100
}
