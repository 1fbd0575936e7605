//! Everything that is attached to something.

mod wire;

use std::fmt;

use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::authentication::Authentication;
use super::authorization::Authorization;
use super::filter::Fault;
use super::health::HealthCheck;
use super::rate_limit::RateLimit;
use super::resilience::{Retry, RetryBudget};
use super::session::Session;
use super::telemetry::{AccessLogging, Metrics, Tracing};
use super::tls::BackendTls;
use super::traffic::TrafficRules;
use super::{Created, ObjectRef};

/// A policy object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The object. One object may give several policies, told apart by [`PolicyKind::label`].
    pub object: ObjectRef,
    /// What it is attached to; any of them.
    pub targets: Vec<Target>,
    /// Which of several policies of one kind that the object gives, each to other gateways; empty for the only one.
    pub part: Strng,
    /// Between policies of the same rank the older one wins.
    pub created: Created,
    /// What it says.
    pub kind: PolicyKind,
}

/// What a policy is attached to; the more specific ones win, in the order of this list, where only one can.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Everything, everywhere.
    Mesh,
    /// Everything that a namespace's gateways serve.
    Namespace(Strng),
    /// Everything that a gateway serves.
    Gateway(NamespacedName),
    /// One listener of a gateway.
    Listener(NamespacedName, Strng),
    /// A service.
    Service(NamespacedHostname),
    /// One port of a service.
    ServicePort(super::ServicePort),
    /// A [`super::Backend`].
    Backend(Strng),
    /// A route, by [`super::Route::object`].
    Route(ObjectRef),
    /// One rule of a route, by its name.
    RouteRule(ObjectRef, Strng),
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Which requests may pass. All that are attached count.
    Authorization(Authorization),
    /// Which tokens are known, and what becomes of them. All that are attached count.
    Authentication(Authentication),
    /// How connections to a service are made and kept (DestinationRule). The most specific one counts; of those for one
    /// service, that of the gateway's namespace, then that of the service's.
    Traffic(Box<TrafficRules>),
    /// TLS towards a service (BackendTLSPolicy). The oldest of the most specific ones counts.
    BackendTls(BackendTls),
    /// How many requests there may be. All that are attached count.
    RateLimit(RateLimit),
    /// Whether endpoints are asked if they are well. The most specific one counts.
    HealthCheck(HealthCheck),
    /// What keeps a client at one endpoint. The most specific one counts.
    Session(Session),
    /// When requests are tried again where their rule does not say. The most specific one counts.
    Retry(Retry),
    /// How many retries there may be at once. The most specific one counts.
    RetryBudget(RetryBudget),
    /// Delays and failures. The most specific one counts.
    Fault(Fault),
    /// What is logged. All that are attached are merged.
    AccessLogging(AccessLogging),
    /// What is counted. All that are attached are merged.
    Metrics(Metrics),
    /// What is traced. The most specific one counts.
    Tracing(Tracing),
    /// How paths are made comparable before anything reads them. The most specific one counts.
    PathNormalization(PathNormalization),
    /// Applications are told who asks (`ambient.istio.io/xfcc-include-client-identity`). The most specific one counts.
    ForwardClientIdentity(bool),
    /// How many proxies there are in front of gateways whose `X-Forwarded-For` is believed (Istio, `numTrustedProxies`). The most
    /// specific one counts.
    TrustedProxies(u32),
    /// What it says is not understood here: nothing that it is attached to is served.
    Unusable(Unusable),
}

/// What is known of a policy that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The last part of the resource's name, which is its kind in a word.
    pub label: Strng,
    /// What is not understood, for people.
    pub reason: Strng,
}

/// How paths are made comparable (Istio, mesh configuration, `pathNormalization`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNormalization {
    /// Not at all.
    None,
    /// Dot segments are resolved, backslashes become slashes, and what need not be percent-encoded is not.
    #[default]
    Base,
    /// [`Self::Base`], and adjacent slashes become one.
    MergeSlashes,
    /// [`Self::MergeSlashes`], after `%2F`, `%5C` became slashes.
    DecodeAndMergeSlashes,
}

impl PolicyKind {
    /// Its kind in a word: the last part of the resource's name.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Authorization(_) => "authorization",
            Self::Authentication(_) => "authentication",
            Self::Traffic(_) => "traffic",
            Self::BackendTls(_) => "backend-tls",
            Self::RateLimit(RateLimit::Local(_)) => "rate-limit",
            // One object may have both.
            Self::RateLimit(RateLimit::Global(_)) => "global-rate-limit",
            Self::HealthCheck(_) => "health-check",
            Self::Session(_) => "session",
            Self::Retry(_) => "retry",
            Self::RetryBudget(_) => "retry-budget",
            Self::Fault(_) => "fault",
            Self::AccessLogging(_) => "access-logging",
            Self::Metrics(_) => "metrics",
            Self::Tracing(_) => "tracing",
            Self::PathNormalization(_) => "path-normalization",
            Self::ForwardClientIdentity(_) => "forward-client-identity",
            Self::TrustedProxies(_) => "trusted-proxies",
            Self::Unusable(_) => "unusable",
        }
    }
}

impl Policy {
    /// Its key: `AuthorizationPolicy/shop/readers/authorization`, with its part behind another slash.
    #[must_use]
    pub fn key(&self) -> Strng {
        let label = match &self.kind {
            PolicyKind::Unusable(unusable) => unusable.label.as_str(),
            kind => kind.label(),
        };
        match self.part.as_str() {
            "" => format!("{}/{label}", self.object).into(),
            part => format!("{}/{label}/{part}", self.object).into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("the mesh"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
            Self::Gateway(gateway) => write!(f, "gateway {gateway}"),
            Self::Listener(gateway, listener) => write!(f, "listener {gateway}/{listener}"),
            Self::Service(service) => write!(f, "service {service}"),
            Self::ServicePort(port) => write!(f, "service {}:{}", port.service, port.port),
            Self::Backend(backend) => write!(f, "backend {backend}"),
            Self::Route(route) => write!(f, "route {route}"),
            Self::RouteRule(route, rule) => write!(f, "route {route}, rule {rule}"),
        }
    }
}
