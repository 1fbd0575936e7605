//! What a VirtualService's HTTP route does: redirects, rewrites, answers, faults, CORS.

use mesh_types::Strng;
use serde::Deserialize;

use super::http_rule::StringMatch;
use crate::value::{IstioDuration, Percent};

/// A redirect; what is absent stays as the request has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "HttpRedirectFields")]
pub struct HttpRedirect {
    /// The path; `uri` replaces the whole one.
    pub path: Option<RedirectPath>,
    /// The host.
    pub authority: Option<Strng>,
    /// The port.
    pub port: Option<RedirectPort>,
    /// The scheme.
    pub scheme: Option<Strng>,
    /// The status; 301 where absent.
    pub code: u16,
}

/// The path of a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// The whole path becomes this.
    Full(Strng),
    /// What the match's prefix matched becomes this.
    Prefix(Strng),
}

/// The port of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// This one.
    Number(u16),
    /// The scheme's own.
    OfScheme,
    /// The request's.
    OfRequest,
}

/// Changes of host and path.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRewrite {
    /// The path: replaces the prefix that the match has, or else the whole one.
    pub uri: Option<Strng>,
    /// The host.
    pub authority: Option<Strng>,
    /// What in the path becomes what.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// What in a path becomes what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RegexRewrite {
    /// What is replaced (RE2).
    #[serde(rename = "match")]
    pub pattern: Strng,
    /// What it becomes; `\1` is the first group.
    pub rewrite: Strng,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VsDirectResponse {
    /// Its status.
    pub status: u16,
    /// Its body.
    #[serde(default)]
    pub body: Option<VsBody>,
}

/// A body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VsBody {
    /// As text.
    String(Strng),
    /// In base64.
    Bytes(Strng),
}

/// Faults that are made on purpose.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct VsFault {
    /// Requests that wait.
    pub delay: Option<VsDelay>,
    /// Requests that fail.
    pub abort: Option<VsAbort>,
}

/// Requests that wait.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "DelayFields")]
pub struct VsDelay {
    /// So long.
    pub fixed_delay: IstioDuration,
    /// Which share; all where absent.
    pub percentage: Option<Percent>,
}

/// Requests that fail.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "AbortFields")]
pub struct VsAbort {
    /// In this way.
    pub error: AbortError,
    /// Which share; all where absent.
    pub percentage: Option<Percent>,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortError {
    /// With this HTTP status.
    Http(u16),
    /// With this gRPC status.
    Grpc(GrpcStatus),
}

/// A gRPC status, 0 to 16; written as its name or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrpcStatus(pub u8);

/// What browsers are told about requests from other origins.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VsCors {
    /// The origins.
    pub allow_origins: Vec<StringMatch>,
    /// The origins, under their name of old: these very ones, or `*`.
    pub allow_origin: Vec<Strng>,
    /// Methods.
    pub allow_methods: Vec<Strng>,
    /// Request headers.
    pub allow_headers: Vec<Strng>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<Strng>,
    /// For how long the answer may be remembered.
    pub max_age: Option<IstioDuration>,
    /// Whether cookies and the like may come along.
    pub allow_credentials: Option<bool>,
    /// What becomes of questions from other origins than these.
    pub unmatched_preflights: UnmatchedPreflights,
}

/// What becomes of questions from origins that are not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// As `FORWARD`.
    #[default]
    Unspecified,
    /// They go to the service.
    Forward,
    /// They are answered here, without any permission.
    Ignore,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpRedirectFields {
    /// The whole path becomes this.
    uri: Option<Strng>,
    /// What the match's prefix matched becomes this.
    prefix_rewrite: Option<Strng>,
    authority: Option<Strng>,
    port: Option<u16>,
    /// The port is the scheme's own, or the request's.
    derive_port: Option<DerivePort>,
    scheme: Option<Strng>,
    /// The status; 301 where absent.
    redirect_code: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DelayFields {
    fixed_delay: Option<IstioDuration>,
    percentage: Option<Percent>,
    /// Which share, in per cent, under its name of old.
    percent: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AbortFields {
    /// With this HTTP status.
    http_status: Option<u16>,
    /// With this gRPC status, a name or a number.
    grpc_status: Option<Strng>,
    percentage: Option<Percent>,
}

impl TryFrom<HttpRedirectFields> for HttpRedirect {
    type Error = &'static str;

    fn try_from(fields: HttpRedirectFields) -> Result<Self, &'static str> {
        let given = |text: Option<Strng>| text.filter(|t| !t.is_empty());
        let path = match (given(fields.uri), given(fields.prefix_rewrite)) {
            (Some(_), Some(_)) => return Err("may have only one of uri and prefixRewrite"),
            (Some(uri), None) => Some(RedirectPath::Full(uri)),
            (None, prefix) => prefix.map(RedirectPath::Prefix),
        };
        let port = match (fields.port, fields.derive_port) {
            (Some(_), Some(_)) => return Err("may have only one of port and derivePort"),
            (Some(port), None) => Some(RedirectPort::Number(port)),
            (None, Some(DerivePort::FromProtocolDefault)) => Some(RedirectPort::OfScheme),
            (None, Some(DerivePort::FromRequestPort)) => Some(RedirectPort::OfRequest),
            (None, None) => None,
        };
        Ok(Self {
            path,
            authority: given(fields.authority),
            port,
            scheme: given(fields.scheme),
            code: fields.redirect_code.filter(|c| *c != 0).unwrap_or(301),
        })
    }
}

impl TryFrom<DelayFields> for VsDelay {
    type Error = &'static str;

    fn try_from(fields: DelayFields) -> Result<Self, &'static str> {
        let of_old = fields.percent.map(|p| Percent { value: f64::from(p) });
        Ok(Self {
            fixed_delay: fields.fixed_delay.ok_or("needs fixedDelay")?,
            percentage: fields.percentage.or(of_old),
        })
    }
}

impl TryFrom<AbortFields> for VsAbort {
    type Error = String;

    fn try_from(fields: AbortFields) -> Result<Self, String> {
        let error = match (fields.http_status, fields.grpc_status) {
            (Some(status), None) => AbortError::Http(status),
            (None, Some(status)) => {
                let known = GrpcStatus::parse(&status);
                AbortError::Grpc(known.ok_or_else(|| format!("has no gRPC status: {:?}", status.as_str()))?)
            }
            _ => return Err("needs exactly one of httpStatus and grpcStatus".to_owned()),
        };
        Ok(Self {
            error,
            percentage: fields.percentage,
        })
    }
}

impl GrpcStatus {
    /// A status by its name (`UNAVAILABLE`) or its number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let by_name = || GRPC_STATUSES.iter().position(|name| *name == text);
        let number = match text.parse::<usize>() {
            Ok(number) => Some(number),
            Err(_) => by_name(),
        }?;
        let number = u8::try_from(number).ok()?;
        (usize::from(number) < GRPC_STATUSES.len()).then_some(Self(number))
    }
}

/// gRPC documentation, "Status codes and their use in gRPC".
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
