//! Which requests may pass (Istio, "Authorization Policy").
//!
//! # Layout
//! - this file: policies, as they are written.
//! - [`evaluate`]: policies compiled together, what they are asked and what they answer.
//! - `rules`: compiled rules.
//! - `subject`: the attributes of a request or connection, by their names.
//! - `values`, `paths`: compiled lists of values.
//! - `index`: finds the few rules that can match among thousands.
//!
//! The index only ever leaves out rules that cannot match; what is left is tested in full. The tests hold every answer
//! to a naive reading of the rules.

pub mod evaluate;
mod index;
mod paths;
mod rules;
mod subject;
mod values;

mod wire;

use std::time::Duration;

use ipnet::IpNet;
use mesh_types::Strng;

use super::ServicePort;
use super::TextMatch;

pub use evaluate::{Ask, Authorizer, Decision, DenyReason, DryRun, Hit, Verdict};

/// An authorization policy for requests and for connections through a waypoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// What happens to what it matches.
    pub action: Action,
    /// Any rule may match; without rules nothing does.
    pub rules: Vec<Rule>,
    /// It is evaluated and reported, but decides nothing.
    pub dry_run: bool,
}

/// What happens to what a policy matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It may pass; what no such policy matches may not, once there is one.
    Allow,
    /// It may not pass.
    Deny,
    /// It is noted.
    Audit,
    /// Somebody else is asked.
    External(Box<ExternalAuth>),
    /// The provider is not known: what it matches may not pass.
    ExternalUnknown(Strng),
}

/// One of `from`, one of `to` and all of `when` must match; what is empty matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Where it comes from.
    pub from: Vec<Source>,
    /// What it does.
    pub to: Vec<Operation>,
    /// Further conditions.
    pub when: Vec<Condition>,
}

/// Every field that has values must match with one of them, and none of its `not`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The client's identity, without `spiffe://`.
    pub principals: Values<TextMatch>,
    /// `<issuer>/<subject>` of the request's token.
    pub request_principals: Values<TextMatch>,
    /// The namespace of the client's identity.
    pub namespaces: Values<TextMatch>,
    /// The service account, `<namespace>/<account>`.
    pub service_accounts: Values<TextMatch>,
    /// The trust domain of the client's identity.
    pub trust_domains: Values<TextMatch>,
    /// The address of the connection's peer.
    pub ips: Values<IpNet>,
    /// The address that the client has according to X-Forwarded-For and the number of trusted proxies.
    pub remote_ips: Values<IpNet>,
}

/// Every field that has values must match with one of them, and none of its `not`. Without meaning for connections,
/// but for the port: there, such a field never matches in an [`Action::Allow`], and is left out in the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operation {
    /// Hosts, letters of both cases being the same; without a port in the pattern the request's port is ignored.
    pub hosts: Values<TextMatch>,
    /// Ports of the service or workload.
    pub ports: Values<u16>,
    /// Methods.
    pub methods: Values<TextMatch>,
    /// Paths.
    pub paths: Values<PathPattern>,
}

/// A condition: an attribute has one of the values, and none of the `not`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A text.
    Text(TextAttribute, Values<TextMatch>),
    /// An address.
    Ip(IpAttribute, Values<IpNet>),
    /// The port of the service or workload.
    DestinationPort(Values<u16>),
    /// Something that this version does not know: it never matches in an [`Action::Allow`], and is left out in others.
    Unknown(Strng),
}

/// An attribute that is a text; several values of one (audiences, list claims) match if any does. Several values of a
/// header are compared as one, joined with a comma; where a match keeps a request out, each of them also by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TextAttribute {
    /// `request.headers[name]`, the name in lower case.
    RequestHeader(Strng),
    /// `source.namespace`
    SourceNamespace,
    /// `source.serviceAccount`
    SourceServiceAccount,
    /// `source.principal`
    SourcePrincipal,
    /// `source.trustDomain`
    SourceTrustDomain,
    /// `request.auth.principal`
    RequestPrincipal,
    /// `request.auth.audiences`
    Audiences,
    /// `request.auth.presenter`
    Presenter,
    /// `request.auth.claims[a][b]`
    Claim(Vec<Strng>),
    /// `connection.sni`
    ServerName,
    /// `experimental.envoy.filters.http.ext_authz[name]`: what those who were asked about the request said of it.
    ExternalAuth(Strng),
}

/// An attribute that is an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpAttribute {
    /// `source.ip`
    Source,
    /// `remote.ip`
    Remote,
    /// `destination.ip`
    Destination,
}

/// What may, and what may not be; without either, anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values<T> {
    /// One of these; anything if there are none.
    pub any: Vec<T>,
    /// None of these.
    pub none: Vec<T>,
    /// A value could not be read. It never matches in an [`Action::Allow`], and always does in others.
    pub broken: bool,
}

/// A path to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// As a text.
    Text(TextMatch),
    /// Segments: `/a/{*}/b` and `/a/{**}`.
    Template(Vec<Segment>),
}

/// A segment of a path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(Strng),
    /// Any one segment (`{*}`).
    One,
    /// Any number of segments, and no segment (`{**}`).
    Many,
}

/// Who is asked whether a request may pass (Istio, mesh configuration, `envoyExtAuthzHttp`, `envoyExtAuthzGrpc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAuth {
    /// The provider's name.
    pub provider: Strng,
    /// Where it is.
    pub service: ServicePort,
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// How long it may take.
    pub timeout: Duration,
    /// A request passes when nobody can be asked.
    pub fail_open: bool,
    /// The answer when nobody can be asked.
    pub status_on_error: u16,
    /// The route is chosen again when the answer changed the request.
    pub clear_route_cache: bool,
    /// How much of the body is sent along; absent for none.
    pub body: Option<ExternalAuthBody>,
}

/// How an authorization service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAuthProtocol {
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc,
    /// A request like the one in question.
    Http {
        /// In front of the path.
        path_prefix: Strng,
        /// Headers that are sent along, beside Host, method, path and Authorization.
        include_request_headers: Vec<TextMatch>,
        /// Headers that are sent in addition.
        additional_headers: Vec<(Strng, Strng)>,
        /// Headers of a favourable answer that go to the destination.
        upstream_headers_on_allow: Vec<TextMatch>,
        /// Headers of a favourable answer that go to the client.
        downstream_headers_on_allow: Vec<TextMatch>,
        /// Headers of an unfavourable answer that go to the client.
        downstream_headers_on_deny: Vec<TextMatch>,
    },
}

/// How much of a body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalAuthBody {
    /// In bytes.
    pub limit: u32,
    /// A longer body is cut; otherwise the request is refused with 413.
    pub allow_partial: bool,
    /// As bytes, not as text.
    pub as_bytes: bool,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self {
            any: Vec::new(),
            none: Vec::new(),
            broken: false,
        }
    }
}

impl<T> Values<T> {
    /// Whether anything will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.any.is_empty() && self.none.is_empty() && !self.broken
    }
}

#[cfg(test)]
mod tests;
